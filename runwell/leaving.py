"""Hears of every way in which Python leaves a process, before it does, and of threads that die. Knows no run.

What it cannot hear: `raise SystemExit(1)`, of which nothing is left when Python ends; death by a signal or in native code.
"""

from __future__ import annotations

import atexit
import builtins
import functools
import os
import sys
import threading
from types import TracebackType
from typing import Any, NoReturn, Protocol

from runwell.session import is_interactive


class Listener(Protocol):
    """Who is told."""

    def fails(self, error: BaseException, *, caught: bool) -> None:
        """An exception is about to end the process; with `caught`, somebody may still catch it."""

    def thread_fails(self, thread: threading.Thread, error: BaseException) -> None:
        """An exception that nobody caught has ended a thread; the process goes on."""

    def ends(self) -> None:
        """Python ends."""

    def is_cut_off(self, status: int) -> None:
        """The process is left at once, by `os._exit`: nothing of Python will run any more."""


class _Hooks:
    """What was put in the place of Python's own."""

    excepthook: Any = None
    child = 0
    """The process of multiprocessing that was listened to."""


_hooks = _Hooks()


def listen(listener: Listener) -> None:
    """Have the listener told, for good. Call it again in every process; only the first call of each does something."""
    _listen_to_multiprocessing(listener)
    if _hooks.excepthook is not None:
        return
    before, leave, leave_now = sys.excepthook, sys.exit, os._exit

    def excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not is_interactive():  # at a prompt Python goes on after it
            listener.fails(error, caught=False)
        before(kind, error, traceback)

    @functools.wraps(leave)
    def leave_with_a_word(status: Any = None, /) -> NoReturn:
        _tell_of_leaving(listener, status)
        leave(status)

    @functools.wraps(leave_now)
    def leave_now_with_a_word(status: int) -> NoReturn:
        try:
            listener.is_cut_off(status)
        finally:
            leave_now(status)

    def end() -> None:
        error = getattr(sys, "last_value", None)
        if error is not None and sys.excepthook is not excepthook and not is_interactive():
            listener.fails(error, caught=True)  # somebody's own hook took the place of ours
        listener.ends()

    _hooks.excepthook = sys.excepthook = excepthook
    sys.exit = leave_with_a_word  # nothing else tells a script that gives up from one that has come to its end
    os._exit = leave_now_with_a_word
    _listen_to_threads(listener)
    _listen_to_quitters(listener)
    atexit.register(end)


def _tell_of_leaving(listener: Listener, status: Any) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # it ends that thread, and nothing else
    error = SystemExit(status)
    error.__context__ = sys.exc_info()[1]
    listener.fails(error, caught=True)


def _listen_to_threads(listener: Listener) -> None:
    before = threading.excepthook

    def excepthook(args: threading.ExceptHookArgs) -> None:
        # at a prompt whoever sits there sees it, and may start it again; SystemExit is how a thread ends itself
        if args.thread is not None and isinstance(args.exc_value, Exception) and not is_interactive():
            listener.thread_fails(args.thread, args.exc_value)
        before(args)

    threading.excepthook = excepthook


def _listen_to_quitters(listener: Listener) -> None:
    """`exit` and `quit` as scripts use them: they raise SystemExit by themselves."""
    quitter: Any = type(getattr(builtins, "exit", None))
    if quitter.__name__ != "Quitter":
        return
    before = quitter.__call__

    def call(self: Any, code: Any = None) -> None:
        _tell_of_leaving(listener, code)
        before(self, code)

    quitter.__call__ = call


def _listen_to_multiprocessing(listener: Listener) -> None:
    """Its children print their exceptions themselves, and most leave by `os._exit`: no hook of Python hears of those."""
    process, util = (sys.modules.get(f"multiprocessing.{name}") for name in ("process", "util"))
    if process is None or util is None or process.parent_process() is None or _hooks.child == os.getpid():
        return
    _hooks.child = os.getpid()

    def note() -> None:
        error = sys.exc_info()[1]
        if error is not None:
            listener.fails(error, caught=False)

    util.Finalize(None, note, exitpriority=0)
