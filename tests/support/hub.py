"""A small stand-in of the hub's HTTP interface on 127.0.0.1, with a second server where large files lie, as on the real one."""

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import orjson


@dataclass
class Repository:
    """Files by commit; `main` names the newest."""

    commits: dict[str, dict[str, bytes]]
    main: str
    gated: bool = False
    may_read: str | None = None  # the token that may read it; None for everybody


@dataclass
class Trouble:
    """What goes wrong. Counts are used up."""

    cut_after: int = 0  # bytes of a large file, after which the connection breaks ...
    cuts: int = 0  # ... so many times
    overloaded: int = 0  # answers of 503
    damaged: int = 0  # large files whose bytes arrive otherwise
    no_ranges: bool = False
    pause_s: float = 0.0  # between two pieces of a large file
    silent_s: float = 0.0  # before any answer


@dataclass
class Hub:
    repositories: dict[str, Repository] = field(default_factory=dict)
    trouble: Trouble = field(default_factory=Trouble)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # server, path, headers
    sent: int = 0  # bytes of large files
    url: str = ""
    store_url: str = ""

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.requests]


PIECE = 16_384
EXPIRED = "expired"  # a token the hub no longer knows


def is_large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub

    @property
    def role(self) -> str:
        return self.server.role

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests.append((self.role, self.path, dict(self.headers)))
        time.sleep(self.hub.trouble.silent_s)
        if self.hub.trouble.overloaded:
            self.hub.trouble.overloaded -= 1
            return self.answer(503)
        if self.headers.get("Authorization") == f"Bearer {EXPIRED}":
            return self.answer(401, X_Error_Message="Invalid credentials in Authorization header")
        if self.role == "store":
            return self.send_stored(self.path.split("/")[1:])
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^?]+)\?blobs=true", self.path):
            return self.describe(found[1], unquote(found[2]))
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", self.path):
            return self.resolve(found[1], found[2], unquote(found[3]))
        return self.answer(404)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def describe(self, name: str, revision: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self.answer(401, X_Error_Code="RepoNotFound")
        commit = repository.main if revision == "main" else revision
        if commit not in repository.commits:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        siblings = [entry(path, content) for path, content in repository.commits[commit].items()]
        gated = "manual" if repository.gated else False
        return self.answer(200, orjson.dumps({"id": name, "sha": commit, "gated": gated, "siblings": siblings}))

    def resolve(self, name: str, commit: str, path: str) -> None:
        repository = self.hub.repositories[name]
        if repository.may_read and self.headers.get("Authorization") != f"Bearer {repository.may_read}":
            return self.answer(403 if "Authorization" in self.headers else 401, X_Error_Code="GatedRepo")
        content = repository.commits[commit].get(path)
        if content is None:
            return self.answer(404, X_Error_Code="EntryNotFound")
        if is_large(path):
            return self.answer(302, Location=f"{self.hub.store_url}/{name}/{commit}/{path}")
        return self.answer(200, content)

    def send_stored(self, parts: list[str]) -> None:
        content = self.hub.repositories["/".join(parts[:2])].commits[parts[2]]["/".join(parts[3:])]
        if self.hub.trouble.damaged:
            self.hub.trouble.damaged -= 1
            content = b"?" + content[1:]
        wanted = None if self.hub.trouble.no_ranges else self.headers.get("Range")
        first, _, last = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        if not part:
            return self.answer(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        return self.send_pieces(part)

    def send_pieces(self, content: bytes) -> None:
        cut = self.hub.trouble.cut_after if self.hub.trouble.cuts else len(content)
        for begin in range(0, min(cut, len(content)), PIECE):
            piece = content[begin : min(begin + PIECE, cut)]
            self.wfile.write(piece)
            self.hub.sent += len(piece)
            time.sleep(self.hub.trouble.pause_s)
        if cut < len(content):
            self.hub.trouble.cuts -= 1
            self.close_connection = True


def entry(path: str, content: bytes) -> dict[str, Any]:
    if is_large(path):
        digest = hashlib.sha256(content).hexdigest()
        return {"rfilename": path, "size": len(content), "blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(content)}}
    return {"rfilename": path, "size": len(content), "blobId": git_blob(content)}


def git_blob(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Server(ThreadingHTTPServer):
    """The hub itself, or the store its large files lie in."""

    daemon_threads = True

    def __init__(self, hub: Hub, role: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.role = hub, role
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle is part of the tests."""


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that runs until the block ends."""
    hub = Hub()
    servers = [Server(hub, "hub"), Server(hub, "store")]
    hub.url, hub.store_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
