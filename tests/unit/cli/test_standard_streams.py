"""A program whose caller closed its standard streams gives their numbers to nothing else."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sys
from campaign.cli import open_standard_streams

open_standard_streams()
with open("/dev/null") as stream:
    told = [stream.fileno(), *(os.readlink(f"/proc/self/fd/{number}") for number in range(3))]
assert not sys.stdin.isatty() and not sys.stdout.isatty()
print("nowhere", flush=True, file=sys.stderr)
os.write(int(os.environ["TELL"]), json.dumps(told).encode())
"""


@pytest.mark.processes
@pytest.mark.parametrize("closed", ["", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_opened(closed: str) -> None:
    command = ["bash", "-c", f'TELL=9 "$0" -c "$1" 9>&1 {closed}', sys.executable, SCRIPT]
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True)
    number, *streams = json.loads(answer.stdout)
    assert number > 2
    assert streams[0] == "/dev/null"
    assert (">&-" in closed) == (streams[1:] == ["/dev/null"] * 2)
