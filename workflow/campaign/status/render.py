"""The status for a terminal: complete in 80 columns."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from campaign.accounting.live_spend import UNPRICED
from campaign.config import CampaignConfig
from campaign.core import timing
from campaign.core.paths import TUNING
from campaign.core.text import count, number, seconds
from campaign.status.collect import collect_status
from campaign.status.jobs import look

_NEXT = {
    "answered": "Every prompt has its row; the same command checks them, and makes tables and report.",
    "stopped": "Nothing is lost: the same command continues.",
    "unattended": "No Snakemake watches these jobs. They go on; the same command waits for them and continues.",
}
_STYLES = {"up": "green", "failed": "red", "refused": "red", "gone": "red", "restarting": "yellow", "in queue": "yellow"}


def render(status: dict[str, Any]) -> RenderableType:
    """The status (of collect_status) for a terminal of 80 columns or more."""
    unit = status["unit"]
    su = f"; {_su(status['su'], unit)}" if status["su"] else ""
    lines: list[RenderableType] = [Text(f"{status['campaign']}: {status['state']}{su}", style="bold")]
    for name, model in status["models"].items():
        lines += [Text(""), *_model(name, model, unit, status.get("stages", {}))]
    lines += [Text(line) for line in _other_jobs(status)]
    if status["state"] in _NEXT:
        lines.append(Text(f"\n{_NEXT[status['state']]}"))
    if status["report"]:
        lines.append(Text(f"\nreport: {status['report']}"))
    return Group(*lines)


def _model(name: str, model: dict[str, Any], unit: str, stages: dict[str, Any]) -> Iterator[RenderableType]:
    yield _headline(name, model)
    if figures := ", ".join(_figures(model)):
        yield Text(f"  {figures}")
    for line in model["causes"]:
        yield Text(f"    {line}", style="dim")
    if model["su"]:
        yield Text(f"  {_su(model['su'], unit)}")
    yield from _datasets(model["datasets"], stages)
    if model["allocations"]:
        yield _allocations(model["allocations"], unit)
    for allocation in model["allocations"]:
        yield from _notes(allocation)


def _datasets(datasets: dict[str, Any], stages: dict[str, Any]) -> Iterator[RenderableType]:
    """How far each dataset is, what stages are made of, and how many answers are valid by their dataset's `answer`."""
    for dataset, counts in datasets.items() if len(datasets) > 1 else ():
        if counts is not None:
            failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
            yield Text(f"  {dataset}: {counts['done']:,}/{counts['rows']:,}{failed}")
    for dataset in (dataset for dataset in datasets if dataset in stages):
        yield Text(f"  {dataset} is made of answers: {stages[dataset]['told']}")
    for dataset, counts in datasets.items():
        if counts is not None and "valid" in counts:
            yield Text(f"  answers of {dataset}: {validity(counts)}")


def validity(counts: dict[str, int]) -> str:
    """How many answers of a dataset are valid, and how many are not."""
    again = f" ({counts['retried']:,} of them asked again)" if counts["retried"] else ""
    return f"{counts['valid']:,} valid{again}, {counts['invalid']:,} invalid"


def _headline(name: str, model: dict[str, Any]) -> Table:
    """Render name, bar, done/total and percent."""
    line = Table.grid(padding=(0, 1), expand=True)
    line.add_column(style="bold", overflow="fold")
    line.add_column(ratio=1, min_width=10)
    line.add_column(justify="right", no_wrap=True)
    rows, done = model["rows"], model["done"]
    if rows is None:
        line.add_row(name, "", "its prompts are not counted yet")
    else:
        share = f"{100 * done / rows:.0f} %" if rows else "nothing to ask"
        line.add_row(name, ProgressBar(total=max(1, rows), completed=done), f"{done:,}/{rows:,} {share}")
    return line


def _figures(model: dict[str, Any]) -> Iterator[str]:
    if model["failed"]:
        yield f"{model['failed']:,} failed"
    if model["requests_per_s"] and not model["output_tokens_per_s"]:  # vectors and scores: no token is written
        yield f"{number(model['requests_per_s'])} answers/s now"
    elif model["output_tokens_per_s"] is not None:
        yield f"{count(model['output_tokens_per_s'])} tokens/s now"
    if model["mean_output_tokens_per_s"]:
        yield f"{count(model['mean_output_tokens_per_s'])} tokens/s on average"
    if model["eta_s"] is not None:
        yield f"{seconds(model['eta_s'])} left"


def _su(su: dict[str, Any], unit: str) -> str:
    expected = su["expected"]
    if expected is None:
        return f"{_spent(su)} {unit}"
    low, middle, high = (number(expected[name]) for name in ("low", "expected", "high"))
    return f"{_spent(su)} {unit} of about {middle}" + ("" if low == high else f" ({low} to {high})")


