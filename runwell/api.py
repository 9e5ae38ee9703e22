"""The module-level verbs: `init` makes a run current, `log` and `finish` act on it; and what happens when Python ends.

The only module of the SDK with state: the runs of this process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from runwell.about import describe
from runwell.home import Environment, read_what_is_sound
from runwell.leaving import listen
from runwell.notice import LOGGER
from runwell.run import FINISH_SECONDS, Run
from runwell.session import execution
from runwell.wire import check_run_id

CUT_OFF_SECONDS = 1.0
"""How long a process that is left by `os._exit` may be held up."""


class NoRun(RuntimeError):
    """`runwell.log` or `runwell.finish` was called while no run is open."""


class _Runs:
    """The open runs of this process, the current one last."""

    def __init__(self) -> None:
        self.open: list[Run] = []
        self.hooked = False


_runs = _Runs()


def init(
    project: str = "default",
    name: str | None = None,
    config: Any = None,
    tags: Iterable[str] = (),
    resume: str | None = None,
    strict: bool = False,
    *,
    alongside: bool = False,
) -> Run:
    """Begin a run, or adopt the one named by `resume` or by `RUNWELL_RUN_ID`, and make it the current one.

    `config` is any mapping (values that are not JSON are shown by `repr`, secrets are hidden). The server need not be
    there. With `strict`, bad input raises `WireError`/`SettingError` instead of a warning.

    In a notebook or at a prompt, runs that an earlier cell or input left open are finished first, and it is said;
    with `alongside` they stay open. Runs that one cell begins, and those of a script, always stand beside each other.
    """
    environment = _environment(strict)
    run_id = check_run_id(resume) if resume else environment.run_id or new_run_id()
    begun_by = execution()
    if begun_by is not None and not alongside:
        _finish_earlier(begun_by)
    run = Run(run_id, environment, describe(project, name, config, tags), strict=strict)
    run.begun_by = begun_by
    if environment.url:
        _say(f"run {run.id} is at {run.url}")
    _runs.open = [*(one for one in _runs.open if not one.ended), run]
    _hook()
    return run


def _finish_earlier(begun_by: Hashable) -> None:
    """Finish what earlier cells or inputs left open: nothing else would, as long as the session lasts."""
    for run in _runs.open:
        if not run.ended and run.begun_by is not None and run.begun_by != begun_by:
            _say(
                f"run {run.id} is finished, because another one begins in this session; "
                "runwell.init(…, alongside=True) keeps both open"
            )
            run.finish("finished", "another run began in the same session")


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed
        print(f"runwell: {sentence}", file=sys.stderr)


def current() -> Run:
    """The run that was begun last and has not ended. Raises `NoRun`."""
    while _runs.open and _runs.open[-1].ended:
        _runs.open.pop()
    if not _runs.open:
        raise NoRun("there is no run: call runwell.init(project=…) first")
    return _runs.open[-1]


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """`Run.log` on the current run. Raises `NoRun`."""
    current().log(values, step)


def finish(state: str = "finished", reason: str = "") -> None:
    """`Run.finish` on the current run. Raises `NoRun`."""
    current().finish(state, reason)


def new_run_id(now: float | None = None) -> str:
    """A fresh id, `YYYYMMDD-HHMMSS-xxxxxx` in UTC: sorts by time, unique by its tail."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now)) + os.urandom(3).hex()


def _environment(strict: bool) -> Environment:
    environment, problems = read_what_is_sound()
    for problem in problems:
        if strict:
            raise problem
        means = "records wait in the spool" if problem.variable == "RUNWELL_URL" else "its default is taken"
        LOGGER.warning("runwell: %s; until then, %s", problem, means)
    return environment


# -- when Python ends ------------------------------------------------------------------------------------------------


class _Leaving:
    """Writes down how the open runs of this process end, whichever way it is left."""

    def fails(self, error: BaseException, *, caught: bool) -> None:
        """An exception ends it; who may still catch it may also train on."""
        for run in _runs.open:
            run.last_words.hear(error, run.reported if caught else None)

    def thread_fails(self, thread: threading.Thread, error: BaseException) -> None:
        """An exception has ended a thread; the process goes on."""
        for run in _runs.open:
            run.lose_thread(thread, error)

    def ends(self) -> None:
        """Python ends."""
        # All words first: whoever does not want to wait until they are sent interrupts that.
        said = [run for run in _runs.open if run.say_end(*run.last_words.end(run.reported))]
        timeout = FINISH_SECONDS
        for run in said:
            try:
                run.leave(timeout)
            except KeyboardInterrupt:
                timeout = 0.0

    def is_cut_off(self, status: int) -> None:
        """The process is left at once. Forked children leave so as a rule, and their parent's run goes on."""
        left = "" if status == 0 else f"left by os._exit({status})"
        for run in _runs.open:
            if run.is_own and run.is_free(CUT_OFF_SECONDS):
                state, reason = run.last_words.end(run.reported)
                end = ("crashed", left) if left and state == "finished" else (state, reason)
                # nothing is waited for that may never come: a watchdog leaves so when a device hangs
                if run.say_end(*end, wait=False):
                    run.leave(CUT_OFF_SECONDS)


_leaving = _Leaving()


def _hook() -> None:
    listen(_leaving)
    if not _runs.hooked and hasattr(os, "register_at_fork"):
        _runs.hooked = True
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    for run in _runs.open:
        run._reopen_in_child()
