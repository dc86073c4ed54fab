"""The phases of a server's life: bring_up, ready, tear_down; and ensure_ready, for those that need one.

Each phase asks for the server of this session (under Slurm: of this job) with today's settings, and starts one if there is
none. What an earlier run left, its errors too, is history: started.json says only that bring_up once ended.
"""

import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from campaign.allocation import budget, holder, requeue
from campaign.allocation.needs_server import needs_server
from campaign.config import CampaignConfig
from campaign.core import events, lock, patience, records
from campaign.core.errors import BudgetReached, CampaignError, NodeLost, NodeUnfit, ServerError, Stalled, StorageError
from campaign.core.files import write_atomic
from campaign.core.paths import AllocationPaths
from campaign.core.processes import ProcessId, carrying, end, running, starter
from campaign.core.secret import keep_secret
from campaign.explain import sentence_of
from campaign.models.identity import identity_of
from campaign.plan.estimate import expected_cache_tokens
from campaign.server.connection import write_connection_info
from campaign.server.endpoint import ENDPOINT, Endpoint, read_endpoint, write_endpoint
from campaign.server.engine import RUN_VARIABLE, devices, engine_versions, settings_digest
from campaign.server.metrics import scrape
from campaign.slurm import client as slurm
from campaign.slurm.node_exclusion import exclude_nodes_of, excluded_nodes, refuse_excluded

log = logging.getLogger(__name__)

_SUPERVISOR_START_S = patience.SUPERVISOR_START.seconds
_LOAD_DEADLINE_S = patience.LOAD.seconds
_NOT_YET = patience.NOT_READY_STATUSES | patience.SHEDDING_STATUSES | patience.GATEWAY_STATUSES
_ASK_AGAIN_S = 1.0
_FIRST_ANSWER_S = patience.FIRST_ANSWER.seconds
_LOAD_SHARE = 0.5  # of what is left of the walltime; a server that takes longer would answer next to nothing
_STOP_S = patience.SERVER_STOP.seconds
_TELL_EVERY_S = 15.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a site's http_proxy cannot reach loopback


def bring_up(config: CampaignConfig, model: str, allocation: int, *, needed: bool = False) -> None:
    """Start the allocation's supervisor, unless it has nothing to ask: then the endpoint is `idle`.

    `needed`: start it even so (a benchmark is still due). Raises ServerError when it does not start.
    """
    run = _start(config, model, allocation, needed)
    paths = config.paths.allocation(model, allocation)
    records.write(records.MARKER, paths.marker("started"), {"run": run, "job_id": _job_id(run)})


def _start(config: CampaignConfig, model: str, allocation: int, needed: bool) -> str:
    """As bring_up, for phases whose own mark comes later; returns the run. A newer started.json would outdate theirs."""
    paths = config.paths.allocation(model, allocation)
    if config.site != "local":
        if (number := slurm.job_id()) is not None:
            holder.take(paths, number)
        requeue.refuse_if_given_up(paths)
        if excluded_nodes(config.paths) and (job := slurm.this_job()) is not None:
            refuse_excluded(config.paths, job.nodes)
    run = _new_run()
    needed = needed or needs_server(config, model, allocation, _job_id(run))
    if needed and config.site != "local" and (number := slurm.job_id()) is not None:
        budget.check_start(config, number)
    # Under Slurm a server belongs to its job, and goes on when the Snakemake that submitted it is gone.
    session = lock.session_token(config.paths.lock) if config.site == "local" else None
    with events.phase(paths.events, run, "bring_up", **_whereabouts(run)):
        stop_server(config, model, allocation)  # before the endpoint is replaced: it is the record of what may still run
        if not needed:
            idle = Endpoint(state="idle", run=run, job_id=_job_id(run), host=os.uname().nodename, model=model, session=session)
            write_endpoint(paths.endpoint, idle)
            log.info("%s: every request has its answer or is being asked, no server is needed", model)
        else:
            keep_secret(paths.api_key)
            _start_supervisor(config, model, allocation, run, session, paths)
    return run


