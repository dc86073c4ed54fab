"""ready: wait until the allocation's server has answered one real request; and ensure_ready, for the phases that need one."""

import logging
import os
import time
from typing import Any, cast

import orjson

from campaign.allocation.bring_up import start
from campaign.allocation.current_server import require_server_state, server_of_now, whereabouts
from campaign.allocation.deadlines import answer_deadline, load_deadline
from campaign.config import CampaignConfig
from campaign.config.site_file import cluster
from campaign.core import events, patience, records, state_files, timing
from campaign.core.errors import NodeLost, NodeUnfit, ServerError
from campaign.core.files import last_line_of
from campaign.core.paths import AllocationPaths
from campaign.core.patience import in_flight
from campaign.explain import sentence_of
from campaign.plan.memory.started import expected_memory, memory_record
from campaign.requests.asked_endpoints import asked_endpoints
from campaign.requests.endpoints import APIS, COMPLETIONS, Api
from campaign.requests.replies.reply import BadReply
from campaign.server import http
from campaign.server.connection import write_connection_info
from campaign.server.engine.command_line import devices, engine_versions
from campaign.server.engine.start_report import read_start_report
from campaign.server.metrics import scrape
from campaign.server.server_state import ServerState

log = logging.getLogger(__name__)

_NOT_YET = in_flight.NOT_READY_STATUSES | in_flight.SHEDDING_STATUSES | in_flight.GATEWAY_STATUSES
_TELL_OF_ITSELF_S = 30.0  # a server that was just asked something


def ready(config: CampaignConfig, model: str, allocation: int, *, force: bool = False) -> None:
    """Wait until the server has answered one real request, and record what it is; it is started if there is none of now.

    `force`: as of bring_up. Raises ServerError with the cause.
    """
    paths = config.paths.allocation(model, allocation)
    server_state = server_of_now(config, model, allocation)
    if server_state is None:
        start(config, model, allocation, force=force)
        server_state = require_server_state(paths)
    if server_state.state == "idle":
        idle: state_files.Ready = {"state": "idle", "run": server_state.run}
        records.write(state_files.READY, paths.marker("ready"), idle)
        return
    with events.phase(paths.events, server_state.run, "ready", **whereabouts(server_state.run)):
        server_state = _wait_until_up(paths)
        load_s = time.time() - server_state.started_at
        first_s = first_answer(paths, server_state, first_api(config, model))
        record = {
            **_description(config, model, server_state),
            **_capacity(config, model, paths, server_state),
            "load_s": round(load_s, 1),
            "first_answer_s": round(first_s, 2),
        }
    records.write(state_files.READY, paths.marker("ready"), cast(state_files.Ready, record))
    login = cluster(config.site).hosts.login if config.on_slurm else None
    write_connection_info(paths.connection_info, server_state, login)
    log.info("How to reach it: %s", paths.connection_info)
    log.info("%s is up after %.0f s and answers in %.1f s", model, load_s, first_s)


def ensure_ready(config: CampaignConfig, model: str, allocation: int, *, again: bool = False) -> ServerState:
    """The state of the server of now, up; started when there is none. Raises ServerError.

    `again`: also when it failed. Else its error is today's, and the next phase would only see it once more.
    """
    paths = config.paths.allocation(model, allocation)
    server_state = server_of_now(config, model, allocation)
    if server_state is not None and server_state.usable():
        return server_state
    if server_state is None or server_state.state == "idle" or (server_state.state == "failed" and again):
        start(config, model, allocation, force=True)
    ready(config, model, allocation, force=True)
    _keep_order(paths)
    return require_server_state(paths)


def _keep_order(paths: AllocationPaths) -> None:
    """A server that benchmark started makes ready.json newer than infer's mark, which Snakemake would take for outdated."""
    if (answered := paths.marker("answered")).exists():
        os.utime(answered)


# --- a server that loads --------------------------------------------------------------------------------------------------


def _wait_until_up(paths: AllocationPaths) -> ServerState:
    started = said = time.monotonic()
    deadline = load_deadline()
    while time.monotonic() - started < deadline:
        server_state = require_server_state(paths)
        _raise_if_it_ended(server_state, paths)
        if server_state.usable():
            return server_state
        if time.monotonic() - said > timing.TIMING.start_line:
            said = time.monotonic()
            engine_log = paths.engine_log(server_state.run, server_state.generation)
            log.info("%s is starting for %.0f s: %s", server_state.model, said - started, last_line_of(engine_log)[:120])
        time.sleep(timing.TIMING.server_look)
    raise ServerError(f"The server was not up within {deadline:.0f} s; its log is in {paths.logs}.")


