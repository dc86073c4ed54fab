"""Keeps Python's garbage collector away from what a process imports.

Without this it looks through all modules and classes again and again while more are imported, and once more at the end, and
finds next to nothing: 0.2 of the 0.8 s of a processor that the phase `infer` takes for its imports (Python 3.11, loaded cores).
"""

import gc


def pause_collection() -> None:
    """Before the imports; `leave_imports_out` has to follow."""
    gc.disable()


def leave_imports_out() -> None:
    """After the imports: what there is now is looked through no more, and what comes is collected as ever."""
    gc.freeze()
    gc.enable()
