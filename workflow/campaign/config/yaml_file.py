"""Config files as YAML: what cannot be read, with the remedy, and keys that stand twice, of which YAML takes the last."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from campaign.core.errors import ConfigError

_MERGE = "<<"  # may stand beside another one: each brings the keys of an anchor
_COMPUTED = "__use_yte__"  # Snakemake makes another YAML of such a file: conditions in it may repeat a key


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys of a config file. Raises ConfigError."""
    try:
        text = path.read_text()
        raw = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{path}: cannot be read ({error}){_remedy(path, error)}"]) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError([f"{path}: cannot be read ({error})"]) from error
    if not isinstance(raw, dict):
        raise ConfigError([f"{path}: holds no keys"])
    if twice := list(_twice(path, text)):
        raise ConfigError(twice)
    return raw


def refuse_keys_twice(paths: Iterable[Path]) -> None:
    """Look through config files that another program reads; what it cannot read, it tells itself. Raises ConfigError."""
    told: list[str] = []
    for path in paths:
        try:
            told += _twice(path, path.read_text())
        except (OSError, ValueError, yaml.YAMLError):
            continue
    if told:
        raise ConfigError(told)


def _twice(path: Path, text: str) -> Iterator[str]:
    """A sentence for each key that stands twice in one mapping."""
    if _COMPUTED in text:
        return
    seen: set[int] = set()
    waiting = [("", yaml.compose(text, Loader=yaml.SafeLoader))]
    while waiting:
        where, node = waiting.pop()
        if id(node) in seen:  # an anchor's node stands wherever it is named
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{where}[{number}]", each) for number, each in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            inner = f"{where}.{name}" if where else name
            if name in lines and name != _MERGE:
                yield (
                    f"{path}: {inner} stands twice, in lines {lines[name]} and {line}, and only the last one would count; "
                    "remove one, or give it another name"
                )
            lines.setdefault(name, line)
            waiting.append((inner, value))


def _remedy(path: Path, error: yaml.MarkedYAMLError) -> str:
    """What to do where YAML stumbles over a tab, or over a template: it takes `{{ text }}` for a mapping in a mapping."""
    if "'\\t'" in str(error.problem):
        return "; YAML takes spaces alone in front of a key: put spaces in place of the tab"
    lines = path.read_text().splitlines()
    marked = {mark.line for mark in (error.problem_mark, error.context_mark) if mark is not None}
    if any("{{" in lines[number] or "{%" in lines[number] for number in marked if number < len(lines)):
        return '; put the template in quotes, as in prompt: "Say {{ text }}", or on lines of its own behind prompt: |'
    return ""
