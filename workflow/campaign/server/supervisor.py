"""One supervisor per allocation: it starts the engine, watches it, restarts it, stops it, and keeps endpoint.json true.

It is a process of its own session (allocation.supervise). It ends, and with it the server, when the stop file appears, on
SIGTERM, when the engine cannot be kept up, and locally when the Snakemake that holds the campaign is gone; without one, when
the process is gone that had it started.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from campaign.config import CampaignConfig
from campaign.core import records, state_files, timing
from campaign.core.errors import ClusterError, MemoryShort, NodeLost
from campaign.core.own_code import OwnCode
from campaign.core.processes import ProcessId
from campaign.explain import ServerFailure, logs_of_start
from campaign.server import http
from campaign.server.engine.command_line import EngineMemory, MemoryPlanner, settings_digest
from campaign.server.engine.compile_cache import sole_writer
from campaign.server.engine.launcher import EngineLauncher, RunningEngine
from campaign.server.engine.nodes import Nodes
from campaign.server.engine.start_failure import explain_start, is_in_vain
from campaign.server.engine.watch import HangWatch, hang_after_s, probe
from campaign.server.host.gpus import GpuWatch
from campaign.server.host.reaper import become_subreaper, end_descendants
from campaign.server.server_record import ServerRecord
from campaign.server.server_state import ServerState
from campaign.server.stop_reasons import StopReasons

log = logging.getLogger("supervisor")

STARTS_WITHOUT_PROGRESS = 3


@dataclass(frozen=True)
class EngineEnd:
    """How an engine ended. `why`: what was seen of it; `failure`: the cause, as the logs tell it."""

    was_up: bool
    why: str
    failure: ServerFailure


class Supervisor:
    """The loop over an allocation's engines."""

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        allocation: int,
        run: str,
        lock_token: str | None,
        starter: ProcessId | None = None,
        memory: MemoryPlanner = lambda path, on_cpu: EngineMemory(),
    ) -> None:
        """`memory` plans an engine's memory right before each start, from the model's folder and whether a CPU serves it."""
        self.paths = config.paths.allocation(model, allocation)
        code = OwnCode(self.paths.code)
        self.nodes = Nodes(config, model, self.paths, code, run)
        self.launcher = EngineLauncher(config, model, self.paths, self.nodes, code, memory)
        server_state = _new_state(self.launcher, run, lock_token, str(self.paths.api_key))
        self.record = ServerRecord(self.paths, server_state)
        self.stop = StopReasons(self.paths.stop_request, config.paths.lock, lock_token, starter)
        self.gpus = GpuWatch(self.paths.gpus, server_state.nodes[0] if server_state.nodes else server_state.host)
        self.hang_s = hang_after_s(config.inference.request_timeout)

    def run(self) -> None:
        """Keep an engine up until there is a reason to stop."""
        self.stop.watch_signals()
        become_subreaper()
        try:
            self.keep_up()
        finally:
            self.nodes.stop()

    def keep_up(self) -> None:
        """Start engines, one after the other, until there is a reason to stop or another start would be in vain."""
        starts = 0
        while self.stop.reason is None:
            self._wait_for_room()
            before = self._answered()
            try:
                end = self._one_engine()
            except (NodeLost, MemoryShort) as error:
                self._fail_for_good(error)
                return
            if self.stop.reason is not None:
                self.record.event("engine_end", reason=end.why)
                break
            self._tell_end(end)
            # Since the last progress, with the start that made it.
            starts = 1 if self._answered() > before else starts + 1
            if is_in_vain(end.failure, end.was_up) or starts >= STARTS_WITHOUT_PROGRESS:
                self._fail(end.failure, starts)
                return
            self._prepare_restart(end.failure)
        self._finish()

    # --- what comes of an engine's end ----------------------------------------------------------------------------------

    def _tell_end(self, end: EngineEnd) -> None:
        self.record.event("engine_end", reason=end.why, error=end.failure.sentence)
        log.warning("engine %d ended (%s): %s", self.record.server_state.generation, end.why, end.failure.sentence)

    def _prepare_restart(self, failure: ServerFailure) -> None:
        server_state = self.record.server_state
        server_state.state, server_state.error = "restarting", failure.sentence
        server_state.restarts += 1
        self.record.write()

    def _fail_for_good(self, error: NodeLost | MemoryShort) -> None:
        self.record.server_state.node_lost = isinstance(error, NodeLost)
        self._fail(ServerFailure(str(error), "another_node" if isinstance(error, NodeLost) else "permanent"), 0)

    def _fail(self, failure: ServerFailure, starts: int) -> None:
        after = f"The server was started {starts} times without an answer. " if starts > 1 else ""
        server_state = self.record.server_state
        server_state.state, server_state.error, server_state.verdict = "failed", after + failure.sentence, failure.verdict
        self.record.write()
        log.error("failed: %s", server_state.error)

    def _finish(self) -> None:
        self.record.server_state.state, self.record.server_state.error = "stopped", self.stop.reason
        self.record.write()
        log.info("stopped: %s", self.stop.reason)

    def _answered(self) -> int:
        """Requests of this allocation that got their row, as infer last told."""
        status = records.peek(state_files.STATUS, self.paths.status) or {}
        return int(status.get("answered", 0)) + int(status.get("failed", 0))

    # --- one engine -----------------------------------------------------------------------------------------------------

    def _one_engine(self) -> EngineEnd:
        """Start an engine, watch it to its end, and find out why it ended. Raises NodeLost, MemoryShort."""
        symptom = None
        try:
            was_up, why = self._run_engine()
        except NodeLost:
            raise
        except ClusterError as error:
            was_up, why, symptom = False, "Ray", str(error)
        logs = logs_of_start(self.paths.logs, self.record.server_state.run, self.record.server_state.generation)
        return EngineEnd(was_up, why, explain_start(logs, self._keep_alive, symptom))

    def _run_engine(self) -> tuple[bool, str]:
        """Whether an engine was ever up, and what was seen of its end. Raises NodeLost, ClusterError, MemoryShort."""
        self.record.begin_engine()
        with self.launcher.temporary_folder() as temp, ExitStack() as starting:
            # The lock is taken before the engine starts, or two engines would compile into the same cache.
            cache_lock = sole_writer(self.launcher.cache.with_suffix(".lock"), self._may_wait)
            if not starting.enter_context(cache_lock) or not self._join_nodes():
                return False, str(self.stop.reason)
            with self._engine(temp) as engine:
                why = self._wait_until_up(engine)
                starting.close()
                return (True, self._serve(engine)) if why is None else (False, why)

    def _join_nodes(self) -> bool:
        """Whether the engine's nodes are there; False when it is time to stop."""
        started, server_state = time.monotonic(), self.record.server_state
        if not self.nodes.join(f"{server_state.run}-{server_state.generation}", self._may_wait):
            return False
        if (cluster := self.nodes.cluster) is not None:
            seconds = time.monotonic() - started
            server_state.dashboard_port = cluster.dashboard_port
            nodes = {name: report["address"] for name, report in cluster.reports.items()}
            self.record.event("ray_up", seconds=round(seconds, 1), nodes=nodes)
            log.info("Ray is up on %s after %.0f s", ", ".join(nodes), seconds)
        return True

    @contextmanager
    def _engine(self, temp: str | None) -> Iterator[RunningEngine]:
        """An engine that starts, and is ended with all that belongs to it."""
        server_state, log_file = self.record.server_state, self.record.engine_log()
        memory = self.launcher.memory()
        server_state.kv_cache_tokens = memory.kv_cache_tokens
        engine = self.launcher.launch(server_state.run, log_file, memory, temp)
        log.info("engine %d starts at %s, log %s", server_state.generation, engine.url, log_file)
        try:
            yield engine
        finally:
            self._end(engine)

    def _end(self, engine: RunningEngine) -> None:
        self.record.server_state.url = None
        if self.stop.reason is None:
            self.record.server_state.state = "restarting"
        self.record.write()
        engine.process.terminate()
        self.nodes.stop()
        end_descendants(spare=self.gpus.pids)
        engine.process.wait()

    def _wait_until_up(self, engine: RunningEngine) -> str | None:
        """Wait until /health answers: None; else why it never will."""
        while (why := self._why_it_ends(engine)) is None:
            if probe(f"{engine.url}{http.HEALTH}") is not None:
                return None
            time.sleep(timing.TIMING.engine_look)
        return why

    def _serve(self, engine: RunningEngine) -> str:
        """Let the engine be used. Returns why it ended or has to be ended."""
        server_state = self.record.server_state
        server_state.state, server_state.url, server_state.error = "up", engine.url, None
        self.record.write()
        self.record.event("engine_up")
        log.info("engine %d is up", server_state.generation)
        hangs = HangWatch(engine.url, self.hang_s)
        while (why := self._why_it_ends(engine) or hangs.symptom()) is None:
            time.sleep(timing.TIMING.engine_look)
        return why

    def _why_it_ends(self, engine: RunningEngine) -> str | None:
        self._keep_alive()
        if self.stop.reason is not None:
            return self.stop.reason
        code = engine.process.poll()
        return self.nodes.failure() if code is None else f"exit code {code}"

    # --- while it waits -------------------------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        """Heartbeat, and a look whether it is time to stop."""
        self.stop.look()
        self.record.beat()
        if self.nodes.cluster is None:  # else each node's agent looks
            self.gpus.look()

    def _may_wait(self) -> bool:
        self._keep_alive()
        return self.stop.reason is None

    def _wait_for_room(self) -> None:
        """An engine cannot start without a log."""
        while not self.record.write() and self.stop.reason is None:
            time.sleep(timing.TIMING.heartbeat)
            self._keep_alive()


def _new_state(launcher: EngineLauncher, run: str, lock_token: str | None, api_key_file: str) -> ServerState:
    identity = launcher.identity
    return ServerState(
        state="starting",
        run=run,
        job_id=os.environ.get("SLURM_JOB_ID", run),
        host=socket.gethostname(),
        model=launcher.name,
        supervisor=ProcessId.current().to_json(),
        api_key_file=api_key_file,
        lock_token=lock_token,
        started_at=time.time(),
        engine_version=launcher.build.versions["vllm"],
        model_revision=identity["revision"],
        settings_digest=settings_digest(launcher.config.engine, launcher.model, identity["identity"], identity["path"]),
        nodes=list(launcher.nodes.names),
    )
