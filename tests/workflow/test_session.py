"""A server kept up for people: talked to, stopped, left alone; and accounted like any other."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

from campaign.core.files import write_json
from support.files import read_json
from support.runs import Campaign, wait_for


def campaign_command(campaign: Campaign, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "campaign"), *arguments]
    return subprocess.run(command, cwd=campaign.root, input=typed, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """A port of this machine behind which the server's is, as behind `ssh -L`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def check_ended(campaign: Campaign) -> None:
    """The session has its row in the account, and nothing is left of it."""
    (run,) = pd.read_parquet(campaign.results / "accounting.parquet").to_dict("records")
    assert run["state"] == "COMPLETED"
    assert run["allocation"] == 1000
    assert run["wall_s"] > 0
    wait_for(lambda: not campaign.processes(), 30, "every process of the campaign is gone")


@pytest.mark.timeout(150)
def test_talked_to_and_stopped(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    endpoint = campaign.results / "allocations" / "stub" / "1000" / "endpoint.json"
    none = campaign_command(campaign, "chat")
    assert none.returncode == 1
    with campaign.started("session") as snakemake:
        wait_for(lambda: (read_json(endpoint) or {}).get("state") == "up" or snakemake.poll() is not None, 90, "it is up")
        later = read_json(campaign.results / "config.json") | {"campaign": "later"}  # one that ran since, without a session
        write_json(campaign.results.with_name("later") / "config.json", later)
        talk = campaign_command(
            campaign, "chat", typed="hello\nand again\n/reset\n/system be short\nonce more\n/quit\nnot sent\n"
        )
        assert talk.returncode == 0, talk.stderr
        said = [line for line in talk.stdout.splitlines() if line.startswith("a stub saw")]
        assert said == ["a stub saw user", "a stub saw user,assistant,user", "a stub saw system,user"]

        record = read_json(endpoint) or {}
        with forwarded(urlsplit(record["url"]).port or 0) as port:
            through = ("chat", "--url", f"http://localhost:{port}/v1", "--system", "s")
            key = ("--key-file", record["api_key_file"])
            far = campaign_command(campaign, *through, *key, typed="hello\n")
            assert far.stdout == "a stub saw system,user\n", far.stderr
            stranger = campaign_command(campaign, *through, typed="hello\n")
            assert stranger.returncode == 1
            assert "401" in stranger.stderr

        wait_for((endpoint.parent / "connection-info.txt").exists, 10, "connection-info.txt is written")
        told = (endpoint.parent / "connection-info.txt").read_text()
        assert record["url"] in told
        stopped = campaign_command(campaign, "stop")
        assert stopped.stdout == "The session of stub has ended.\n", stopped.stderr
        assert snakemake.wait(timeout=60) == 0
    check_ended(campaign)
    assert campaign_command(campaign, "stop").returncode == 1
    assert not campaign.received()  # nothing was asked of the datasets


@pytest.mark.timeout(150)
def test_left_alone_it_ends(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path)
    campaign.raw["models"]["stub"]["placement"] = {"walltime": "10s"}
    campaign.write_config()
    result = campaign.run("session", timeout=120)
    assert result.returncode == 0, result.stdout[-3000:]
    assert "its walltime ends" in result.stdout
    assert f"{os.sep}1000{os.sep}" in str(next(campaign.results.rglob("held.json")))
    check_ended(campaign)
