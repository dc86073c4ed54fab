"""What stands in the place of a file of the campaign and is none: a link to nothing or in a circle, a folder, a pipe, a socket.

Snakemake takes it for an output that is there, reading it fails or never ends, and nothing can be written in its place.
"""

import errno
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from campaign.core.errors import StorageError
from campaign.core.files import explained
from campaign.core.paths import CampaignPaths

log = logging.getLogger(__name__)

_ANSWERS = ("responses", "grouped", "journals", "superseded")  # folders


def put_aside(path: Path) -> Path:
    """Give what is there a hidden name beside it, which says that it is damaged. Returns that. Raises StorageError."""
    beside = path.with_name(f".{path.name}.damaged")
    if os.path.lexists(beside) and (beside.is_dir() or path.is_dir()):  # only a file takes the place of another one
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.damaged")
    with explained(path):
        path.rename(beside)
    return beside


def clear_lock(lock: Path) -> None:
    """Put aside what is in the place of the campaign's lock: nobody can hold that."""
    if any(path == lock for path, _ in _no_files(lock.parent, deep=False)) and not _leads_nowhere(lock):
        _tell_and_put_aside(lock)


def clear_places(paths: CampaignPaths, others_are_at_work: Callable[[], bool]) -> None:
    """Remove links to nothing, and put aside whatever else is where only a file can be. Not while others are at work.

    Raises StorageError for a link that had answers: they may lie where it points to, and asked again they are paid for twice.
    """
    root = paths.root
    places = [str(path) for path in _places(paths)]
    links, others = [], []
    for path, is_link in _no_files(root):
        if is_link and _leads_nowhere(path):
            links.append(path)
        elif any(path.match(place) for place in places):
            others.append(path)
    if not (links or others) or others_are_at_work():
        return
    for path in links:
        if path.relative_to(root).parts[0] in _ANSWERS:
            raise StorageError(
                f"{path} is a link to {path.readlink()}, which is not there. Mount or make that; or remove the link, and what "
                "it held is asked again. Then run the same command again."
            )
        log.warning("%s is a link to %s, which is not there: it is removed, and made again", path, path.readlink())
        with explained(path):
            path.unlink()
    for path in others:
        _tell_and_put_aside(path)


def _tell_and_put_aside(path: Path) -> None:
    what = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no regular file"
    log.warning("%s is %s where a file goes: it is made again, and kept as %s", path, what, put_aside(path).name)


def _places(paths: CampaignPaths) -> Iterator[Path]:
    """Where only files go, as patterns."""
    yield from (paths.config, paths.planned_config, paths.kept_config("*"), paths.snakemake_runs, paths.submissions)
    yield from (paths.excluded_nodes, paths.halts, paths.slurm_jobs, paths.plan, paths.forecasts, paths.collected)
    yield from (paths.last_collected, paths.benchmarks, paths.accounting, paths.report, paths.plot("*"), paths.tuning)
    yield from (paths.manifest("*"), paths.known_prompts("*"), paths.kept_order("*"), paths.model_identity("*"))
    yield from (paths.pending("*"), paths.awaited("*", "*"), paths.tuning_points("*"))
    yield paths.request_shards("*") / "shard-*.parquet"
    yield paths.leases("*") / "*.g*"
    yield paths.benchmark_points("*") / "*.json"
    for folder in (paths.responses, paths.all_grouped_parts):
        yield folder / "model=*" / "dataset=*" / "part-*.parquet"
    yield paths.journals("*", "*") / "*" / "*.jsonl"
    one = replace(paths.allocation("*", 0), root=paths.allocation("*", 0).root.with_name("*"))
    yield from (one.api_key, one.stop_request, one.code, one.metrics, one.events, one.suspects, one.connection_info)
    yield from (one.root / "*.json", one.root / "lease.g*", one.gpus / "*.json", one.ray_token)


def _no_files(folder: Path, *, deep: bool = True) -> Iterator[tuple[Path, bool]]:
    """All below a folder that is no regular file, folders included, and whether it is a link.

    Not os.walk: it does not tell what it read of each entry, and a campaign has thousands of parts.
    """
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:  # gone since, or not ours to read: whoever needs what is in it says so
        return
    for entry in entries:
        if not _is_file(entry):
            yield Path(entry.path), entry.is_symlink()
            if deep and entry.is_dir(follow_symlinks=False):
                yield from _no_files(Path(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:  # what a link leads to cannot be seen just now, or it leads in a circle
        return error.errno != errno.ELOOP


def _leads_nowhere(link: Path) -> bool:
    try:
        link.stat()
    except FileNotFoundError:
        return True
    except OSError:  # in a circle, or what it points to cannot be seen just now
        return False
    return False
