"""A run as the training script sees it: `log` and its kin write to the spool and return; the sender does the rest.

Nothing here waits for disk or network, and nothing raises into training unless `strict=True`. In a forked child the run
goes on with a writer of its own.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import Any

from runwell.about import begin_event
from runwell.authors import Authors
from runwell.devices import Held, Late, meet_types, read_or_hold
from runwell.ending import LastWords, end_event, end_of
from runwell.fields import LEVELS
from runwell.home import Environment
from runwell.later import Later
from runwell.notice import Notices
from runwell.spool import Spool
from runwell.values import flatten, show, to_json, to_number, whole
from runwell.wire import (
    MAX_STEP,
    RESERVED,
    BadEvent,
    Event,
    WireError,
    check_name,
    check_step,
    clean_text,
    shorten,
    validate_event,
)
from runwell.writer import Writer

FINISH_SECONDS = 10.0
MAX_TEXT = 64 * 1024
"""Characters of one sample or log text that are kept."""


class Run:
    """One training attempt. Make one with `runwell.init`. All methods may be called from any thread."""

    def __init__(
        self, run_id: str, environment: Environment, about: Mapping[str, Any], *, strict: bool = False
    ) -> None:
        self.id = run_id
        self.strict = strict
        self.ended = ""
        """The state it ended in; empty while it goes on."""
        self.last_words = LastWords()
        self.begun_by: Hashable = None
        """The input at a prompt that began it; None in a script."""
        self._environment, self._about = environment, dict(about)
        self._warn = Notices()
        self._step = -1
        self._plain: set[type] = {float, int, bool}
        """Types whose values are read at once, whatever they are."""
        self._commands: deque[dict[str, Any]] = deque()
        self._heard: set[int] = set()
        self._finish_lock = threading.RLock()
        self._owner = os.getpid()
        self._authors = Authors()
        self._late = self._new_late()
        self._spool: Spool | Later
        self._open()

    def __repr__(self) -> str:
        return f"<runwell.Run {self.id}{' ' + self.ended if self.ended else ''}>"

    @property
    def url(self) -> str:
        """The run's page."""
        return f"{self._environment.url}/run/{self.id}"

    @property
    def reported(self) -> int:
        """How many records this process was given, and one: those whose numbers are on their way from a device as well."""
        return self._spool.next_seq + self._late.unwritten if isinstance(self._spool, Spool) else 0

    # -- what a script reports -------------------------------------------------------------------------------------

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Write down numbers at a step. Without `step` it counts up by itself, from 0.

        Takes ints, floats, bools, numpy scalars, arrays and tensors of one element, and nested mappings (their names are
        joined with "/"). NaN and ±Inf are kept. What is no number is left out, with one warning that names it. A number
        on a GPU is not waited for: the sender reads it, as soon as it is there.
        """
        try:
            if step is None:
                step = self._step + 1
            if type(step) is not int or not 0 <= step <= MAX_STEP:
                step = check_step(whole(step))
        except Exception as error:
            self._complain(f"step {type(step).__name__}", f"log() wrote nothing: {error}", error)
            return
        try:
            if not self._plain.issuperset(map(type, values.values())):
                meet_types(values.values(), self._plain)
            # refuses itself, cheaply, all that is not plain names and numbers
            self._spool.metrics(values, step, time.time())
        except Exception:
            self._log_slowly(values, step)
        self._step = step

    def sample(self, prompt: str, text: str, step: int | None = None, **measures: Any) -> None:
        """Write down what the model wrote for a prompt, and what was measured of it, as numbers by name.

        Known measures: `temperature` and `top_k` it was asked with; `verbatim_tokens` and `verbatim_characters`, the
        length of its longest run that stands so in the training text, and `verbatim_places`, at how many places.
        """

        def event() -> Event:
            made: Event = {"prompt": self._text(prompt), "text": self._text(text)}
            for name, number in flatten(measures, self._refuse).items():
                if name not in made and self._name_is_fine(name):
                    made[name] = number
            return made

        self._write("sample", event, step, need_step=True)

    def update_config(self, settings: Mapping[str, Any]) -> None:
        """Add settings to the run's config, or replace them: what became known only after `init`. Secrets are hidden."""

        def event() -> Event:
            plain = to_json(settings)
            if not isinstance(plain, dict):
                raise BadEvent(f"update_config() takes a mapping of settings, not {shorten(settings)}")
            return {"config": plain}

        self._write("config", event)

    def data(self, facts: Mapping[str, Any], step: int | None = None) -> None:
        """Write down what is known of the data that is trained on from a step: numbers and texts by name.

        docs/architecture.md lists the names that rules know (`distinct`, `overlap`, `train_tokens`, …). A later call
        stands in the place of the earlier one.
        """

        def event() -> Event:
            plain = to_json(facts)
            if not isinstance(plain, dict):
                raise BadEvent(f"data() takes a mapping of facts, not {shorten(facts)}")
            return {name: value for name, value in plain.items() if name not in RESERVED}

        self._write("data", event, step, need_step=True)

    def alert(self, title: str, text: str = "", level: str = "warning", step: int | None = None) -> None:
        """Tell the owner something: `level` is info, warning or critical."""
        if not isinstance(level, str) or level not in LEVELS:
            sentence = f"alert level {shorten(level)} is not allowed; it takes info, warning or critical"
            self._complain("level", sentence if self.strict else f"{sentence}; it is told as a warning")
            level = "warning"
        self._write("alert", lambda: {"title": self._text(title), "text": self._text(text), "level": level}, step)

    def checkpoint(
        self, path: str | os.PathLike[str], step: int | None = None, val_loss: float | None = None, best: bool = False
    ) -> None:
        """Say that a checkpoint was written, by default at the last step logged; `val_loss` is the validation loss there, if known."""

        def event() -> Event:
            made: Event = {"path": self._text(os.fspath(path)), "best": bool(best)}
            if val_loss is not None:
                made["val_loss"] = to_number(val_loss)
            return made

        self._write("checkpoint", event, step, need_step=True)

    def output(self, text: str, stream: str = "worker") -> None:
        """Write a line into the run's output log."""
        self._write("log", lambda: {"stream": self._text(stream), "text": self._text(text)})

    def rewind(self, step: int) -> None:
        """Say that training goes on from a checkpoint at `step`: later points from before are kept and hidden."""
        self._late.settle()  # what was logged before belongs before it
        if self._write("rewind", dict, step, need_step=True) and step is not None:
            self._step = check_step(whole(step))

    # -- what the server asks --------------------------------------------------------------------------------------

    def commands(self) -> list[dict[str, Any]]:
        """Commands that came since the last call, each once: `{"id", "kind", "args"}`. Costs nothing when there is none."""
        if not self._commands:
            return []
        taken = []
        while self._commands:
            taken.append(self._commands.popleft())
        return taken

    def acknowledge(self, command: int, ok: bool = True, text: str = "", step: int | None = None) -> None:
        """Tell the server that a command was carried out, or why not."""
        self._write("ack", lambda: {"command": int(command), "ok": bool(ok), "text": self._text(text)}, step)

    def _receive(self, commands: list[dict[str, Any]]) -> None:
        for command in commands:
            number = command.get("id")
            if isinstance(number, int) and number not in self._heard:
                self._heard.add(number)
                self._commands.append(command)

    # -- the end ---------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = FINISH_SECONDS) -> int:
        """Wait for at most `timeout` seconds until the server has all that was logged; returns how many records still wait."""
        self._late.settle()
        if isinstance(self._spool, Later):
            return 0
        return self._writer.sender.flush(timeout)

    def finish(self, state: str = "finished", reason: str = "", timeout: float = FINISH_SECONDS) -> None:
        """End the run as `finished`, `stopped` or `crashed`, and send what waits for at most `timeout` seconds.

        What the server did not take by then stays in the spool; the next run or `runwell sync` sends it.
        """
        if self.say_end(state, reason):
            self.leave(timeout)

    def say_end(self, state: str, reason: str = "", *, wait: bool = True) -> bool:
        """Write down how the run ended, as the last that is written of it here; False when that was done before.

        Without `wait`, numbers that are still on their way from a device are given up: it may hang.
        """
        with self._finish_lock:
            if self.ended:
                return False
            self.ended = state
        try:
            if wait:
                self._late.settle()
            if isinstance(self._spool, Spool):  # a forked child that never wrote anything has nothing to end
                self._spool.seal(end_event(state, self._text(reason), self._step) if self.is_own else None)
        except Exception as error:
            self._complain("finish", f"run {self.id} could not be ended properly: {error!r}", error)
        return True

    def leave(self, timeout: float) -> None:
        """After `say_end`: send what waits for at most `timeout` seconds, and let go of the spool."""
        try:
            if isinstance(self._spool, Spool):
                self._writer.leave(timeout)
        except Exception as error:
            self._complain("finish", f"run {self.id} could not be ended properly: {error!r}", error)

    def lose_thread(self, thread: threading.Thread, error: BaseException) -> None:
        """An exception has ended a thread. It ends the run too if that thread alone logged it, and nothing is logged after it."""
        if self._authors.lose(thread):
            self.last_words.hear_of_thread(thread.name, error, self.reported)

    @property
    def is_own(self) -> bool:
        """Whether this process began it: only then may it say that it is over. A forked child may not."""
        return self._owner == os.getpid()

    def is_free(self, timeout: float) -> bool:
        """Whether no other thread holds it up, at the latest after so many seconds."""
        locks = [self._finish_lock, *([self._spool.lock] if isinstance(self._spool, Spool) else [])]
        free = [lock for lock in locks if lock.acquire(timeout=timeout)]
        for lock in free:
            lock.release()
        return len(free) == len(locks)

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.finish(*(end_of(kind, error) if kind is not None else self.last_words.of_threads(self.reported)))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Make this process's writer."""
        introduction = begin_event(self._about, self._warn)
        if not self.is_own:
            introduction["forked"] = True  # its parent speaks for it
        self._writer = Writer(
            self.id,
            self._environment,
            introduction,
            self._warn,
            hear=self._receive,
            before=self._late.look,
            held=self._late.waits,
        )
        self._spool = self._writer.spool
        self._spool.named = self._authors.see

    def _new_late(self) -> Late:
        return Late(self._write_late, self._refuse_late, self._authors.see)

    def _reopen_in_child(self) -> None:
        """After a fork: the parent's spool is the parent's; the child gets its own at its next record."""
        if isinstance(self._spool, Spool):
            self._writer.forget()
        self._finish_lock = threading.RLock()
        self._warn = Notices()
        self._late = self._new_late()  # what waited is the parent's
        if not self.ended:
            self._spool = Later(self._open_in_child)

    def _open_in_child(self, later: Later) -> Spool | Later:
        with self._finish_lock:
            if self._spool is later:  # else another thread of the child was first
                self._open()
            return self._spool

    def _write(self, kind: str, make: Callable[[], Event], step: Any = None, *, need_step: bool = False) -> bool:
        """Write the record that `make` gives the fields of; whether it was written."""
        try:
            self._check_open()
            event: Event = {"type": kind}
            if step is None and need_step:
                step = max(self._step, 0)
            if step is not None:
                event["step"] = check_step(whole(step))
            event["time"] = time.time()
            event.update(make())
            self._spool.event(validate_event(event))  # the reader's own check: what it would refuse is said here, now
        except Exception as error:
            said = show(error)
            self._complain(f"{kind} {said}", f"the {kind} record was not written: {said}", error)
            return False
        return True

    def _log_slowly(self, values: Any, step: int) -> None:
        """The whole story of `log`, for anything that is not plain names and numbers."""
        try:
            self._check_open()
            if not isinstance(values, Mapping):
                raise BadEvent(f"it takes a mapping of names to numbers, not {shorten(values)}")
            read = flatten(values, self._refuse, read_or_hold)
            flat = {name: number for name, number in read.items() if self._name_is_fine(name)}
            if Held in map(type, flat.values()):
                self._late.add(flat, step, time.time())
                self._spool.nudge()  # it is the sender that reads it
            elif flat:
                self._spool.metrics(flat, step, time.time())
        except Exception as error:
            said = show(error)
            self._complain(f"log {type(error).__name__} {said}", f"log() wrote nothing: {said}", error)

    def _write_late(self, values: dict[str, float], step: int, moment: float) -> None:
        self._spool.metrics(values, step, moment)

    def _refuse_late(self, name: str, why: str) -> None:
        # never raised, not even with `strict`: it is the sender's thread that finds it out
        self._warn(f"metric {name}", f"metric {shorten(name)} {why}; it is left out, the rest is logged")

    def _check_open(self) -> None:
        if self.ended:
            raise BadEvent(f"run {self.id} has ended ({self.ended}); start another with runwell.init()")

    def _refuse(self, name: str, why: str) -> None:
        sentence = f"metric {shorten(name)} {why}; it is left out, the rest is logged"
        if self.strict:
            raise BadEvent(sentence)
        self._warn(f"metric {name}", sentence)

    def _name_is_fine(self, name: str) -> bool:
        try:
            check_name(name)
        except BadEvent as error:
            self._refuse(name, f"cannot be logged: {error.reason}")
            return False
        return True

    def _complain(self, cause: str, sentence: str, error: Exception | None = None) -> None:
        if self.strict:
            raise error or WireError(sentence)
        self._warn(cause, sentence)

    def _text(self, text: object) -> str:
        clean = clean_text(text) if isinstance(text, str) else show(text)
        if len(clean) <= MAX_TEXT:
            return clean
        self._warn("long text", f"a text of {len(clean):,} characters was cut to {MAX_TEXT:,}")
        return clean[:MAX_TEXT] + "…"
