"""await_source: end when a round of a model has enough answers of other models to start on."""

import logging
import math
import time
from collections.abc import Callable

from campaign.allocation.stages.source_look import SourceLook, earlier_rounds_ended, has_ended
from campaign.allocation.stages.start_rule import Outlook, wait_s
from campaign.config import CampaignConfig
from campaign.config.rounds import rounds
from campaign.core import lock, records, state_files, text, timing
from campaign.core.errors import Interrupted, SourceEnded

log = logging.getLogger(__name__)

_TELL_S = 600.0


def await_source(config: CampaignConfig, model: str, number: int, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until round `number` of a model has enough to ask (see start_rule), and write down that it has.

    On one machine the rules wait: the allocations that it waits for are done. Raises SourceEnded when they ended without all of
    their answers, Interrupted when Snakemake is gone, StorageError.
    """
    if config.on_slurm:
        _wait(config, model, rounds(config, model)[number], sleep)
    records.write(state_files.MARKER, config.paths.awaited(model, number), {"t": time.time()})


def _wait(config: CampaignConfig, model: str, level: int, sleep: Callable[[float], None]) -> None:
    token, look, told = lock.running_token(config.paths.lock), SourceLook(config, model, level), -math.inf
    while True:
        ended = has_ended(config, model, level)  # before the parts are looked at: the last one is published before the end
        missing = look.missing()
        if missing and ended:
            raise SourceEnded(source_ended(model, ", ".join(map(str, missing))))
        outlook = look.outlook()
        # What is at hand is asked by the model's allocations of an earlier round, as long as they last.
        left = wait_s(outlook) if earlier_rounds_ended(config, model, level) else math.inf
        if left <= 0:
            log.info("%s starts: about %.0f prompts can be asked", model, outlook.at_hand)
            return
        if lock.running_token(config.paths.lock) != token:
            raise Interrupted("Snakemake is gone. Nothing is lost; the same command continues.")
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            log.info("%s", _state(model, outlook, left))
        sleep(min(left, timing.TIMING.source_look))


def source_ended(model: str, missing: str) -> str:
    """The sentence for prompts that cannot be made."""
    return (
        f"{model} cannot get all its prompts: answers are missing from {missing}, and no allocation that could give them is "
        "left. Answers so far are kept; the same command goes on once that is put right."
    )


def _state(model: str, outlook: Outlook, left: float) -> str:
    at_hand = f"{model}: about {outlook.at_hand:,.0f} prompts can be asked"
    if outlook.ends_in_s is None or not math.isfinite(left):
        return f"{at_hand}; it starts when the answers come that others are made of"
    return (
        f"{at_hand}; its sources end in about {text.seconds(outlook.ends_in_s)}, and it starts in about {text.seconds(left)}, "
        "so that it does not run dry"
    )
