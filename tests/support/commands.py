"""Commands of other programs (sbatch, nvidia-smi, an engine's python) as scripts of bash."""

from pathlib import Path


def write_command(path: Path, script: str) -> None:
    """Make `path` a program that runs `script`; its folder is made.

    The file is replaced, not overwritten: the one before may run just now, and Linux refuses to write what it executes
    ("Text file busy").
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(f"#!/bin/bash\n{script}\n")
    new.chmod(0o755)
    new.replace(path)
