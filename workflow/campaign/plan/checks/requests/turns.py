"""Chat messages that are sent as they stand and most likely mean something else: who speaks, and who speaks last. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from campaign.config import DatasetConfig
from campaign.plan.diagnostic import Diagnostic
from campaign.requests.endpoints import CHAT
from campaign.requests.rows.sampled_rows import Sample, SampledRequest
from campaign.requests.rows.sharegpt import ROLES

_OF_TEMPLATES = ("model", "observation")  # Gemma's and GLM's templates know these as they stand
_USUAL = ("user", "assistant", "system", "tool", "developer")


def turns(name: str, dataset: DatasetConfig, sample: Sample) -> Iterator[Diagnostic]:
    """What to tell of the messages that the rows of a dataset bring."""
    if dataset.prompt is not None:
        return
    rows = [row for row in sample.requests if row.api == CHAT.name]
    key = f"datasets.{name}.{'messages' if dataset.messages is not None else 'files'}"
    if answered := [row for row in rows if _ends_with_answer(row.body)]:
        reason = (
            f"{_share(answered, sample)} a turn of the assistant: the model writes another one behind it; "
            "for answers to train on, leave the last message out"
        )
        remedy = "where it is to be continued: sampling: {add_generation_prompt: false, continue_final_message: true}"
        yield Diagnostic(key, "last_turn", reason, remedy, warning=True)
    for role, usual in sorted({(role, usual) for row in rows for role, usual in _other_roles(row.body)}):
        place = next(row.place for row in rows if (role, usual) in set(_other_roles(row.body)))
        # A template writes any role that it does not know as it stands.
        reason = f"the role {role!r} (in {place}) is none that chat templates know, and most write it as it stands"
        yield Diagnostic(key, "role", reason, f"write {usual!r}", warning=True)


def _ends_with_answer(body: dict[str, Any]) -> bool:
    last = body["messages"][-1]
    return last.get("role") == "assistant" and not last.get("tool_calls") and not body.get("continue_final_message")


def _share(rows: Sequence[SampledRequest], sample: Sample) -> str:
    return f"{len(rows)} of the first {len(sample.requests)} rows, such as {rows[0].place}, end with"


def _other_roles(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Roles that are others by name alone, with the usual name."""
    for message in body["messages"]:
        role = str(message["role"])
        usual = ROLES.get(role.lower(), role.lower())
        if usual != role and usual in _USUAL and role not in _OF_TEMPLATES:
            yield role, usual
