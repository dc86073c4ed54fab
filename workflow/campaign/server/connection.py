"""connection-info.txt: how a person reaches a running server from their own machine."""

from pathlib import Path
from urllib.parse import urlsplit

from campaign.core.files import write_atomic
from campaign.server.http import MODELS
from campaign.server.server_state import ServerState


def connection_info(server_state: ServerState, key_file: Path, login: str | None, user: str = "$USER") -> str:
    """The text of connection-info.txt; of a server on this machine (`login` None) without the ways through a login host."""
    parts = urlsplit(server_state.url or "")
    host, port = parts.hostname, parts.port
    lines = [
        f"Model      {server_state.model} (vLLM {server_state.engine_version}, revision {server_state.model_revision})",
        f"Job        {server_state.job_id} on {', '.join(server_state.nodes) or server_state.host}",
        f"Endpoint   {server_state.url}/v1",
        f"Key file   {key_file.absolute()} (mode 0600; the key is its only line)",
        "",
        "Talk to it:",
        f"  campaign chat --model {server_state.model}",
        f'  curl -s {server_state.url}{MODELS} -H "Authorization: Bearer $(cat {key_file.absolute()})"',
        "",
    ]
    if login is None or not server_state.nodes:
        return "\n".join([*lines, "To stop it:", "  campaign stop   (a session), or Ctrl-C where its Snakemake runs", ""])
    lines += [
        "From your own machine: a tunnel through the login host, left open in a terminal of its own",
        f"  ssh -N -L {port}:{host}:{port} {user}@{login}",
        f"  then use http://localhost:{port}/v1 with the key, for example",
        f"  campaign chat --url http://localhost:{port} --key-file KEY   (a copy of the key file)",
    ]
    if dashboard := server_state.dashboard_port:
        lines += [
            "",
            "Ray's dashboard listens on its own node only, so that tunnel goes one host further:",
            f"  ssh -N -J {user}@{login} -L {dashboard}:127.0.0.1:{dashboard} {user}@{server_state.nodes[0]}",
            f"  then open http://localhost:{dashboard}",
        ]
    lines += ["", "To stop it:", f"  campaign stop   (a session), or scancel {server_state.job_id}", ""]
    return "\n".join(lines)


def write_connection_info(path: Path, server_state: ServerState, login: str | None) -> None:
    """Write the file beside the state file; `login`: the cluster's login host, None on one machine. Raises StorageError."""
    key_file = Path(server_state.api_key_file or path.with_name("api-key"))
    write_atomic(path, connection_info(server_state, key_file, login).encode())
