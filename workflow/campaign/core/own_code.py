"""The package as it was when this process began: a checkout may be updated under a process that lives for days.

What a long-lived process starts later, it starts from a copy of its own code, a zip file that Python runs: `python FILE MODULE
ARGUMENTS`. Its own modules are all imported at its start (tests/unit/core/test_own_code.py holds that).
"""

import io
import logging
import sys
import time
import zipfile
from pathlib import Path

import campaign
from campaign.core.errors import StorageError
from campaign.core.files import write_atomic

log = logging.getLogger(__name__)

_PACKAGE = Path(__file__).parents[1]
_BEGAN = time.time()

_MAIN = """
import runpy, sys
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class OwnCode:
    """The package's code of now, kept in memory, and in the file `at` as soon as a program needs it."""

    def __init__(self, at: Path) -> None:
        self._at = at.absolute()  # on the other nodes of an allocation too
        self._zip = _packed()
        self._is_written = False

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that runs a module of this code with this Python. On a full disk it is the code of the checkout."""
        try:
            if not self._is_written:
                write_atomic(self._at, self._zip, durable=False)
                self._is_written = True
        except StorageError as error:
            log.warning("%s", error)
            return [sys.executable, "-m", module, *arguments]
        return [sys.executable, str(self._at), module, *arguments]


def _packed() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", _MAIN)
        # Not the real one: it asks the installed package for its version, which an update takes away for a moment.
        archive.writestr("campaign/__init__.py", f"__version__ = {campaign.__version__!r}\n")
        for path in sorted(_PACKAGE.rglob("*.py")):
            if path != _PACKAGE / "__init__.py":
                archive.write(path, Path("campaign") / path.relative_to(_PACKAGE))
    return packed.getvalue()


def was_updated() -> bool:
    """Whether code that this process runs was replaced or removed since it began."""
    files = [module.__file__ for name, module in list(sys.modules.items()) if name.startswith("campaign.") and module.__file__]
    return any(not Path(file).exists() or Path(file).stat().st_mtime > _BEGAN for file in files)
