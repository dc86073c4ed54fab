"""One supervisor per allocation: it starts the engine, watches it, restarts it, stops it, and keeps endpoint.json true.

It is a process of its own session (allocation.supervise). It ends, and with it the server, when the stop file appears, on
SIGTERM, when the engine cannot be kept up, and locally when the Snakemake that holds the campaign is gone; without one, when
the process is gone that had it started.
"""

import fcntl
import http.client
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from campaign.config import CampaignConfig
from campaign.core import events, lock, patience, records
from campaign.core.errors import ClusterError, MemoryShort, NodeLost, StorageError
from campaign.core.files import PatientLines
from campaign.core.processes import ProcessId
from campaign.explain import Failure, failure_of, logs_of_start
from campaign.models.identity import identity_of
from campaign.server import network
from campaign.server.endpoint import HEARTBEAT_S, Endpoint, write_endpoint
from campaign.server.engine import (
    RUN_VARIABLE,
    EngineMemory,
    MemoryPlanner,
    cache_folder,
    engine_build,
    engine_python,
    server_command,
    server_environment,
    settings_digest,
)
from campaign.server.gpus import GpuWatch
from campaign.server.metrics import scrape
from campaign.server.ray.cluster import RayCluster
from campaign.server.ray.commands import TEMP_ROOT, amd
from campaign.server.reaper import become_subreaper, end_descendants
from campaign.slurm import client as slurm

log = logging.getLogger("supervisor")

STARTS_WITHOUT_PROGRESS = 3
_POLL_S = 0.5
_PROBE_TIMEOUT_S = patience.ENGINE_PROBE.seconds
_METRICS_EVERY_S = 5.0
_SHORTEST_HANG_S = 10.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a site's http_proxy cannot reach loopback


