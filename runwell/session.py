"""What is executed at a prompt just now: a cell of a notebook, an input of Python's own prompt. Nothing in a script.

Cells are run again and again in one process, mostly without ending the run of the time before; runs that one input begins
together are meant to be there together.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable
from types import FrameType

_NO_INPUT = ("<string>", "<frozen")
"""Beginnings of file names in angle brackets that are no input at a prompt."""


def is_interactive() -> bool:
    """Whether somebody sits at a prompt: Python's own, IPython's, a notebook. They all name it so."""
    return hasattr(sys, "ps1")


def execution() -> Hashable:
    """The input that is executed now, the same for all that it begins; None in a script and in threads of one's own."""
    if not is_interactive() or threading.current_thread() is not threading.main_thread():
        return None
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        return "cell", getattr(shell, "execution_count", None)
    frame: FrameType | None = sys._getframe()
    found = None
    while frame is not None:  # the outermost one counts: an input may itself run code that comes from nowhere
        name = frame.f_code.co_filename
        if name.startswith("<") and not name.startswith(_NO_INPUT):
            found = frame.f_code
        frame = frame.f_back
    return found if found is None else _Input(found)


class _Input:
    """One input at a prompt, known by its code, which is compiled anew when it is entered again."""

    def __init__(self, code: object) -> None:
        self._code = code

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Input) and other._code is self._code

    def __hash__(self) -> int:
        return id(self._code)
