"""What nvidia-smi and rocm-smi print, read back; and a watch that nothing of them can disturb."""

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaign.core import timing
from campaign.server.host import gpus
from campaign.server.host.gpus import GpuUse, GpuWatch, parse_nvidia, parse_rocm, read_use
from support.commands import write_command
from support.runs import wait_for

MIB, GIB = 2.0**20, 2.0**30
NVIDIA = "0, NVIDIA A100-SXM4-40GB, 97, 36864, 40960\n1, NVIDIA A100-SXM4-40GB, 0, 4, 40960\n"
MIG = "0, NVIDIA A100-SXM4-40GB MIG 3g.20gb, [N/A], [Insufficient Permissions], [N/A]\n"
ROCM = (
    'WARNING: AMD GPU device(s) is/are in a low-power state.\n{"card0": {"GPU use (%)": "0", "VRAM Total Memory (B)": '
    '"21458059264", "VRAM Total Used Memory (B)": "27856896", "Card Series": "Radeon RX 7900 XT"}, "system": {"Driver": "6"}}\n'
)


def test_nvidia() -> None:
    name = "NVIDIA A100-SXM4-40GB"
    assert parse_nvidia(NVIDIA) == [GpuUse(f"0 {name}", 97, 36 * GIB, 40 * GIB), GpuUse(f"1 {name}", 0, 4 * MIB, 40 * GIB)]
    assert parse_nvidia(MIG) == [GpuUse(f"0 {name} MIG 3g.20gb", None, None, None)]
    assert parse_nvidia("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n") == []


def test_rocm() -> None:
    assert parse_rocm(ROCM) == [GpuUse("0", 0, 27856896, 21458059264)]
    assert parse_rocm("ERROR: no AMD GPUs\n") == []
    assert parse_rocm('{"card0": 5, "card1": {"GPU use (%)": null}}') == [GpuUse("1", None, None, None)]


@given(st.text())
def test_any_text_is_parsed(text: str) -> None:
    parse_nvidia(text)
    parse_rocm(text)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH beside the system's: what is written there as nvidia-smi is run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder / "nvidia-smi"


def looked(watch: GpuWatch, done: Path) -> bool:
    watch.look()
    return done.exists()


@pytest.mark.processes
def test_a_sample_is_written_beside_the_others(tool: Path, tmp_path: Path) -> None:
    write_command(tool, f"echo '{NVIDIA.splitlines()[0]}'")
    watch = GpuWatch(tmp_path / "gpus", "n1")
    wait_for(lambda: looked(watch, tmp_path / "gpus" / "n1.json"), 20, "a sample")
    assert [gpu["utilization"] for gpu in read_use(tmp_path / "gpus")["n1"]] == [97.0]


@pytest.mark.processes
def test_samples_are_far_apart_and_old_ones_are_not_read(tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_command(tool, f"echo >> {tmp_path}/asked; echo '{NVIDIA.splitlines()[0]}'")
    watch = GpuWatch(tmp_path / "gpus", "n1")
    wait_for(lambda: looked(watch, tmp_path / "gpus" / "n1.json"), 20, "a sample")
    for _ in range(50):
        watch.look()
    assert (tmp_path / "asked").read_text() == "\n"
    now = time.time()
    monkeypatch.setattr(gpus.time, "time", lambda: now + 3 * timing.TIMING.gpu_sample + 1)
    assert read_use(tmp_path / "gpus") == {}


def test_without_gpus_nothing_is_started(tool: Path, tmp_path: Path) -> None:
    watch = GpuWatch(tmp_path / "gpus", "n1")
    watch.look()
    assert not watch.pids
    assert not (tmp_path / "gpus").exists()


@pytest.mark.processes
def test_a_tool_that_hangs_is_ended_and_holds_nobody_up(tool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_PATIENCE_S", 0.0)
    write_command(tool, "exec sleep 600")
    watch = GpuWatch(tmp_path / "gpus", "n1")
    watch.look()
    (pid,) = watch.pids
    wait_for(lambda: looked(watch, tmp_path / "never") or not watch.pids, 20, "it is ended")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.processes
@pytest.mark.parametrize("script", ["exit 9", "echo garbage, , , ,", "kill -9 $$"])
def test_a_tool_that_fails_is_passed_over(tool: Path, tmp_path: Path, script: str) -> None:
    write_command(tool, script)
    watch = GpuWatch(tmp_path / "gpus", "n1")
    watch.look()
    wait_for(lambda: looked(watch, tmp_path / "never") or not watch.pids, 20, "it has ended")


@pytest.mark.processes
def test_a_place_that_cannot_be_written_is_passed_over(tool: Path, tmp_path: Path) -> None:
    write_command(tool, f"echo '{NVIDIA.splitlines()[0]}'")
    (tmp_path / "gpus").write_text("a file where the folder should be")
    watch = GpuWatch(tmp_path / "gpus", "n1")
    watch.look()
    wait_for(lambda: looked(watch, tmp_path / "never") or not watch.pids, 20, "it has ended")
