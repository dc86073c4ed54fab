"""Keeps pyarrow from importing pandas.

pyarrow 26 imports it with the first list that becomes an array, to see whether that is a Series (pandas-shim.pxi). It takes
each phase and command 0.2 s of a processor, 40 MB, and hundreds of small files of a parallel file system. None uses pandas.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Says that there is none."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("the command `campaign` runs without pandas", name=fullname)
        return None


def without_pandas() -> None:
    """For the whole process, in which nothing of the user's may run."""
    sys.meta_path.insert(0, _NoPandas())
