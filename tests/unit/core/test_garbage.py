import subprocess
import sys

import pytest

PHASE = """
import gc
from campaign.core.garbage import pause_collection
pause_collection()
from campaign.cli.phases import _logging
with _logging(None):
    print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""
COMMAND = """
import gc, sys
from campaign.cli import main
from campaign.explain import show
show.explain_paths = lambda logs: print(gc.isenabled(), gc.get_freeze_count() > 10_000) or sys.exit()
sys.argv = ["campaign", "explain", "."]
main()
"""


@pytest.mark.processes
@pytest.mark.parametrize("script", [PHASE, COMMAND], ids=["phase", "command"])
def test_what_begins_is_collected_and_what_was_imported_is_not(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"], done.stderr
