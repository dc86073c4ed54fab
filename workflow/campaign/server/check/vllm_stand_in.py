"""Stands in for torchvision where a build for CPUs, which mostly has none, is asked about a server with GPUs.

Run by the engine's own python, like vllm_program. vLLM's code for Gemma 3, Mistral Small 3.1 or Qwen2.5-VL imports it; an
engine for GPUs has it, and without it vLLM says that such a model "failed to be inspected". Nothing is computed with it here.
vLLM looks at a model's class in a process of its own, hence a folder in PYTHONPATH.
"""

import os
import sys
import tempfile
from pathlib import Path

# Every name in it is a class that does nothing.
_TORCHVISION = """
import importlib.abc, importlib.machinery, sys, types

__version__ = "0.28.0"

def anything(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything(name, (), {"__init__": lambda self, *_, **__: None})

class Anything(type):
    def __getattr__(cls, name):
        return anything(name)

class Module(types.ModuleType):
    def __getattr__(self, name):
        value = anything(name)
        setattr(self, name, value)
        return value

class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.startswith("torchvision.") else None

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Finder())
sys.modules[__name__].__class__ = Module
"""


def stand_in_for_torchvision() -> str | None:
    """The folder of a torchvision for this process and those that it starts, to be removed; None for an engine of GPUs."""
    import torch

    if torch.version.cuda or torch.version.hip:
        return None
    folder = tempfile.mkdtemp(prefix="campaign-torchvision-")
    package = Path(folder) / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(_TORCHVISION)
    sys.path.append(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), folder)))
    if root := os.environ.get("VLLM_CACHE_ROOT"):  # what vLLM notes of a class is true of an engine with torchvision alone
        os.environ["VLLM_CACHE_ROOT"] = f"{root}/with-torchvision"
    return folder
