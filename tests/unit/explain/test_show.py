"""`campaign explain` of files and folders, for people and as plain values."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from campaign.core.errors import Unreadable
from campaign.explain import Finding
from campaign.explain.show import as_json, explain_paths, render

OOM, ECC = "torch.OutOfMemoryError: CUDA out of memory.\n", "RuntimeError: CUDA error: uncorrectable ECC error encountered\n"


def write(path: Path, text: str, at: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def printed(found: list[Finding]) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(render(found, [Path("a.log")]))
    return console.file.getvalue()


def test_an_allocations_folder_tells_its_newest_failure(in_tmp: Path) -> None:
    folder = Path("logs/c/allocations/m/0")
    write(folder / "old-engine-1.log", OOM, 100)
    write(folder / "new-engine-1.log", ECC, 200)
    write(folder / "new-engine-2.log", "INFO:     Application startup complete.\n", 300)
    write(folder / "new-2-srun-n1.log", "srun: Job step creation\n", 300)
    found = explain_paths([folder])
    assert [(finding.name, str(finding.log)) for finding in found] == [("ecc", str(folder / "new-engine-1.log"))]


def test_another_folder_is_read_as_one_failure(in_tmp: Path) -> None:
    write(Path("session_latest/logs/worker-1.err"), OOM, 100)
    write(Path("session_latest/logs/raylet.out"), "fine\n", 100)
    assert [finding.name for finding in explain_paths([Path("session_latest")])] == ["gpu_out_of_memory"]


def test_several_files_are_one_failure(in_tmp: Path) -> None:
    write(Path("a.log"), OOM, 100)
    write(Path("b.log"), ECC, 100)
    assert [finding.name for finding in explain_paths([Path("a.log"), Path("b.log")])] == ["ecc", "gpu_out_of_memory"]


def test_plain_values_keep_their_fields(in_tmp: Path) -> None:
    write(Path("a.log"), "x\n" + ECC, 100)
    (value,) = as_json(explain_paths([Path("a.log")]))
    assert set(value) == {"name", "cause", "remedy", "verdict", "line", "line_number", "log"}
    assert (value["name"], value["verdict"], value["line"], value["line_number"]) == ("ecc", "another_node", ECC.strip(), 2)


def test_what_followed_is_listed_below_the_cause(in_tmp: Path) -> None:
    write(Path("a.log"), ECC + "vllm.v1.engine.exceptions.EngineDeadError: EngineCore died\n", 100)
    shown = printed(explain_paths([Path("a.log")]))
    assert shown.index("verdict: another_node (it needs another node)") < shown.index("What followed")
    assert "a.log:2: engine_core_died" in shown
    assert "No failure in a.log" in printed([])


def test_signatures_that_are_wrong_are_told(in_tmp: Path) -> None:
    write(Path("config/signatures.toml"), "[[signatures]]\nname = 'x'\n", 100)
    with pytest.raises(Unreadable, match=r"config/signatures.toml, signature 1 \(x\): pattern is missing") as wrong:
        explain_paths([write(Path("a.log"), OOM, 100)])
    assert wrong.value.exit_code == 2


@pytest.mark.parametrize("name", ["none.log", "empty"])
def test_what_cannot_be_read_is_a_sentence(in_tmp: Path, name: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(Unreadable, match=f"{name} (cannot be read|holds no logs)"):
        explain_paths([Path(name)])