def _raise_if_it_ended(server_state: ServerState, paths: AllocationPaths) -> None:
    if server_state.node_lost:
        raise NodeLost(server_state.error)
    if server_state.state in ("failed", "stopped"):
        unfit = server_state.state == "failed" and server_state.verdict == "another_node"
        raise (NodeUnfit if unfit else ServerError)(
            f"The server of {server_state.model} is {server_state.state}. {server_state.error}"
        )
    if not server_state.alive():
        raise ServerError(
            f"The supervisor of {server_state.model} is gone; its log is in {paths.logs}. Run the same command again."
        )


# --- its first answer -----------------------------------------------------------------------------------------------------


def first_api(config: CampaignConfig, model: str) -> Api:
    """The endpoint whose question shows that the server works: one that datasets ask, chat before others.

    Chat needs a chat template too, so it is not asked for batch files alone, which may hold anything.
    """
    datasets = config.datasets_of(model)
    asked = {name: asked_endpoints(config, name) for name in datasets}
    own = {endpoint for name, endpoints in asked.items() if not datasets[name].is_batch for endpoint in endpoints}
    pooled = {one for endpoints in asked.values() for one in endpoints if not APIS[one].writes_text}
    return next((api for api in APIS.values() if api.name in (own or pooled)), COMPLETIONS)


def first_answer(paths: AllocationPaths, server_state: ServerState, api: Api) -> float:
    """Seconds one real completion takes. A server can be healthy over a dead pipeline: only an answer shows that it works."""
    question = orjson.dumps({"model": server_state.model, **api.question})
    started = time.monotonic()
    try:
        reply = _ask_until_ready(server_state, paths, api.route, question)
    except http.Refused as error:
        answer = error.body.decode(errors="replace")[:500]
        cause = sentence_of(answer)
        raise ServerError(
            f"The server of {server_state.model} is up but refuses a request: {answer}" + (f" {cause}" if cause else "")
        ) from None
    except (OSError, ValueError) as error:
        raise ServerError(
            f"The server of {server_state.model} is up but does not answer ({error}); its log is in {paths.logs}."
        ) from None
    answered_s = time.monotonic() - started
    try:
        api.read_reply(reply)
    except BadReply as error:
        raise ServerError(
            f"The server of {server_state.model} answers {api.route} with what is no answer of vLLM ({error}): "
            f"{reply[:500].decode(errors='replace')}. Its log is in {paths.logs}; another program may listen at "
            f"{server_state.url}."
        ) from None
    return answered_s


def _ask_until_ready(server_state: ServerState, paths: AllocationPaths, route: str, question: bytes) -> bytes:
    """The server's first reply.

    It is asked again while it is not ready for anybody: its model is registered, or its key taken, after its port opens.
    """
    wait = patience.NOT_READY
    deadline = time.monotonic() + min(wait.seconds, answer_deadline())
    while True:
        try:
            return http.post(f"{server_state.url}{route}", question, key=_key(paths), timeout_s=answer_deadline())
        except http.Refused as error:
            if error.status not in _NOT_YET or time.monotonic() >= deadline:
                raise
            log.info("The server of %s is not ready yet: HTTP %d", server_state.model, error.status)
        time.sleep(timing.TIMING.first_answer_retry)


def _key(paths: AllocationPaths) -> str:
    return paths.api_key.read_text().strip()


def _description(config: CampaignConfig, model: str, server_state: ServerState) -> dict[str, Any]:
    """What ready.json says of the server, but for what was measured."""
    settings = config.models[model]
    return {
        "state": "up",
        "run": server_state.run,
        "device": devices(),
        "nodes": server_state.nodes,
        "gpus": settings.placement.nodes * settings.placement.gpus_per_node,
        "versions": engine_versions(config.engine),
        "model_revision": server_state.model_revision,
    }


def _capacity(config: CampaignConfig, model: str, paths: AllocationPaths, server_state: ServerState) -> dict[str, Any]:
    """Context length, weights and KV cache, as the server tells them, and as they were planned."""
    models, metrics = (
        http.get(f"{server_state.url}{route}", key=_key(paths), timeout_s=_TELL_OF_ITSELF_S)
        for route in (http.MODELS, http.METRICS)
    )
    settings, tokens = config.models[model], scrape(metrics.decode()).cache_tokens
    report = read_start_report(paths.engine_log(server_state.run, server_state.generation))
    expected = expected_memory(settings, config.site)
    memory = memory_record(settings, config.site, expected, report, tokens, derived=server_state.kv_cache_tokens)
    for difference in memory["differs"]:
        log.warning("%s: %s", model, difference)
    return {"max_model_len": orjson.loads(models)["data"][0].get("max_model_len"), **memory}
