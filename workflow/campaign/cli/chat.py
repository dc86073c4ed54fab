"""`campaign chat`: talk to a running server, here, on the cluster, or through a tunnel."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from campaign.config import CampaignConfig
from campaign.core import patience, timing
from campaign.core.errors import CampaignError
from campaign.core.sites import name_of
from campaign.requests.endpoints import CHAT
from campaign.server import http
from campaign.server.server_state import ServerState, read_server_state

_PATIENCE_S = patience.ANSWER_TO_PEOPLE.seconds
_STARTING_S = patience.LOAD.seconds
_LONGEST_WORDS = 500  # characters of a server's own
HELP = "/system TEXT sets the system prompt, /reset forgets what was said, Ctrl-C ends an answer, /quit (or Ctrl-D) ends"


@dataclass(frozen=True)
class Server:
    """A server that answers chat requests."""

    url: str
    key: str
    model: str


@dataclass
class Talk:
    """A conversation: the messages so far, and the fields sent with them."""

    server: Server
    system: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    said: list[dict[str, str]] = field(default_factory=list)

    def ask(self, words: str) -> Iterator[str]:
        """Pieces of the answer as they come; the whole answer becomes part of the talk. Raises CampaignError."""
        question = {"role": "user", "content": words}
        system = [{"role": "system", "content": self.system}] if self.system else []
        answer = ""
        try:
            for piece in stream(self.server, [*system, *self.said, question], self.sampling):
                answer += piece
                yield piece
        finally:
            if answer:
                self.said += [question, {"role": "assistant", "content": answer}]


def stream(server: Server, messages: list[dict[str, str]], sampling: dict[str, Any]) -> Iterator[str]:
    """The pieces of one answer. Raises CampaignError."""
    body = orjson.dumps({"model": server.model, "messages": messages, "stream": True, **sampling})
    try:
        yield from _pieces(http.stream(f"{server.url}{CHAT.route}", body, key=server.key, timeout_s=_PATIENCE_S))
    except http.Refused as error:
        hint = "; /reset forgets what was said" if error.status == 400 and len(messages) > 1 else ""
        raise CampaignError(f"The server refuses: {error.status} {error.words[:_LONGEST_WORDS]}{hint}") from None
    except OSError as error:
        raise CampaignError(
            f"The server at {server.url} does not answer ({error}); `campaign status` shows its state."
        ) from None


def _pieces(chunks: Iterable[dict[str, Any]]) -> Iterator[str]:
    for chunk in chunks:
        if "error" in chunk:
            words = http.error_words(orjson.dumps(chunk))[:_LONGEST_WORDS]
            raise CampaignError(f"The server stopped answering: {words}")
        for choice in chunk.get("choices", ()):
            if piece := choice["delta"].get("content"):
                yield piece


def find_server(config: CampaignConfig, model: str | None, tell: Callable[[str], None]) -> Server:
    """The campaign's running server, a session's first; waits for one that starts. Raises CampaignError when there is none."""
    deadline, told = time.monotonic() + _STARTING_S, False
    while True:
        known = list(_servers(config, model))
        usable = [server_state for server_state in known if server_state.usable()]
        if usable:
            chosen = usable[-1]  # sessions have the highest number
            key = Path(chosen.api_key_file or "").read_text().strip()
            return Server(str(chosen.url), key, chosen.model)
        if not any(server_state.alive() and server_state.state in ("starting", "restarting") for server_state in known):
            raise CampaignError(
                f"The campaign {config.campaign!r} has no running server{f' of {model}' if model else ''}. Start one: "
                f"snakemake --profile profiles/{name_of(config.site)} session   (then run this again from another terminal)"
            )
        if time.monotonic() > deadline:
            raise CampaignError("The server still starts after an hour; `campaign status` shows its state.")
        if not told:
            tell("The server is starting ...")
            told = True
        time.sleep(timing.TIMING.session_look)


def _servers(config: CampaignConfig, model: str | None) -> Iterator[ServerState]:
    for name, number in sorted(config.paths.known_allocations(), key=lambda found: found[1]):
        server_state = read_server_state(config.paths.allocation(name, number).server_state)
        if server_state is not None and model in (None, server_state.model):
            yield server_state


def served_at(url: str, key: str) -> Server:
    """The server behind a tunnel: its model is asked for. Raises CampaignError."""
    base = url.rstrip("/").removesuffix("/v1")
    try:
        models = orjson.loads(http.get(base + http.MODELS, key=key, timeout_s=patience.SERVER_LIST.seconds))
        return Server(base, key, models["data"][0]["id"])
    except http.Refused as error:
        raise CampaignError(f"{base} refuses: {error.status}; --key-file must name a copy of the server's key file") from None
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise CampaignError(f"{base} does not answer like a server ({error}); is the tunnel open?") from None


def converse(talk: Talk, lines: Iterable[str], write: Callable[[str], None], *, forgiving: bool = False) -> None:
    """Answer line after line; `/` begins a command. Ctrl-C ends an answer, not the talk.

    Raises CampaignError when an answer fails; `forgiving` writes it instead and goes on: people may say less, or wait.
    """
    for line in lines:
        words = line.strip()
        if not words:
            continue
        if words in ("/quit", "/exit"):
            return
        if words.startswith("/"):
            write(_command(talk, words) + "\n")
            continue
        try:
            for piece in talk.ask(words):
                write(piece)
        except KeyboardInterrupt:
            write(" ...")
        except CampaignError as error:
            if not forgiving:
                raise
            write(f"({error})")
        write("\n")


def _command(talk: Talk, words: str) -> str:
    name, _, rest = words.partition(" ")
    if name == "/reset":
        talk.said.clear()
        return "Forgotten."
    if name == "/system":
        talk.system = rest.strip() or None
        return "The system prompt is set." if talk.system else "There is no system prompt any more."
    return HELP