def ready(config: CampaignConfig, model: str, allocation: int, *, needed: bool = False) -> None:
    """Wait until the server has answered one real request, and record what it is; it is started if there is none of now.

    `needed`: as of bring_up. Raises ServerError with the cause.
    """
    paths = config.paths.allocation(model, allocation)
    endpoint = server_of_now(config, model, allocation)
    if endpoint is None:
        _start(config, model, allocation, needed)
        endpoint = _require_endpoint(paths)
    if endpoint.state == "idle":
        idle: records.Ready = {"state": "idle", "run": endpoint.run}
        records.write(records.READY, paths.marker("ready"), idle)
        return
    with events.phase(paths.events, endpoint.run, "ready", **_whereabouts(endpoint.run)):
        endpoint = _wait_until_up(paths)
        load_s = time.time() - endpoint.started_at
        first_s = _first_answer(paths, endpoint, chat=_asks_chat(config, model))
        record = {
            "state": "up",
            "run": endpoint.run,
            "load_s": round(load_s, 1),
            "first_answer_s": round(first_s, 2),
            "device": devices(),
            "nodes": endpoint.nodes,
            "gpus": config.models[model].placement.nodes * config.models[model].placement.gpus_per_node,
            "versions": engine_versions(config.engine),
            "model_revision": endpoint.model_revision,
            **_capacity(paths, endpoint),
            "kv_cache_tokens_planned": endpoint.kv_cache_tokens or expected_cache_tokens(config.models[model]),
        }
    records.write(records.READY, paths.marker("ready"), cast(records.Ready, record))
    write_connection_info(paths.connection_info, endpoint)
    log.info("How to reach it: %s", paths.connection_info)
    log.info("%s is up after %.0f s and answers in %.1f s", model, load_s, first_s)


def tear_down(config: CampaignConfig, model: str, allocation: int) -> None:
    """Stop the allocation's server and everything it started."""
    paths = config.paths.allocation(model, allocation)
    endpoint = read_endpoint(paths.endpoint)
    run = endpoint.run if endpoint else _new_run()
    with events.phase(paths.events, run, "tear_down", **_whereabouts(run)):
        stop_server(config, model, allocation)
    records.write(records.MARKER, paths.marker("done"), {"run": run})


def ensure_ready(config: CampaignConfig, model: str, allocation: int, *, again: bool = False) -> Endpoint:
    """The endpoint of the server of now, up; started when there is none. Raises ServerError.

    `again`: also when it failed. Else its error is today's, and the next phase would only see it once more.
    """
    paths = config.paths.allocation(model, allocation)
    endpoint = server_of_now(config, model, allocation)
    if endpoint is not None and endpoint.usable():
        return endpoint
    if endpoint is None or endpoint.state == "idle" or (endpoint.state == "failed" and again):
        _start(config, model, allocation, needed=True)
    ready(config, model, allocation, needed=True)
    _keep_order(paths)
    return _require_endpoint(paths)


def _keep_order(paths: AllocationPaths) -> None:
    """A server that benchmark started makes ready.json newer than infer's mark, which Snakemake would take for outdated."""
    if (answered := paths.marker("answered")).exists():
        os.utime(answered)


def server_of_now(config: CampaignConfig, model: str, allocation: int) -> Endpoint | None:
    """The endpoint of this session or job with today's settings, idle, failed or alive; None when there is no such server."""
    endpoint = known_endpoint(config.paths.allocation(model, allocation))
    if endpoint is None or not _is_ours(config, endpoint):
        return None
    if endpoint.state == "idle":
        return endpoint
    of_now = endpoint.command == _digest_of_now(config, model)
    return endpoint if of_now and (endpoint.state == "failed" or (endpoint.state != "stopped" and endpoint.alive())) else None


