"""`campaign chat` at a real terminal: what is seen while an answer comes, and what the keys do. The stub engine answers."""

import os
import pty
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.runs import REPOSITORY, wait_for

pytestmark = pytest.mark.processes

CTRL_C, CTRL_D = b"\x03", b"\x04"
PASTE, PASTED = b"\x1b[200~", b"\x1b[201~"


class Terminal:
    """A program on a terminal of its own; `shown` is what it wrote and nobody looked at yet."""

    def __init__(self, *command: str) -> None:
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
        self.process = subprocess.Popen(command, env=environment, pass_fds=[slave], preexec_fn=lambda: os.login_tty(slave))
        os.close(slave)
        self.shown = b""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def see(self, text: str) -> None:
        """Wait until `text` is written, after what was seen before."""
        deadline = time.monotonic() + 60
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.shown!r}"
            assert self._read(), f"it ended before {text!r}: {self.shown!r}"
        self.shown = self.shown.split(text.encode(), 1)[1]

    def _read(self) -> bool:
        if not select.select([self.master], [], [], 0.2)[0]:
            return True
        try:
            data = os.read(self.master, 4096)
        except OSError:  # Linux says so when the program is gone
            return False
        self.shown += data
        return bool(data)

    def interrupt(self) -> None:
        """Ctrl-C once the program waits: one that comes between two of Python's looks is only noticed at the next key."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        wait_for(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "S", 30, "it waits")
        self.type(CTRL_C)

    def ended(self) -> int:
        """Exit code, once it ended by itself."""
        return self.process.wait(timeout=30)


@pytest.fixture
def go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file without which an answer stays at its first word."""
    monkeypatch.setenv("STUB_GO_ON", str(tmp_path / "go-on"))
    return tmp_path / "go-on"


@pytest.fixture
def engine(go_on: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A stub engine that listens: its URL and its process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    python = str(REPOSITORY / "tests" / "stub_engine" / "bin" / "python")
    flags = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "stub"]
    process = subprocess.Popen([python, "-m", "vllm.entrypoints.openai.api_server", *flags])
    try:
        wait_for(lambda: _listens(port), 30, "the stub listens")
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def chat(engine: tuple[str, "subprocess.Popen[bytes]"]) -> Iterator[Terminal]:
    """A chat with the stub engine, at its prompt."""
    terminal = Terminal(str(Path(sys.executable).parent / "campaign"), "chat", "--url", engine[0])
    try:
        terminal.see("(or Ctrl-D) ends")
        terminal.see("> ")
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)


def test_an_answer_is_seen_while_it_comes(chat: Terminal, go_on: Path) -> None:
    chat.type(b"hello\r")
    chat.see("a ")  # the stub holds the rest back until the file is there
    assert b"stub" not in chat.shown
    go_on.touch()
    chat.see("stub saw user\r\n")
    chat.see("> ")
    chat.type(CTRL_D)
    assert chat.ended() == 0


def test_ctrl_c_ends_the_answer_and_not_the_talk(chat: Terminal, go_on: Path) -> None:
    chat.type(b"hello\r")
    chat.see("a ")
    chat.interrupt()
    chat.see(" ...\r\n")
    chat.see("> ")
    go_on.touch()
    chat.type(b"half a line")
    chat.see("half a line")
    chat.interrupt()
    chat.see("(Ctrl-D or /quit ends)")
    chat.see("> ")
    chat.type(b"again\r")
    chat.see("a stub saw user,assistant,user\r\n")  # what was said before the interruption is part of the talk
    chat.see("> ")
    chat.type(b"/quit\r")
    assert chat.ended() == 0


def test_pasted_lines_are_one_question_and_arrows_bring_it_back(chat: Terminal, go_on: Path) -> None:
    go_on.touch()
    chat.type(PASTE + b"one\ntwo\nthree" + PASTED + b"\r")
    chat.see("a stub saw user\r\n")
    chat.see("> ")
    chat.type(b"\x1b[A\r")
    chat.see("three")
    chat.see("a stub saw user,assistant,user\r\n")
    chat.see("> ")
    chat.type(b"/reset\r")
    chat.see("Forgotten.")
    chat.see("> ")
    chat.type(b"/system be short\r")
    chat.see("The system prompt is set.")
    chat.see("> ")
    chat.type(b"and now\r")
    chat.see("a stub saw system,user\r\n")
    chat.see("> ")
    chat.type(CTRL_D)
    assert chat.ended() == 0


def test_a_server_that_goes_away_is_a_sentence_and_the_prompt_stays(
    chat: Terminal, engine: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    engine[1].kill()
    engine[1].wait()
    chat.type(b"hello\r")
    chat.see("does not answer")
    chat.see("> ")
    chat.type(CTRL_D)
    assert chat.ended() == 0
