"""Which logs tell of a failure: those of one start of an engine, or what a user names."""

from pathlib import Path

_NAMES = ("*.log", "*.err", "*.out", "*.txt")
_MOST = 400  # newest files of a folder: Ray's of a large node


def logs_of_start(folder: Path, run: str, generation: int) -> list[Path]:
    """The logs of one start: the engine's, then those of Ray and of srun on each node."""
    engine = folder / f"{run}-engine-{generation}.log"
    beside = sorted(folder.glob(f"{run}-{generation}-*.log"))
    return [path for path in (engine, *beside) if path.exists()]


def failures_in(folder: Path) -> list[list[Path]]:
    """Groups of logs that belong together, the newest first: the starts of an allocation's engine; else all of the folder."""
    engines = sorted(folder.glob("*-engine-*.log"), key=_age)
    if not engines:
        files = {path for name in _NAMES for path in folder.rglob(name) if path.is_file()}
        return [sorted(files, key=_age)[:_MOST]] if files else []
    starts = [engine.stem.rpartition("-engine-") for engine in engines]
    newest = starts[0][0]
    groups = [logs_of_start(folder, run, int(number)) for run, _, number in starts if run == newest and number.isdigit()]
    supervisor = folder / f"{newest}-supervisor.log"
    return [*groups, [supervisor]] if supervisor.exists() else groups


def _age(path: Path) -> float:
    return -path.stat().st_mtime