class Supervisor:
    """The loop. State lives in `self.endpoint` and is written at every heartbeat."""

    def __init__(
        self,
        config: CampaignConfig,
        model: str,
        allocation: int,
        run: str,
        session: str | None,
        starter: ProcessId | None = None,
        memory: MemoryPlanner = lambda path, on_cpu: EngineMemory(),
    ) -> None:
        """`memory` plans an engine's memory right before each start, from the model's folder and whether a CPU serves it."""
        self.config, self.model, self.session, self.starter = config, config.models[model], session, starter
        self.memory = memory
        self.paths = config.paths.allocation(model, allocation)
        self.events = PatientLines(self.paths.events)
        self.identity = identity_of(config.paths, model)
        build = engine_build(config.engine)
        self.versions, self.on_cpu = build.versions, build.on_cpu
        self.endpoint = Endpoint(
            state="starting",
            run=run,
            job_id=os.environ.get("SLURM_JOB_ID", run),
            host=socket.gethostname(),
            model=model,
            supervisor=ProcessId.current().to_json(),
            api_key_file=str(self.paths.api_key),
            session=session,
            started_at=time.time(),
            engine_version=self.versions["vllm"],
            model_revision=self.identity["revision"],
            command=settings_digest(config.engine, self.model, self.identity["identity"], self.identity["path"]),
        )
        # A request may take request_timeout; an engine that makes no token of any of them for half of it hangs.
        self.hang_s = max(_SHORTEST_HANG_S, config.inference.request_timeout / 2)
        self.stop_reason: str | None = None
        self._written = 0.0
        self.place = network.Place("127.0.0.1", "lo")
        self.cluster: RayCluster | None = None
        if (job := slurm.this_job()) is not None:
            self._take_nodes(job)
        self.gpus = GpuWatch(self.paths.gpus, self.endpoint.nodes[0] if self.endpoint.nodes else self.endpoint.host)

    def _take_nodes(self, job: slurm.Job) -> None:
        """Learn where this allocation is: one node serves by itself, several become a Ray cluster."""
        self.endpoint.nodes = list(job.nodes)
        os.environ[RUN_VARIABLE] = self.endpoint.run  # for the steps on the other nodes
        if len(job.nodes) > 1:
            python = engine_python(self.config.engine)
            self.cluster = RayCluster(job, self.model, python, self.paths)
        else:
            known_as = [slurm.node_addresses(job.nodes).get(job.nodes[0], job.nodes[0]), job.nodes[0]]
            self.place = network.own_place(known_as, self.model.ray.interface)

    def run(self) -> None:
        """Until there is a reason to stop."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        become_subreaper()
        try:
            self._keep_up()
        finally:
            if self.cluster is not None:
                self.cluster.stop()

    def _keep_up(self) -> None:
        fruitless = 0
        while self.stop_reason is None:
            self._wait_for_room()
            before = self._progress()
            try:
                was_up, why = self._one_engine()
                failure = self._explained()
            except NodeLost as error:
                self.endpoint.node_lost = True
                self._fail(Failure(str(error), "another_node"), 0)
                return
            except MemoryShort as error:
                self._fail(Failure(str(error), "permanent"), 0)
                return
            except ClusterError as error:
                was_up, why, failure = False, "Ray", self._explained(str(error))
            if self.stop_reason is not None:
                self._event("engine_end", reason=why)
                break
            self._event("engine_end", reason=why, error=failure.sentence)
            log.warning("engine %d ended (%s): %s", self.endpoint.generation, why, failure.sentence)
            fruitless = 1 if self._progress() > before else fruitless + 1
            if self._in_vain(failure, was_up) or fruitless >= STARTS_WITHOUT_PROGRESS:
                self._fail(failure, fruitless)
                return
            self.endpoint.state, self.endpoint.error = "restarting", failure.sentence
            self.endpoint.restarts += 1
            self._write()
        self.endpoint.state, self.endpoint.error = "stopped", self.stop_reason
        self._write()
        log.info("stopped: %s", self.stop_reason)

    @staticmethod
    def _in_vain(failure: Failure, was_up: bool) -> bool:
        """Whether another start here would fail the same way; a config that was up once may be up again, a broken GPU not."""
        return failure.verdict == "another_node" or (failure.verdict == "permanent" and not was_up)

    def _explained(self, said: str | None = None) -> Failure:
        """Why the last start ended, from its logs. In a thread: the heart beats meanwhile.

        `said`: what is known already, and stands when the logs tell nothing more.
        """
        logs = logs_of_start(self.paths.logs, self.endpoint.run, self.endpoint.generation)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain") as pool:
            reading = pool.submit(failure_of, logs)
            while not wait([reading], timeout=_POLL_S).done:
                self._keep_alive()
        found = reading.result()
        if said is not None:
            return Failure(f"{said}. {found.sentence}" if found.known else said, found.verdict)
        return found

    def _fail(self, failure: Failure, fruitless: int) -> None:
        after = f"The server was started {fruitless} times without an answer. " if fruitless > 1 else ""
        self.endpoint.state, self.endpoint.error = "failed", after + failure.sentence
        self.endpoint.verdict = failure.verdict
        self._write()
        log.error("failed: %s", self.endpoint.error)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self.stop_reason = signal.Signals(number).name

    def _one_engine(self) -> tuple[bool, str]:
        """Start an engine and watch it to its end. Returns whether it was ever up, and why it ended."""
        if self.cluster is not None:
            return self._engine_in(None)
        # vLLM leaves its sockets where they are when it is ended.
        with tempfile.TemporaryDirectory(prefix="vllm-", dir=TEMP_ROOT, ignore_cleanup_errors=True) as temp:
            return self._engine_in(temp)

    def _engine_in(self, temp: str | None) -> tuple[bool, str]:
        """As _one_engine, with this temporary folder; over Ray (None) it has the one of the head's agent."""
        self.endpoint.generation += 1
        self.endpoint.url = None
        cache = cache_folder(self.model, self.identity["identity"], self.versions)
        self._event("engine_start")
        # The lock is taken before the engine starts, or two engines would compile into the same cache.
        with _sole_writer(cache.with_suffix(".lock"), self._may_wait) as held:
            if not held:
                return False, str(self.stop_reason)
            if not self._nodes_are_there():
                return False, str(self.stop_reason)
            port = free_port(self.place.address)
            url = f"http://{self.place.address}:{port}"
            engine = self._spawn(port, cache, temp)
            log.info("engine %d starts at %s, log %s", self.endpoint.generation, url, self._engine_log())
            try:
                why = self._wait_until_up(engine, url)
            except BaseException:
                self._end(engine)
                raise
        try:
            was_up = why is None
            if why is None:
                self.endpoint.state, self.endpoint.url, self.endpoint.error = "up", url, None
                self._write()
                self._event("engine_up")
                log.info("engine %d is up", self.endpoint.generation)
                why = self._watch(engine, url)
        finally:
            self._end(engine)
        return was_up, why

    def _nodes_are_there(self) -> bool:
        """A new Ray cluster for a new engine: it heals whatever the last one died of. False when it is time to stop.

        Raises NodeLost, ClusterError.
        """
        if self.cluster is None:
            return True
        started = time.monotonic()
        if not self.cluster.start(f"{self.endpoint.run}-{self.endpoint.generation}", self._may_wait):
            return False
        self.place = self.cluster.head
        self.endpoint.dashboard_port = self.cluster.dashboard_port
        nodes = {name: report["address"] for name, report in self.cluster.reports.items()}
        self._event("ray_up", seconds=round(time.monotonic() - started, 1), nodes=nodes)
        log.info("Ray is up on %s after %.0f s", ", ".join(nodes), time.monotonic() - started)
        return True

    def _spawn(self, port: int, cache: Path, temp: str | None) -> "subprocess.Popen[bytes]":
        with self._engine_log().open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "campaign.server.reaper", *self._command(port)],
                env=self._environment(cache, temp),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _may_wait(self) -> bool:
        self._keep_alive()
        return self.stop_reason is None

    def _command(self, port: int) -> list[str]:
        served, path, ray = self.endpoint.model, self.identity["path"], self.cluster is not None
        memory = self.memory(Path(path), self.on_cpu)
        self.endpoint.kv_cache_tokens = memory.kv_cache_tokens
        return server_command(
            self.config.engine, self.model, served, path, self.place.address, port, ray=ray, memory=memory.flags
        )

    def _environment(self, cache: Path, temp: str | None) -> dict[str, str]:
        key = self.paths.api_key.read_text().strip()
        base = self.cluster.environment(os.environ) if self.cluster else amd(os.environ)
        if self.cluster is None and self.endpoint.nodes:
            # Ranks of one node meet on its own address too; vLLM would ask the default route for one.
            base |= {"VLLM_HOST_IP": self.place.address, "GLOO_SOCKET_IFNAME": self.place.interface}
        base |= {"TMPDIR": temp} if temp else {}
        return server_environment(base, self.model, self.endpoint.run, key, cache)

    def _wait_until_up(self, engine: "subprocess.Popen[bytes]", url: str) -> str | None:
        """None once /health answers, else why it never will."""
        while (ended := self._ended(engine)) is None:
            if _get(f"{url}/health") is not None:
                return None
            time.sleep(_POLL_S)
        return ended

    def _watch(self, engine: "subprocess.Popen[bytes]", url: str) -> str:
        """Why the engine ended or has to be ended."""
        moved_at, tokens, next_look = time.monotonic(), -1, 0.0
        while (ended := self._ended(engine)) is None:
            now = time.monotonic()
            if now >= next_look:
                next_look = now + _METRICS_EVERY_S
                text = _get(f"{url}/metrics")
                metrics = None if text is None else scrape(text)
                if metrics is not None and (
                    metrics.running == 0 or metrics.generation_tokens + metrics.prompt_tokens != tokens
                ):
                    moved_at, tokens = now, metrics.generation_tokens + metrics.prompt_tokens
            if now - moved_at > self.hang_s:
                return f"it hangs: no token for {self.hang_s:.0f} s"
            time.sleep(_POLL_S)
        return ended

    def _ended(self, engine: "subprocess.Popen[bytes]") -> str | None:
        self._keep_alive()
        if self.stop_reason is not None:
            return self.stop_reason
        code = engine.poll()
        if code is None:
            return self.cluster.failure() if self.cluster else None
        return f"exit code {code}"

    def _keep_alive(self) -> None:
        """Heartbeat, and a look whether it is time to stop."""
        if self.paths.stop_request.exists():
            self.stop_reason = "asked to stop"
        elif self.session is not None and not lock.is_held(self.config.paths.lock, self.session):
            self.stop_reason = "the Snakemake that runs the campaign is gone"
        elif self.starter is not None and not self.starter.alive():
            self.stop_reason = "the process that started it is gone"
        if time.monotonic() - self._written > HEARTBEAT_S:
            self._write()
        if self.cluster is None:  # else each node's agent looks
            self.gpus.look()

    def _end(self, engine: "subprocess.Popen[bytes]") -> None:
        self.endpoint.url = None
        if self.stop_reason is None:
            self.endpoint.state = "restarting"
        self._write()
        engine.terminate()
        if self.cluster is not None:
            self.cluster.stop()
        end_descendants(spare=self.gpus.pids)
        engine.wait()

    def _progress(self) -> int:
        """Requests of this allocation that got their row, as infer last told."""
        status = records.peek(records.STATUS, self.paths.status) or {}
        return int(status.get("answered", 0)) + int(status.get("failed", 0))

    def _engine_log(self) -> Path:
        self.paths.logs.mkdir(parents=True, exist_ok=True)
        return self.paths.logs / f"{self.endpoint.run}-engine-{self.endpoint.generation}.log"

    def _event(self, name: str, **details: object) -> None:
        self.events.append(events.as_record(self.endpoint.run, name, generation=self.endpoint.generation, **details))

    def _write(self) -> bool:
        """Heartbeat. False while the disk is full, which must not end an engine; on this host the process itself is seen."""
        self._written = time.monotonic()
        self.events.flush()
        try:
            write_endpoint(self.paths.endpoint, self.endpoint)
        except StorageError as error:
            log.debug("%s", error)
            return False
        return True

    def _wait_for_room(self) -> None:
        """An engine cannot start without a log."""
        while not self._write() and self.stop_reason is None:
            time.sleep(HEARTBEAT_S)
            self._keep_alive()


@contextmanager
def _sole_writer(path: Path, may_wait: Callable[[], bool]) -> Iterator[bool]:
    """Hold the compile cache's lock: two starts that write it at once have left broken caches behind.

    Yields False, without the lock, once `may_wait` says so. Only a start is kept waiting, never a running engine: the lock
    is given back once the engine is up.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        while may_wait():
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL_S)
                continue
            yield True
            return
        yield False


def free_port(address: str) -> int:
    """A TCP port of `address` that was free just now; the engine dies, and is started again, if it is taken."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _get(url: str) -> str | None:
    """Body of a GET; None when there is no answer within 3 s."""
    try:
        with _DIRECT.open(url, timeout=_PROBE_TIMEOUT_S) as answer:
            body: bytes = answer.read()
            return body.decode()
    except (http.client.HTTPException, OSError, ValueError):  # killed in the middle of an answer: IncompleteRead
        return None
