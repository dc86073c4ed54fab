"""The list of events is true: each that is documented is written, and no other one."""

import ast
import re
from pathlib import Path
from typing import get_args

import campaign
from campaign.core import events

PACKAGE = Path(campaign.__file__).parent
WRITERS = {"record": 2, "as_record": 1, "event": 0}  # name of the function, and which argument the event's name is


def written() -> set[str]:
    """Names of events as the package's calls spell them."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
            function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if function in WRITERS and len(call.args) > WRITERS[function]:
                name = call.args[WRITERS[function]]
                names |= {name.value} if isinstance(name, ast.Constant) and isinstance(name.value, str) else set()
    return names


def test_what_is_written_is_documented_and_the_other_way_round() -> None:
    documented = set(re.findall(r"^    (\w+) {2,}", events.__doc__ or "", re.MULTILINE))
    assert documented == set(get_args(events.EventName)) == written()
