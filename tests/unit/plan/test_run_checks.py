"""What can be refused before anything is started."""

from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.config import CampaignConfig
from campaign.plan import run_checks
from campaign.plan.diagnostic import Diagnostic
from campaign.plan.run_checks import check_engine
from campaign.server.engine.command_line import EngineBuild
from campaign.site.table import load_table
from support import architectures


@pytest.mark.processes
def test_a_campaign_that_can_start(stub_config) -> None:
    assert run_checks.problems(stub_config()) == []


def test_no_engine(tmp_path: Path) -> None:
    assert check_engine(str(tmp_path)) == [
        f"engine: there is no {tmp_path}/bin/python; `make engine` makes .venv-engine, or name another environment with vllm"
    ]
    assert "there is no image" in check_engine(str(tmp_path / "vllm.sif"))[0]


# --- processors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "partition", "told"),
    [
        (
            62,
            "gh200",
            "nodes of gh200 have aarch64 processors, and engine {engine} is built for x86_64: nothing of it starts there",
        ),
        (183, "gh200", None),
        (
            183,
            "aa100",
            "nodes of aa100 have x86_64 processors, and engine {engine} is built for aarch64: nothing of it starts there",
        ),
        (62, "aa100", None),
        (None, "gh200", "nodes of gh200 have aarch64 processors, and it cannot be seen here what engine {engine} is built for"),
        (None, "aa100", None),
    ],
)
def test_an_engine_of_another_processor(
    machine: int | None,
    partition: str,
    told: str | None,
    tmp_path: Path,
    stub_config: Callable[..., CampaignConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the header of its python's file: 16 bytes of identity, the type, and the machine."""
    if machine is not None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "python").write_bytes(b"\x7fELF" + bytes(12) + b"\x02\0" + machine.to_bytes(2, "little"))
    placement = {"partition": partition, "gpus_per_node": 1}
    model = {"source": "nowhere", "max_model_len": 8192, "placement": placement}
    config = stub_config(site="alpine", engine=str(tmp_path), models={"stub": model})
    monkeypatch.setattr("campaign.plan.run_checks.engine_build", lambda _: EngineBuild({}, on_cpu=False))
    found = [each for each in run_checks.diagnose(config, load_table("alpine")).diagnostics if each.rule == "processor"]
    assert [each.reason for each in found] == ([told.format(engine=tmp_path)] if told else [])
    assert all(each.warning == (machine is None) for each in found)


def test_the_shape_of_another_processor_is_named(
    tmp_path: Path, stub_config: Callable[..., CampaignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_bytes(b"\x7fELF" + bytes(12) + b"\x02\0" + (62).to_bytes(2, "little"))
    placement = {"partition": "gh200", "gpu": "gh200", "gpus_per_node": 1, "qos": "gh200"}
    model = {"source": "nowhere", "max_model_len": 8192, "placement": placement}
    config = stub_config(site="alpine", engine=str(tmp_path), models={"stub": model})
    monkeypatch.setattr("campaign.plan.run_checks.engine_build", lambda _: EngineBuild({}, on_cpu=False))
    monkeypatch.setattr("campaign.plan.run_checks.read_metadata", lambda _: architectures.metadata("llama-3.1-8b"))
    (told,) = [each.remedy for each in run_checks.diagnose(config, load_table("alpine")).diagnostics if not each.warning]
    assert told.startswith("what works: placement {partition: ")
    assert "gh200, nodes: 1" not in told


def test_each_dataset_has_its_remedy() -> None:
    lines = [
        Diagnostic(f"datasets.{name}", "r", "is wrong", "mend it", warning=True)
        for name in ("a.prompt", "a.system", "b.prompt")
    ]
    said = run_checks.Diagnosis(None, {}, tuple(lines)).warnings
    assert [line.endswith("mend it") for line in said] == [True, False, True]
