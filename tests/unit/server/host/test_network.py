"""The address and interface by which nodes reach each other."""

import socket
from pathlib import Path

import pytest

from campaign.core.errors import ClusterError
from campaign.server.host import network
from campaign.server.host.network import NodeAddress

OWN = {"lo": ["127.0.0.1"], "eth1": ["10.99.0.11"], "eth0": ["10.77.0.11", "10.77.1.11"]}


def test_slurms_address_decides_and_not_the_order_of_interfaces() -> None:
    assert network.choose(OWN, ["10.77.0.11"]) == NodeAddress("10.77.0.11", "eth0")


def test_the_first_name_that_is_the_nodes_own_counts() -> None:
    assert network.choose(OWN, ["192.168.0.1", "10.77.1.11", "10.99.0.11"]) == NodeAddress("10.77.1.11", "eth0")


def test_an_interface_of_the_users_choice() -> None:
    assert network.choose(OWN, ["10.77.0.11"], "eth1") == NodeAddress("10.99.0.11", "eth1")
    assert network.choose(OWN, ["10.77.0.11"], "ib0") is None


@pytest.mark.processes
def test_nothing_fits() -> None:
    assert network.choose(OWN, ["8.8.8.8"]) is None
    with pytest.raises(ClusterError, match=r"ray\.interface"):
        network.own_address(["no-such-host.invalid"])


@pytest.mark.processes
def test_the_loopback_of_this_machine_is_found() -> None:
    assert network.own_address(["127.0.0.1"]) == NodeAddress("127.0.0.1", "lo")


@pytest.mark.processes
def test_ip_is_found_without_the_folders_for_administrators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert network.own_address(["127.0.0.1"]) == NodeAddress("127.0.0.1", "lo")


def test_addresses_as_ip_prints_them() -> None:
    text = '[{"ifname":"lo","addr_info":[{"local":"127.0.0.1"}]},{},{"ifname":"eth0","addr_info":[{"local":"10.0.0.2"}]}]'
    assert network.parse_addresses(text) == {"lo": ["127.0.0.1"], "eth0": ["10.0.0.2"]}
    assert network.parse_addresses("") == {}


def test_a_block_with_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        found = network.free_block("127.0.0.1", range(port - 2, port + 50, 5), 5)
        assert found >= port + 3
        with pytest.raises(ClusterError, match=f"free ports in a row on 127.0.0.1 within {port} to {port};"):
            network.free_block("127.0.0.1", [port], 1)


def test_reaches() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        assert not network.reaches("127.0.0.1", server.getsockname()[1], 0.5)
        server.listen()
        assert network.reaches("127.0.0.1", server.getsockname()[1])
