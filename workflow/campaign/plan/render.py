"""A plan as people read it, in 80 columns. Pure but for the printing."""

import time
from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from campaign.core.text import duration
from campaign.site.cluster_records import GIB

_WIDTH = 80


def show(plan: dict[str, Any]) -> None:
    """Print a plan to the terminal."""
    Console(width=_WIDTH, stderr=True, highlight=False).print(render(plan))


def render(plan: dict[str, Any]) -> RenderableType:
    """The plan for a terminal of 80 columns."""
    versions = ", ".join(f"{package} {version}" for package, version in plan["engine"]["versions"].items())
    place = f" on {plan['site']['name']} ({plan['site']['source']})"
    head = Text.assemble("Campaign ", (plan["campaign"], "bold"), place, f", {versions}" if versions else "")
    parts: list[RenderableType] = [head, _datasets(plan), _models(plan)]
    if any(model["memory"] for model in plan["models"].values()):
        parts.append(_memory(plan))
    parts.append(_forecast(plan))
    parts += [Text(line) for line in _lines(plan)]
    parts += [Text(f"Note: {warning}", style="yellow") for warning in plan["warnings"]]
    if plan.get("refused"):
        parts.append(Text(f"\nRefused ({len(plan['refused'])}):", style="bold red"))
        parts += [Text(f"  - {problem}") for problem in plan["refused"]]
    return Group(*parts)


def _table(*headings: str, title: str | None = None) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for number, heading in enumerate(headings):
        table.add_column(heading, no_wrap=number == 0)
    return table


def _datasets(plan: dict[str, Any]) -> Table:
    table = _table("dataset")
    for heading in ("files", "rows", "tokens read", "written"):
        table.add_column(heading, justify="right")
    table.add_column("answered by")
    for name, row in plan["datasets"].items():
        lengths = row["lengths"]
        rows = f"{row['rows']:,}" if row["rows_counted"] else f"about {row['rows']:,}"
        low, high = row.get("rows_range") or (row["rows"], row["rows"])
        rows += f" ({low:,} to {high:,})" if low != high else ""
        tokens = (f"{lengths['prompt']:,.0f} each", f"{lengths['output']:,.0f} each")
        table.add_row(name, f"{len(row['files']):,}", rows, *tokens, ", ".join(row["models"]))
    return table


def _models(plan: dict[str, Any]) -> Table:
    table = _table("model", "weights", "TP x PP x DP", "allocations", "on")
    for name, row in plan["models"].items():
        parallel, placement = row["parallel"], row["placement"]
        nodes = f"{placement['nodes']} node{'s' * (placement['nodes'] > 1)}"
        gpus = f" x {placement['gpus_per_node']} {placement['gpu'] or 'GPU'}" if placement["gpus_per_node"] else ""
        partition = placement["partition"] or "no partition"
        where = f"{partition}: {nodes}{gpus}" if plan["site"]["on_slurm"] else "this machine"
        table.add_row(
            name,
            _size(row["weights"]["bytes"]),
            f"{parallel['tensor']} x {parallel['pipeline']} x {parallel['data']}",
            str(placement["allocations"]),
            where,
        )
    return table


def _memory(plan: dict[str, Any]) -> Table:
    table = _table("model", title="Memory of the fullest GPU, GiB")
    for heading in ("has", "weights", "working", "KV cache", "KV tokens", "context", "at once"):
        table.add_column(heading, justify="right")
    for name, row in plan["models"].items():
        if memory := row["memory"]:
            sizes = (memory["gpu_bytes"], memory["weights"], memory["reserve"], memory["kv_cache"])
            counts = (f"{memory['kv_tokens']:,}", f"{memory['context']:,}", f"{memory['sequences']:,.1f}")
            table.add_row(name, *(f"{size / GIB:,.1f}" for size in sizes), *counts)
    return table


def _forecast(plan: dict[str, Any]) -> Table:
    billed = any(row["su_per_hour"] is not None for row in plan["models"].values())
    table = _table("model", title="What is left to do")
    unit = _unit(plan)
    for heading in ("requests", "done", "tok/s", "hours", *((f"{unit}/h", unit) if billed else ())):
        table.add_column(heading, justify="right")
    for name, row in plan["models"].items():
        taken, counts = row["forecast"], row["requests"]
        cells = [f"{counts['left']:,}", f"{counts['done']:,}", _speed(taken), _range(taken["hours"]) if taken else "not known"]
        if billed:
            price = "" if row["su_per_hour"] is None else f"{row['su_per_hour']:,.1f}"
            cells += [price, _range(taken["su"]) if taken and taken["su"] else "not known"]
        table.add_row(name, *cells)
    return table


def _tuning(name: str, row: dict[str, Any], unit: str) -> str:
    """What the tuning of a model may take, and try."""
    cost = "" if row["su"] is None else f", {row['su']:,.1f} {unit}"
    tried = "; ".join(f"{flag} {', '.join(map(_level, levels))}" for flag, levels in row["tried"].items())
    left = "; ".join(f"{flag} {', '.join(map(_level, levels))}" for flag, levels in row["left_out"].items())
    line = f"{name}: the tuning takes at most {duration(row['seconds'])}{cost}, and measures some of {row['points']:,} points"
    return f"{line} ({tried or 'requests in flight alone'})" + (f"; left out, as they do not work: {left}." if left else ".")


