"""pyarrow imports pandas with the first list that becomes an array; a phase leaves it alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from campaign.core.files import write_json

ARRAY = "import pyarrow, sys; pyarrow.array([1]); print('pandas' in sys.modules)"
WITHOUT = "from campaign.core.without_pandas import without_pandas; without_pandas()"


@pytest.mark.processes
def test_pyarrow_still_imports_it_where_it_is_let() -> None:
    """Where it no longer does, the module can go."""
    for before, imported in (("pass", "True"), (WITHOUT, "False")):
        done = subprocess.run(
            [sys.executable, "-c", f"{before}\n{ARRAY}"], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == imported


@pytest.mark.processes
def test_a_phase_that_writes_arrays_imports_neither_it_nor_what_draws_tables(stub_config) -> None:
    config = stub_config()
    write_json(config.paths.config, config.model_dump(mode="json"))
    program = str(Path(sys.executable).parent / "campaign")
    words = ["phase", "prepare-requests", str(config.paths.config), "--dataset", "words"]
    command = [sys.executable, "-X", "importtime", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    imported = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "pyarrow" in imported
    assert not {name for name in imported if name.startswith(("pandas.", "rich."))}  # `pandas` itself was looked for
