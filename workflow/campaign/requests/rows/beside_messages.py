"""Columns beside a row's messages that other programs send with them, and that are not sent here unless the config says so."""

from collections.abc import Collection, Iterator
from typing import Any

from campaign.requests.rows import sharegpt

_FIELDS = ("tools", "functions", "response_format")  # of OpenAI's files for fine-tuning, and of logs of requests


def not_sent(values: dict[str, Any], column: str, sampling: Collection[str]) -> Iterator[str]:
    """A sentence for each such column of a row. `column`: with the messages."""
    if sharegpt.has_system_apart(values, column):
        put = f"jq -c '.{column} = [{{role: \"system\", content: .system}}] + .{column}' puts it in front of the messages"
        in_turns = sharegpt.is_sharegpt(values[column])
        yield sharegpt.SYSTEM_LEFT_OUT if in_turns else f"the column {sharegpt.SYSTEM!r} is not sent: {put}"
    for name in _FIELDS:
        field = "tools" if name == "functions" else name
        if name != column and field not in sampling and _holds_something(values.get(name)):
            remedy = (
                "`functions` are the older form of `tools`: write those"
                if name == "functions"
                else f"`sampling: {{{name}: {{column: {name}}}}}` sends it"
            )
            yield f"the column {name!r} is not sent: {remedy}"


def _holds_something(value: Any) -> bool:
    return bool(value) and (isinstance(value, (list, dict)) or (isinstance(value, str) and value.lstrip()[:1] in ("[", "{")))