def _level(level: Any) -> str:
    if level is None:
        return "vLLM's own"
    return " x ".join(map(str, level)) if isinstance(level, (list, tuple)) else str(level)


def _unit(plan: dict[str, Any]) -> str:
    unit: str = plan.get("unit", "SU")  # plans of earlier versions have none
    return unit


def _lines(plan: dict[str, Any]) -> Iterator[str]:
    yield _asked(plan)
    yield from _grouped(
        {name: f"{row.get('rows_rest_on', '')}." for name, row in plan["datasets"].items() if "rows_rest_on" in row}
    )
    yield from _grouped({name: (row.get("order") or {}).get("told", "") for name, row in plan["datasets"].items()})
    yield from _grouped({name: f"weights by {row['weights']['source']}." for name, row in plan["models"].items()})
    yield from _grouped({name: _cache(row) for name, row in plan["models"].items()})
    yield from _grouped({name: _basis(row) for name, row in plan["models"].items()})
    yield from _grouped({name: _start(plan["made"], row) for name, row in plan["models"].items()})
    known = [row["forecast"] for row in plan["models"].values()]
    if known and all(known) and any(taken["requests"] for taken in known):
        queue = max(taken["queue_s"] or 0.0 for taken in known) / 3600
        expected, latest = (plan["hours"][name] + queue for name in ("expected", "high"))
        waits = ", and the queue on top" if plan["site"]["on_slurm"] and all(not taken["queue_s"] for taken in known) else ""
        yield f"Started now it is done {_when(plan['made'], expected)}, at the latest {_when(plan['made'], latest)}{waits}."
    if (total := plan["total_su"]) is not None:
        budget = f" of budget_su {plan['budget_su']:,g}" if plan["budget_su"] is not None else ""
        yield f"{_unit(plan)} in all: {_range(total)}{budget}; spent so far: {plan['spent_su']:,.1f}."
    yield from _grouped({name: _price(row, _unit(plan)) for name, row in plan["models"].items()})
    yield from (_tuning(name, row, _unit(plan)) for name, row in plan.get("tuning", {}).items())


def _asked(plan: dict[str, Any]) -> str:
    """Whether the checks of models and flags are vLLM's own."""
    asked = plan["asked_vllm"]
    refused = plan.get("vllm_refuses", [])  # plans of earlier versions do not tell
    taken, others = [name for name in asked if name not in refused], [name for name in plan["models"] if name not in asked]
    told = [f"vLLM itself takes {', '.join(taken)}."] if taken else []
    if refused:
        told.append(f"vLLM itself refuses {', '.join(refused)}.")
    if others:
        told.append(f"vLLM was not asked about {', '.join(others)}: the names of flags alone are checked.")
    return " ".join(told)


def _cache(row: dict[str, Any]) -> str:
    """What a CPU's KV cache will be; one that does not fit is among the notes."""
    cache = row.get("cpu_cache")
    return f"{cache['told']}." if cache and cache["fits"] else ""


def _speed(taken: dict[str, Any] | None) -> str:
    """Tokens that an allocation writes in a second, as expected; _basis has the range."""
    speed = (taken or {}).get("tokens_per_s")  # plans of earlier versions have none
    return f"{speed['expected']:,.0f}" if speed and speed["high"] else ""


def _basis(row: dict[str, Any]) -> str:
    """What a model's forecast rests on."""
    if taken := row["forecast"]:
        speed = taken.get("tokens_per_s")
        written = f"; an allocation writes {_range(speed)} tokens per second" if speed and speed["high"] else ""
        return f"{taken['rests_on']}{written}."
    if row["requests"]["left"]:
        return "no run with these settings was measured yet, so its speed cannot be told beforehand."
    return ""


def _start(made: float, row: dict[str, Any]) -> str:
    """When Slurm would start a model's first allocation, as it estimates now."""
    said = row.get("slurm") or {}
    if not said.get("starts_at"):
        return ""
    at = "now" if said["starts_at"] <= made + 60 else _when(said["starts_at"], 0)
    return f"Slurm would start it {at} on {said['nodes']}."


def _price(row: dict[str, Any], unit: str) -> str:
    if row["su_per_hour"] is None:
        return ""
    billed = f"{row['su_per_hour']:,.1f} {unit} per hour and allocation ({row['su_per_hour_source']})"
    guide = row["guide_su_per_hour"]
    return f"{billed}." if guide is None else f"{billed}; the guide's formula says {guide:,.1f}."


def _grouped(sentences: dict[str, str]) -> Iterator[str]:
    """Each sentence once, with all the models it is of."""
    for sentence in dict.fromkeys(filter(None, sentences.values())):
        yield f"{', '.join(name for name, own in sentences.items() if own == sentence)}: {sentence}"


def _when(made: float, hours: float) -> str:
    return time.strftime("%a %d %b %H:%M", time.localtime(made + 3600 * hours))


def _range(value: dict[str, float]) -> str:
    """Write a range, `12.3 (10.0 to 15.0)`, with the digits that tell something."""
    if not value["high"]:
        return "0"
    digits = 0 if value["expected"] >= 100 else 1 if value["expected"] >= 10 else 2
    low, expected, high = (f"{value[name]:,.{digits}f}" for name in ("low", "expected", "high"))
    return expected if low == high else f"{expected} ({low} to {high})"


def _size(count: float | None) -> str:
    if count is None:
        return "not known"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
