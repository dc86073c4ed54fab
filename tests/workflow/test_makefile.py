"""What `make test` looks for on a Debian machine before it installs anything."""

import os
import subprocess
from pathlib import Path

import pytest

from support.commands import write_command
from support.runs import REPOSITORY

# As `dpkg-query -W -f='${Status}'` says it, with its exit status.
INSTALLED, REMOVED, NAMED, UNKNOWN = (
    ("install ok installed", 0),
    ("deinstall ok config-files", 0),
    ("unknown ok not-installed", 0),
    ("", 1),
)


@pytest.mark.parametrize("target", ["browser-packages", "lab-packages"])
@pytest.mark.parametrize(("last", "installs"), [(INSTALLED, False), (REMOVED, True), (NAMED, True), (UNKNOWN, True)])
def test_a_package_that_is_only_known_is_installed(target: str, last: tuple[str, int], installs: bool, tmp_path: Path) -> None:
    """All are installed but for the last one of the target's."""
    asked = tmp_path / "asked"
    programs = {
        "dpkg-query": 'case "$*" in *chromium-driver|*iproute2) printf "%s" "$STATE"; exit $CODE;; esac; printf "install ok installed"',
        "apt-get": f'echo "$*" >> {asked}',
        "id": "echo 0",
    }
    for name, body in programs.items():
        write_command(tmp_path / name, body)
    makefile = (REPOSITORY / "Makefile").read_text()
    (tmp_path / "Makefile").write_text(makefile.replace("/usr/sbin/policy-rc.d", str(tmp_path / "policy")))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "STATE": last[0], "CODE": str(last[1])}
    command = ["make", "-C", str(tmp_path), target]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert asked.exists() is installs
