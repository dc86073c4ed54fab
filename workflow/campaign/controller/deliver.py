"""A notice on its way: to a command, or to a webhook as ntfy or Slack take it. Bounded in time; what fails is told in words.

The values of environment variables never stand in a message of ours: a webhook's URL may be all it takes to post.
"""

import http.client
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Template
from urllib.parse import urlsplit

import orjson

from campaign.config import NotifyConfig
from campaign.core import patience
from campaign.core.text import last_line

_PATIENCE_S = patience.NOTIFY.seconds
# Statuses with which a service says that it took nothing, and may take it in a moment.
_LATER = frozenset({429, 503})
_GOOD = frozenset({"end"})


@dataclass(frozen=True)
class Notice:
    """One event of a campaign, as its user is told."""

    event: str
    campaign: str
    text: str

    @property
    def title(self) -> str:
        return f"{self.campaign}: {_WORDS[self.event]}"


_WORDS = {"end": "finished", "stalled": "stalled", "budget": "budget reached", "failure": "not finished"}


def deliver(notice: Notice, to: NotifyConfig, environment: Mapping[str, str]) -> list[str]:
    """Tell everybody at once; returns what could not be told, a sentence each. Takes at most patience.NOTIFY.

    In threads that nobody waits for longer: neither a name server nor an answer that trickles heeds a socket's timeout.
    """
    ways: dict[str, Callable[[], str | None]] = {}
    if (command := to.command) is not None:
        ways["notify.command"] = lambda: _run(notice, command, environment)
    if to.webhook is not None:
        ways["notify.webhook"] = lambda: _post(notice, to, environment)
    problems: dict[str, str | None] = {key: f"{key}: no answer within {_PATIENCE_S:.0f} s" for key in ways}

    def take(key: str) -> None:
        problems[key] = ways[key]()

    threads = [threading.Thread(target=take, args=(key,), daemon=True) for key in ways]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + _PATIENCE_S + 1  # a command is ended at the second, and told as that
    for thread in threads:
        thread.join(timeout=max(0.0, ends_at - time.monotonic()))
    return [problem for problem in problems.values() if problem]


# --- a command --------------------------------------------------------------------------------------------------------


def _run(notice: Notice, command: str, environment: Mapping[str, str]) -> str | None:
    own = {"CAMPAIGN_EVENT": notice.event, "CAMPAIGN_NAME": notice.campaign, "CAMPAIGN_MESSAGE": notice.text}
    try:
        process = subprocess.Popen(
            command,
            shell=True,
            env={**environment, **own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"notify.command could not be started ({error.strerror})"
    try:
        said, _ = process.communicate(f"{notice.title}\n{notice.text}\n".encode(), timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return f"notify.command did not end within {_PATIENCE_S:.0f} s, and was ended"
    if process.returncode == 0:
        return None
    words = last_line(_redacted(said.decode(errors="replace"), command, environment)) or "it said nothing"
    return f"notify.command ended with exit code {process.returncode}: {words}"


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    """What the shell started holds its output open, and would be waited for."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# --- a webhook --------------------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token would go with it to wherever it leads, and a POST would become a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _post(notice: Notice, to: NotifyConfig, environment: Mapping[str, str]) -> str | None:
    if missing := [name for name in to.variables if not environment.get(name)]:
        return f"notify.webhook: {', '.join(missing)} is not set in the environment of Snakemake"
    url = Template(to.webhook or "").substitute(environment).strip()
    token = Template(to.token or "").substitute(environment).strip()
    try:
        request = request_of(notice, url, to.format, token)
    except ValueError:
        return f"notify.webhook: {to.webhook} is no URL"
    problem = _try(lambda: _answer(request))
    return None if problem is None else f"notify.webhook: {_redacted(problem, f'{to.webhook} {to.token}', environment)}"


def request_of(notice: Notice, url: str, form: str | None, token: str = "") -> urllib.request.Request:
    """The POST of a notice. Raises ValueError for what is no URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("no URL")
    form = form or ("slack" if parts.hostname == "hooks.slack.com" else "ntfy")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if form == "slack":  # docs.slack.dev/messaging/sending-messages-using-incoming-webhooks; & < > are control characters
        escaped = notice.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        body = orjson.dumps({"text": f"*{notice.title}*\n{escaped}"})
        return urllib.request.Request(url, body, {**headers, "Content-Type": "application/json"}, method="POST")
    good = notice.event in _GOOD
    headers |= {"Title": notice.title, "Tags": "white_check_mark" if good else "warning"}  # docs.ntfy.sh/publish
    headers |= {"Priority": "default" if good else "high", "Content-Type": "text/plain; charset=utf-8"}
    return urllib.request.Request(url, notice.text.encode(), headers, method="POST")


def _try(attempt: Callable[[], tuple[str | None, bool]]) -> str | None:
    """Call `attempt`, again within the patience while nothing can have arrived; returns what it said last."""
    pause, longest = patience.NOTIFY.pause_s
    ends_at = time.monotonic() + _PATIENCE_S
    while True:
        problem, again = attempt()
        if problem is None or not again or time.monotonic() + pause > ends_at:
            return problem
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _answer(request: urllib.request.Request) -> tuple[str | None, bool]:
    """Read a service's reply: what went wrong, and whether it may be sent again, only where the service surely took nothing."""
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=patience.NOTIFY_ANSWER.seconds):
            return None, False
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code} {error.reason}", error.code in _LATER
    except urllib.error.URLError as error:
        return f"{error.reason}", isinstance(error.reason, ConnectionRefusedError)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}", False


def _redacted(text: str, written: str, environment: Mapping[str, str]) -> str:
    """A text without the values of the variables that are named in the config."""
    for name in re.findall(r"\$\{?([A-Za-z_]\w*)", written):
        value = environment.get(name, "")
        for part in {value, *urlsplit(value).path.split("/")} if "://" in value else {value}:
            if len(part) > 5:
                text = text.replace(part, f"${name}")
    return text
