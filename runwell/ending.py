"""How a run ended, in a state and a sentence: of whatever ended its script. Knows no spool and no hook."""

from __future__ import annotations

import time

from runwell.wire import Event, clean_text, shorten


def end_of(kind: type[BaseException] | None, error: BaseException | None) -> tuple[str, str]:
    """(state, reason) for a run that ends with this exception, or with none."""
    if kind is None:
        return "finished", ""
    if issubclass(kind, KeyboardInterrupt):
        return "stopped", "interrupted from the keyboard"
    if issubclass(kind, SystemExit):
        code = getattr(error, "code", None)
        if code in (None, 0):
            return "finished", ""
        handled = error.__context__ if error is not None else None  # a script that prints what went wrong and gives up
        return "crashed", f"SystemExit: {shorten(code, 200)}" + (f", after {_named(handled)}" if handled else "")
    return "crashed", _named(error) if error is not None else kind.__name__


def _named(error: BaseException) -> str:
    text = clean_text(str(error)).strip()
    return (f"{type(error).__name__}: {text}" if text else type(error).__name__)[:2000]


def end_event(state: str, reason: str, step: int) -> Event:
    """The record that ends a run; `step` is the last that was logged, below 0 when none was."""
    event: Event = {"type": "state", "time": time.time(), "state": state, "reason": reason}
    if step >= 0:
        event["step"] = step
    return event


class LastWords:
    """What is known of a run's end before it comes, for when its script ends without saying how.

    An exception that is about to end the process may still be caught, and another thread may go on with what a dead one
    did: whoever logs on has done so. `reported` always counts the run's records so far.
    """

    def __init__(self) -> None:
        self._end = self._threads_end = ("finished", "")
        self._reported: int | None = None
        self._threads_reported = 0

    def hear(self, error: BaseException, reported: int | None) -> None:
        """Take in what is about to end the process; `reported` is None if nobody can catch it any more."""
        unsure = self._reported is not None or self._end[0] == "finished"
        if reported is None or unsure:  # else it is known already what ended it
            self._end, self._reported = end_of(type(error), error), reported

    def hear_of_thread(self, name: str, error: BaseException, reported: int) -> None:
        """Take in what has ended the only thread that logged."""
        state, reason = end_of(type(error), error)
        self._threads_end, self._threads_reported = (state, f"{reason}, in the thread {shorten(name)}"), reported

    def end(self, reported: int) -> tuple[str, str]:
        """(state, reason) for a run whose process ends."""
        known = self._end if self._reported in (None, reported) else ("finished", "")
        return known if known[0] != "finished" else self.of_threads(reported)

    def of_threads(self, reported: int) -> tuple[str, str]:
        """(state, reason) for a run whose main thread came to its end in peace."""
        return self._threads_end if self._threads_reported == reported else ("finished", "")
