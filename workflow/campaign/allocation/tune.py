"""tune: find the settings that answer most, while prompts of the campaign are answered.

One server after the other is started with the flags of a point and answers shards of the campaign's queue, as an allocation
does: what it answers is journalled, and asked no more. Meanwhile the number of requests in flight is moved from level to level,
and the tokens that the engine made are counted. Only where a flag changes answers are they thrown away: the prompts are sent as
a benchmark sends them.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import uvloop

from campaign.allocation.current_server import job_id_of
from campaign.allocation.infer import bill_so_far, drain_schedule, preemption
from campaign.allocation.ready import ensure_ready
from campaign.allocation.stop import stop_server, tear_down
from campaign.benchmark.point import measure
from campaign.benchmark.prompts import campaign_prompts
from campaign.benchmark.tuning.measured import keep_observation, kept_observations, tuned
from campaign.benchmark.tuning.search import Observation, Point, Space, best_point, next_point
from campaign.benchmark.tuning.space import changes_answers, digest_of, space_of, with_flags
from campaign.config import CampaignConfig, ModelConfig, keep
from campaign.core import events, records, state_files, timing
from campaign.core.errors import NodeLost, NodeUnfit, ServerError, WalltimeReached
from campaign.core.paths import TUNING
from campaign.core.processes import ProcessId
from campaign.inference.loop import Inference
from campaign.inference.progress import Meter
from campaign.models.identity import identity_of
from campaign.plan.tuning_plan import allowed_levels, budget_s
from campaign.queue.enqueue import has_pending, pending_of
from campaign.queue.shard_queue import ShardQueue
from campaign.server.engine.command_line import engine_versions
from campaign.server.server_state import ServerState

log = logging.getLogger(__name__)

_FULL = 0.9  # of the requests that are to be in flight
_TURNS = 4  # requests for each that is in flight, of a point whose answers are not kept


@dataclass
class Search:
    """The search of one model as it goes: what was measured, and where."""

    config: CampaignConfig
    model: str
    space: Space
    setting: str
    budget_s: float
    observations: list[Observation] = field(default_factory=list)
    out_of_prompts: bool = False

    @property
    def settings(self) -> ModelConfig:
        return self.config.models[self.model]

    def next(self) -> Point | None:
        """The point to measure now; None when the search is over."""
        return None if self.out_of_prompts else next_point(self.observations, self.space, self.budget_s)

    def server_of(self, flags: tuple[Any, ...]) -> CampaignConfig:
        """The campaign with the model as these flags have it."""
        changed = with_flags(self.settings, self.space, flags)
        return self.config.model_copy(update={"models": {**self.config.models, self.model: changed}})

    def saw(self, one: Observation) -> None:
        """Keep a measurement. Raises StorageError."""
        self.observations.append(one)
        keep_observation(self.config.paths, self.model, self.setting, one)
        flags = {axis.name: level for axis, level in zip(self.space.axes, one.point.flags, strict=True)}
        spent = sum(seen.cost_s for seen in self.observations)
        log.info(
            "%s: %.0f tokens/s with %d in flight, %s (%.0f of %.0f s)",
            *(self.model, one.rate, one.point.concurrency, flags, spent, self.budget_s),
        )


def tune(config: CampaignConfig, model: str) -> None:
    """Search within the budget, and write down what was found. Raises ServerError when no server starts, StorageError.

    An interrupted search goes on with the same command; one whose walltime ends writes what it has.
    """
    search = _search(config, model)
    try:
        while (point := search.next()) is not None:
            _measure_server(search, point)
    except WalltimeReached as why:
        log.warning("%s: the tuning ends here: %s", model, why)
    finally:
        keep(config)
    tear_down(config, model, TUNING)
    if best_point(search.observations) is None and search.observations:
        raise ServerError(f"No server of {model} answered anything while it was tuned; its logs: {config.paths.logs}")
    found = tuned(model, search.settings, search.space, search.observations)
    records.write(state_files.TUNED, config.paths.tuned(model), found)


def _search(config: CampaignConfig, model: str) -> Search:
    rows = int(pending_of(config.paths, model).get("pending", 0))
    space = space_of(config, model, rows, allowed_levels(config, model))
    identity, version = identity_of(config.paths, model)["identity"], engine_versions(config.engine)["vllm"]
    setting = digest_of(identity, version, config.models[model], space, config.tuning.window)
    budget = budget_s(config, model)
    space = replace(space, load_s=min(space.load_s, budget / 4))  # a small model loads faster than is expected of any
    return Search(config, model, space, setting, budget, kept_observations(config.paths, model, setting))


def _measure_server(search: Search, point: Point) -> None:
    """Start the server of a point, and measure with it as long as the search stays with its flags."""
    config = search.server_of(point.flags)
    keep(config)  # what the supervisor is started with
    began = time.monotonic()
    try:
        server_state = ensure_ready(config, search.model, TUNING, again=True)
    except (NodeLost, NodeUnfit):
        raise
    except ServerError as error:
        took = time.monotonic() - began
        log.warning("%s: no server with these flags: %s", search.model, error)
        stop_server(config, search.model, TUNING)
        search.saw(Observation(point, 0.0, took, took))
        return
    was_up = bool(search.observations) and search.observations[-1].point.flags == point.flags
    load_s = 0.0 if was_up else time.monotonic() - began
    if changes_answers(search.settings, config.models[search.model]):
        _measure_apart(search, config, server_state, point, load_s)
    else:
        _measure_answering(search, config, server_state, point, load_s)


# --- with answers that are kept -------------------------------------------------------------------------------------------


def _measure_answering(search: Search, config: CampaignConfig, server_state: ServerState, point: Point, load_s: float) -> None:
    model = search.model
    if not has_pending(config, model):
        search.out_of_prompts = True
        return
    config = config.model_copy(update={"inference": config.inference.model_copy(update={"concurrency": point.concurrency})})
    pending = pending_of(config.paths, model)
    queue = ShardQueue(config, model, ProcessId.current(), job_id_of(server_state.run))
    meter = Meter(pending["rows"], queue.answered_before(pending["rows"]))
    again = partial(ensure_ready, config, model, TUNING, again=True)
    inference = Inference(config, model, TUNING, queue, meter, again, preemption(config, model))
    inference.drain.stop_sending = drain_schedule(config, model, server_state)
    inference.reporter.billed = bill_so_far(config, model)
    steering = Steering(search, inference, load_s)
    paths, state = config.paths.allocation(model, TUNING), "failed"
    with events.phase(paths.events, server_state.run, "infer", job_id=server_state.job_id, host=server_state.host):
        try:
            uvloop.run(inference.run(steering.steer(point)))
            state = "finished"
        finally:
            inference.reporter.write_status(state)
    search.out_of_prompts = search.out_of_prompts or not steering.ended


class Steering:
    """Moves the number of requests in flight of one infer from point to point, and measures each."""

    def __init__(self, search: Search, inference: Inference, load_s: float) -> None:
        self._search, self._inference, self._load_s = search, inference, load_s
        self.ended = False  # of its own: else there was nothing more to ask

    async def steer(self, point: Point | None) -> None:
        """Measure as long as the search stays with this server, then let what is in flight finish."""
        flags = point.flags if point else ()
        while point is not None and point.flags == flags:
            if not await self._measure(point):
                break
            point = self._search.next()
        self.ended = True
        self._inference.drain.finish("This server is measured")

    async def _measure(self, point: Point) -> bool:
        """Whether the point could be measured: near the end there are too few prompts for it."""
        window, meter = self._search.config.tuning.window, self._inference.reporter.meter
        began = time.monotonic()
        self._inference.keep_in_flight(point.concurrency)
        before = meter.done
        while meter.done - before < point.concurrency and time.monotonic() - began < window:
            await asyncio.sleep(timing.TIMING.tuning_look)
        since, made = time.monotonic(), await self._made()
        await asyncio.sleep(window)
        seconds, more = time.monotonic() - since, await self._made()
        if self._inference.feed.is_exhausted and self._inference.in_flight < _FULL * point.concurrency:
            self._search.out_of_prompts = True
            return False
        lives = made is not None and more is not None
        rate = max(0, more - made) / seconds if made is not None and more is not None else 0.0
        self._search.saw(Observation(point, rate, time.monotonic() - began + self._load_s, self._load_s))
        self._load_s = 0.0
        return lives

    async def _made(self) -> int | None:
        """Tokens the engine made so far: counted as they come, and not when a request ends."""
        metrics = await self._inference.server.metrics()
        return None if metrics is None else metrics.generation_tokens or metrics.prompt_tokens


# --- with answers that are not --------------------------------------------------------------------------------------------


def _measure_apart(search: Search, config: CampaignConfig, server_state: ServerState, point: Point, load_s: float) -> None:
    """Measure as a benchmark does: answers of other settings must not be mixed with the campaign's answers."""
    key = config.paths.allocation(search.model, TUNING).api_key.read_text().strip()
    prompts = campaign_prompts(config, search.model, _TURNS * point.concurrency)
    began, timeout = time.monotonic(), config.inference.request_timeout
    salt = f"{server_state.run}-{time.time_ns()}"
    made = uvloop.run(measure(server_state.url or "", key, search.model, prompts, point.concurrency, timeout, salt))
    rate = made["output_tokens_per_s"] or made["total_tokens_per_s"]
    search.saw(Observation(point, rate, time.monotonic() - began + load_s, load_s))