def _is_ours(config: CampaignConfig, endpoint: Endpoint) -> bool:
    if config.site == "local":
        return endpoint.session == lock.session_token(config.paths.lock)
    return endpoint.job_id == _job_id(endpoint.run)


def _digest_of_now(config: CampaignConfig, model: str) -> str:
    identity = identity_of(config.paths, model)
    return settings_digest(config.engine, config.models[model], identity["identity"], identity["path"])


def stop_server(config: CampaignConfig, model: str, allocation: int) -> None:
    """End the allocation's supervisors on this host and their servers; and strays of one that was killed. Idempotent.

    They are found by their command lines too: two servers of an allocation would send the same prompts, whatever became of the
    file that names them.
    """
    paths = config.paths.allocation(model, allocation)
    endpoint = read_endpoint(paths.endpoint)
    supervisors = _supervisors_here(config, model, allocation, endpoint)
    if supervisors:
        _stop(model, paths, supervisors)
        endpoint = read_endpoint(paths.endpoint) or endpoint  # as it was last written
    strays = carrying(RUN_VARIABLE, endpoint.run) if endpoint is not None and endpoint.supervisor is not None else []
    if strays:
        log.warning("Ending %d processes an earlier server left behind", len(strays))
        end(strays, grace=5)


def _supervisors_here(config: CampaignConfig, model: str, allocation: int, endpoint: Endpoint | None) -> list[ProcessId]:
    pids = running(_supervisor_words(config, model, allocation), Path.cwd())
    found = {process for pid in pids if (process := ProcessId.of(pid)) is not None}
    if endpoint is not None and endpoint.supervisor is not None:
        named = ProcessId.from_json(endpoint.supervisor)
        found |= {named} if named.here and named.alive() else set()
    return list(found)


def _stop(model: str, paths: AllocationPaths, supervisors: list[ProcessId]) -> None:
    try:
        with _stop_requested(paths):
            deadline = time.monotonic() + _STOP_S
            while any(process.alive() for process in supervisors) and time.monotonic() < deadline:
                time.sleep(0.2)
    except StorageError as error:
        log.warning("%s The server of %s is told to stop by a signal.", error, model)
        end([process.pid for process in supervisors], grace=_STOP_S)
    if alive := [process.pid for process in supervisors if process.alive()]:
        log.warning("The supervisor of %s does not stop; it is killed", model)
        end(alive, grace=1)


def give_back(config: CampaignConfig, model: str, allocation: int, why: CampaignError) -> None:
    """End the server and queue this job again. Never returns; raises what allocation.requeue.go_back raises."""
    endpoint = read_endpoint(config.paths.allocation(model, allocation).endpoint)
    stop_server(config, model, allocation)
    try:
        if (number := slurm.job_id()) is not None:
            budget.check_requeue(config, number)
        requeue.go_back(config, model, allocation, endpoint.run if endpoint else _new_run(), why)
    except (Stalled, BudgetReached) as final:
        requeue.give_up(config.paths.allocation(model, allocation), str(final))
        raise


def leave_node(config: CampaignConfig, model: str, allocation: int, why: NodeUnfit) -> None:
    """End the server on a node that cannot run it, and let later jobs of the campaign leave that node out.

    The job then ends, and Snakemake's retry submits another one. Queued again in place it would have kept its list of nodes:
    Slurm changes that of a waiting job only, and could put it where it was.
    """
    paths = config.paths.allocation(model, allocation)
    endpoint = read_endpoint(paths.endpoint)
    stop_server(config, model, allocation)
    if endpoint is None or config.site == "local":
        return
    nodes = endpoint.nodes or [endpoint.host]
    unfit = exclude_nodes_of(config.paths, nodes, str(why), _job_id(endpoint.run))
    log.warning("%s cannot serve: jobs submitted from now on leave it out, for a day. This one ends.", ", ".join(unfit))


@contextmanager
def _stop_requested(paths: AllocationPaths) -> Iterator[None]:
    write_atomic(paths.stop_request, b"", durable=False)
    try:
        yield
    finally:
        paths.stop_request.unlink(missing_ok=True)


