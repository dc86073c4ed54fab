"""How a person reaches a server: by the login host of its cluster, or directly."""

from pathlib import Path
from typing import Any

from campaign.server.connection import connection_info
from campaign.server.server_state import ServerState


def server_state(**changes: Any) -> ServerState:
    known = {"state": "up", "run": "r", "job_id": "412", "host": "n1", "model": "m", "url": "http://10.0.0.1:8000"}
    return ServerState(**{**known, "nodes": ["n1", "n2"], "dashboard_port": 8265, **changes})


def test_through_the_login_host_of_the_cluster() -> None:
    text = connection_info(server_state(), Path("/key"), "login.testbed.example")
    assert "ssh -N -L 8000:10.0.0.1:8000 $USER@login.testbed.example" in text
    assert "ssh -N -J $USER@login.testbed.example -L 8265:127.0.0.1:8265 $USER@n1" in text
    assert "scancel 412" in text


def test_on_one_machine_there_is_no_tunnel() -> None:
    assert "ssh" not in connection_info(server_state(nodes=[]), Path("/key"), None)
