"""By which address and interface the nodes of an allocation reach each other."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from campaign.core.errors import ClusterError


@dataclass(frozen=True)
class NodeAddress:
    """A node's own address, and the interface that owns it."""

    address: str
    interface: str


def choose(own: Mapping[str, Sequence[str]], wanted: Iterable[str], interface: str | None = None) -> NodeAddress | None:
    """The first of the `wanted` addresses that is the node's own (interface name -> IPv4 addresses).

    With `interface` given, its first address. None when nothing fits. The order of interfaces and the default route do not
    count: they are what sends NCCL and Gloo to a network the other nodes are not on.
    """
    if interface is not None:
        addresses = own.get(interface, ())
        return NodeAddress(addresses[0], interface) if addresses else None
    owner = {address: name for name, addresses in own.items() for address in addresses}
    return next((NodeAddress(address, owner[address]) for address in wanted if address in owner), None)


def parse_addresses(text: str) -> dict[str, list[str]]:
    """Interface name -> IPv4 addresses, from `ip -json -4 address`."""
    links: list[dict[str, Any]] = json.loads(text or "[]")
    return {
        link["ifname"]: [entry["local"] for entry in link.get("addr_info", ()) if "local" in entry] for link in links if link
    }


def resolve(name: str) -> list[str]:
    """IPv4 addresses of a host name; none when it is unknown."""
    try:
        return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)))
    except socket.gaierror:
        return []


def _ip_command() -> str:
    """Where `ip` is: an ordinary user's PATH need not have the folders for administrators. Raises ClusterError."""
    found = shutil.which("ip", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
    if found is None:
        raise ClusterError(f"{socket.gethostname()} has no `ip` command (package iproute2), which tells its addresses")
    return found


def own_address(names: Iterable[str], interface: str | None = None) -> NodeAddress:
    """This node's address among those its `names` (as Slurm and the other nodes know it) stand for. Raises ClusterError."""
    command = [_ip_command(), "-json", "-4", "address"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    own, wanted = parse_addresses(text), [address for name in names for address in resolve(name)]
    found = choose(own, wanted, interface)
    if found is None:
        asked = f"interface {interface}" if interface else f"one of {', '.join(wanted) or 'no address at all'}"
        raise ClusterError(
            f"{socket.gethostname()} has no {asked}; it has "
            + "; ".join(f"{name}: {', '.join(addresses)}" for name, addresses in own.items())
            + ". Name the interface between the nodes: models.<name>.ray.interface"
        )
    return found


def free_block(address: str, starts: Sequence[int], size: int) -> int:
    """The first of `starts` from which on `size` ports are free on `address` and on loopback.

    Raises ClusterError. Another user's Ray on the same node holds other ports of the same range.
    """
    for start in starts:
        if all(_free(address, port) for port in range(start, start + size)):
            return start
    tried = f"{starts[0]} to {starts[-1] + size - 1}"
    raise ClusterError(f"No {size} free ports in a row on {address} within {tried}; is this node full of servers?")


def _free(address: str, port: int) -> bool:
    with ExitStack() as stack:
        for host in {address, "127.0.0.1"}:
            probe = stack.enter_context(socket.socket())
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def reaches(address: str, port: int, timeout: float = 2.0) -> bool:
    """Whether a TCP connection can be made."""
    try:
        with socket.create_connection((address, port), timeout):
            return True
    except OSError:
        return False