def _new_run() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    stamp = time.strftime("%Y%m%dT%H%M%S")
    return f"{job}-{stamp}" if job else f"local-{stamp}-{os.getpid()}"


def _job_id(run: str) -> str:
    return os.environ.get("SLURM_JOB_ID", run)


def _whereabouts(run: str) -> dict[str, str]:
    return {"job_id": _job_id(run), "host": os.uname().nodename}


def _start_supervisor(
    config: CampaignConfig, model: str, allocation: int, run: str, session: str | None, paths: AllocationPaths
) -> None:
    paths.stop_request.unlink(missing_ok=True)
    paths.logs.mkdir(parents=True, exist_ok=True)
    log_file = paths.logs / f"{run}-supervisor.log"
    command = [sys.executable, *_supervisor_words(config, model, allocation), "--run", run]
    # Under Slurm it ends with its job.
    owner = ["--session", session] if session else ["--starter", starter().to_text()]
    command += owner if config.site == "local" else []
    with log_file.open("wb") as output:
        supervisor = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        if _has_spoken(supervisor, paths, run):
            return
    except BaseException:
        end([supervisor.pid], grace=_STOP_S)  # Ctrl-C: no endpoint names it yet
        raise
    end([supervisor.pid], grace=_STOP_S)
    raise ServerError(f"The supervisor did not start: {_last_line(log_file)} (log: {log_file})")


def _supervisor_words(config: CampaignConfig, model: str, allocation: int) -> list[str]:
    """What tells an allocation's supervisor from others of the same working directory."""
    words = ["-m", "campaign.allocation.supervise", str(config.paths.config)]
    return [*words, "--model", model, "--allocation", str(allocation)]


def _has_spoken(supervisor: "subprocess.Popen[bytes]", paths: AllocationPaths, run: str) -> bool:
    deadline = time.monotonic() + _SUPERVISOR_START_S
    while time.monotonic() < deadline and supervisor.poll() is None:
        endpoint = read_endpoint(paths.endpoint)
        if endpoint is not None and endpoint.run == run:
            return True
        time.sleep(0.1)
    return False


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[-1][:300] if lines else "it wrote nothing"


def known_endpoint(paths: AllocationPaths) -> Endpoint | None:
    """The endpoint. One that is damaged is rewritten at the next heartbeat, if there is a supervisor.

    Raises StorageError when it cannot be read for long (patience.UNREADABLE): that tells nothing of the server.
    """
    deadline = time.monotonic() + patience.ENDPOINT.seconds
    while records.is_damaged(ENDPOINT, paths.endpoint) and time.monotonic() < deadline:
        time.sleep(0.3)
    return records.read(ENDPOINT, paths.endpoint)


def _require_endpoint(paths: AllocationPaths) -> Endpoint:
    endpoint = known_endpoint(paths)
    if endpoint is None:
        raise ServerError(f"No server was brought up ({paths.endpoint} is missing); run the same command again.")
    return endpoint


def _wait_until_up(paths: AllocationPaths) -> Endpoint:
    started = told = time.monotonic()
    deadline = _load_deadline()
    while time.monotonic() - started < deadline:
        endpoint = _require_endpoint(paths)
        if endpoint.node_lost:
            raise NodeLost(endpoint.error)
        if endpoint.state in ("failed", "stopped"):
            unfit = endpoint.state == "failed" and endpoint.verdict == "another_node"
            raise (NodeUnfit if unfit else ServerError)(f"The server of {endpoint.model} is {endpoint.state}. {endpoint.error}")
        if not endpoint.alive():
            raise ServerError(
                f"The supervisor of {endpoint.model} is gone; its log is in {paths.logs}. Run the same command again."
            )
        if endpoint.usable():
            return endpoint
        if time.monotonic() - told > _TELL_EVERY_S:
            told = time.monotonic()
            engine_log = paths.logs / f"{endpoint.run}-engine-{endpoint.generation}.log"
            log.info("%s is starting for %.0f s: %s", endpoint.model, told - started, _last_line(engine_log)[:120])
        time.sleep(0.3)
    raise ServerError(f"The server was not up within {deadline:.0f} s; its log is in {paths.logs}.")