def _spent(su: dict[str, Any]) -> str:
    return f"{number(su['so_far'])}{'?' * (UNPRICED in su['rests_on'])}"


_UNIT = "SU"  # or what the site counts
_COLUMNS = (
    ("", lambda one: _label(one)),
    ("state", lambda one: Text(one["state"], style=_STYLES.get(one["state"], ""))),
    ("phase", lambda one: one["phase"] or ""),
    ("job", lambda one: (one["job"] or {}).get("job_id", "")),
    ("done", lambda one: "" if one["session"] else count(one["done"])),
    ("failed", lambda one: count(one["failed"] or None)),
    ("tok/s", lambda one: count(one["output_tokens_per_s"]) if one["live"] else ""),
    ("mean", lambda one: count(one["mean_output_tokens_per_s"])),
    (_UNIT, lambda one: _share(one["su"])),
)
_TEXTS = ("", "state", "phase", "job")


def _share(su: dict[str, Any] | None) -> str:
    if su is None:
        return ""
    return _spent(su) + (f"/{number(su['expected']['expected'])}" if su.get("expected") else "")


def _allocations(allocations: list[dict[str, Any]], unit: str) -> Table:
    """A row for each; columns that are empty in all of them are left out."""
    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=True, header_style="dim")
    cells = {heading: [value(one) for one in allocations] for heading, value in _COLUMNS}
    shown = {heading: column for heading, column in cells.items() if any(str(cell) for cell in column)}
    for heading in shown:
        name = unit if heading == _UNIT else heading
        is_text, may_wrap = heading in _TEXTS, heading in ("state", "phase")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not may_wrap)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _notes(allocation: dict[str, Any]) -> Iterator[Text]:
    """What does not fit a table: the queue's reason, GPUs per node, the last error."""
    label = _label(allocation)
    job = allocation["job"]
    if job and job["state"] == "PENDING":
        yield Text(f"  {label} waits: {_waiting(job)}")
    for node, gpus in allocation["gpus"].items():
        yield Text(f"  {label} on {node}: {'; '.join(_gpu(gpu) for gpu in gpus)}")
    others = [node for node in allocation["nodes"] if node not in allocation["gpus"]]
    if others and job:
        yield Text(f"  {label} on {', '.join(others)}")
    if times := allocation["restarts"]:
        yield Text(f"  {label} was restarted {times} time{'s' * (times > 1)}", style="yellow")
    if allocation["error"]:
        yield Text(f"  {label}: {allocation['error']}", style="red")


def _label(allocation: Mapping[str, Any]) -> str:
    if allocation["session"]:
        return "session"
    return "tuning" if allocation["allocation"] == TUNING else f"#{allocation['allocation']}"


def _waiting(job: dict[str, Any]) -> str:
    starts = job["expected_start"]
    when = time.strftime("%b %d %H:%M", time.localtime(starts)) if starts else ""
    nodes = f"{job['nodes']} node{'s' * (job['nodes'] > 1)}"
    return f"{job['reason']}; {nodes}; " + (f"expected to start {when}" if when else "Slurm does not say when it starts")


def _gpu(gpu: dict[str, Any]) -> str:
    """0: 97 %, 35.3 of 40 GiB"""
    use = "" if gpu["utilization"] is None else f"{gpu['utilization']:.0f} %"
    memory = ""
    if gpu["used_bytes"] is not None and gpu["total_bytes"] is not None:
        memory = f"{gpu['used_bytes'] / 2**30:.0f} of {gpu['total_bytes'] / 2**30:.0f} GiB"
    return f"GPU {gpu['name'].split(' ')[0]} " + (", ".join(part for part in (use, memory) if part) or "tells nothing")


def _other_jobs(status: dict[str, Any]) -> Iterator[str]:
    """Jobs that stand in no allocation's row: model downloads, rendering, and those that do not say what they are for."""
    shown = {(one["job"] or {}).get("job_id") for model in status["models"].values() for one in model["allocations"]}
    for job in status["jobs"] or ():
        if job["job_id"] in shown:
            continue
        what = job["comment"].removeprefix("rule_").replace("_wildcards_", " of ") if job["comment"].startswith("rule_") else ""
        state = f"waits: {_waiting(job)}" if job["state"] == "PENDING" else job["state"].lower()
        yield f"job {job['job_id']}{f' ({what})' if what else ''}: {state}"


def watch(config: CampaignConfig, interval: float) -> None:
    """Refresh the status every `interval` seconds until Ctrl-C; Slurm is asked every half minute."""
    queue = look(config)
    with Live(render(collect_status(config, queue)), auto_refresh=False, screen=False) as live:
        try:
            while True:
                time.sleep(interval)
                if queue is None or time.time() - queue.asked_at > timing.TIMING.squeue_look:
                    queue = look(config)
                live.update(render(collect_status(config, queue)), refresh=True)
        except KeyboardInterrupt:
            return
