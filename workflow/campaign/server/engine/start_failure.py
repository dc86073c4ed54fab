"""Why a start of an engine ended, as its logs tell it, and whether another start here could help."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from campaign.core import timing
from campaign.explain import ServerFailure, failure_of


def explain_start(logs: Sequence[Path], keep_alive: Callable[[], None], symptom: str | None = None) -> ServerFailure:
    """Why the start with these logs ended. They are read in a thread: the heart beats meanwhile.

    `symptom`: what is known already, and stands when the logs tell nothing more.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain") as pool:
        reading = pool.submit(failure_of, logs)
        while not wait([reading], timeout=timing.TIMING.engine_look).done:
            keep_alive()
    failure = reading.result()
    if symptom is None:
        return failure
    return ServerFailure(f"{symptom}. {failure.sentence}" if failure.known else symptom, failure.verdict)


def is_in_vain(failure: ServerFailure, was_up: bool) -> bool:
    """Whether another start here would fail the same way; a config that was up once may be up again, a broken GPU not."""
    return failure.verdict == "another_node" or (failure.verdict == "permanent" and not was_up)