def _load_deadline() -> float:
    """Seconds a server may take to load, within its walltime."""
    job = slurm.this_job()
    if job is None or job.ends_at is None:
        return _LOAD_DEADLINE_S
    return min(_LOAD_DEADLINE_S, _LOAD_SHARE * (job.ends_at - time.time()))


def _answer_deadline() -> float:
    """Seconds the first answer may take, within its walltime."""
    return max(1.0, min(_FIRST_ANSWER_S, requeue.work_ends_at(slurm.this_job()) - time.time()))


def _asks_chat(config: CampaignConfig, model: str) -> bool:
    """Whether a dataset sends chat messages, for which the model needs a chat template; batch files may send either."""
    datasets = config.datasets_of(model).values()
    return any(dataset.endpoint == "chat" and (dataset.prompt or dataset.messages) is not None for dataset in datasets)


def _first_answer(paths: AllocationPaths, endpoint: Endpoint, *, chat: bool) -> float:
    """Seconds one real completion takes. A server can be healthy over a dead pipeline: only an answer shows that it works."""
    asked = {"messages": [{"role": "user", "content": "Hello"}]} if chat else {"prompt": "Hello"}
    question = {"model": endpoint.model, "max_tokens": 1, **asked}
    route = "/v1/chat/completions" if chat else "/v1/completions"
    started = time.monotonic()
    try:
        _ask_until_ready(endpoint, paths, route, question)
    except urllib.error.HTTPError as error:
        answer = error.read().decode(errors="replace")[:500]
        known = sentence_of(answer)
        raise ServerError(
            f"The server of {endpoint.model} is up but refuses a request: {answer}" + (f" {known}" if known else "")
        ) from None
    except (OSError, ValueError) as error:
        raise ServerError(
            f"The server of {endpoint.model} is up but does not answer ({error}); its log is in {paths.logs}."
        ) from None
    return time.monotonic() - started


def _ask_until_ready(endpoint: Endpoint, paths: AllocationPaths, route: str, question: dict[str, Any]) -> None:
    """Ask again while the server is not ready for anybody: its model is registered, or its key taken, after its port opens."""
    wait = patience.NOT_READY
    deadline = time.monotonic() + min(wait.seconds, _answer_deadline())
    while True:
        try:
            call(endpoint, paths, route, question, _answer_deadline())
        except urllib.error.HTTPError as error:
            if error.code not in _NOT_YET or time.monotonic() >= deadline:
                raise
            log.info("The server of %s is not ready yet: HTTP %d", endpoint.model, error.code)
        else:
            return
        time.sleep(_ASK_AGAIN_S)


def call(endpoint: Endpoint, paths: AllocationPaths, route: str, body: dict[str, Any] | None, timeout: float) -> Any:
    """JSON answer of the server to a GET (no body) or POST. Raises URLError, HTTPError, OSError, ValueError."""
    headers = {"Authorization": f"Bearer {paths.api_key.read_text().strip()}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{endpoint.url}{route}", data, headers)
    with _DIRECT.open(request, timeout=timeout) as answer:
        text: str = answer.read().decode()
        return json.loads(text) if route != "/metrics" else text


def _capacity(paths: AllocationPaths, endpoint: Endpoint) -> dict[str, Any]:
    """Context length and KV-cache size, as the server tells them."""
    models = call(endpoint, paths, "/v1/models", None, 30)
    metrics = scrape(call(endpoint, paths, "/metrics", None, 30))
    return {"max_model_len": models["data"][0].get("max_model_len"), "kv_cache_tokens": metrics.cache_tokens}
