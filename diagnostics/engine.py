"""The engine: events of one run in, findings and coverage out. Deterministic: no clock, no files, no randomness.

    engine = Engine(config)
    for event in events:
        engine.observe(event)
    engine.findings(), engine.coverage(), engine.verdict()

It looks at moments that the data decides (see `schedule`), so asking for findings changes nothing, and any split of the
same events into batches gives the same answers. A rule that raises is reported in the coverage; the others go on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diagnostics.anew import begins_anew
from diagnostics.clock import PATIENCE, StepClock
from diagnostics.data import DataFacts, read_data
from diagnostics.deaths import KEPT_LINES, MAX_LINE, Ending, read_ending
from diagnostics.facts import Facts, read_facts
from diagnostics.finding import Finding, Sighting
from diagnostics.history import History
from diagnostics.life import Moment, Track, merge, of_earlier_run, rewound
from diagnostics.priority import arrange
from diagnostics.roles import BY_ID, RoleMap
from diagnostics.rule import OptionError, Rule
from diagnostics.rules import RULES
from diagnostics.samples import SampleLog, read_sample
from diagnostics.schedule import LookSchedule
from diagnostics.series import SeriesView
from diagnostics.silence import SilenceLog
from diagnostics.verdict import Verdict, verdict
from diagnostics.view import RunView

NOT_METRICS = frozenset(("type", "step", "time"))
CONFIG_EVENTS = ("run", "config")
LOSSES = ("train_loss", "val_loss")
ENDED = ("finished", "stopped", "crashed")
KEPT_CHECKPOINTS = 256
MAX_STEP = 2**53
NAMED_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Which rules ran, which could not and why, and which broke."""

    ran: tuple[str, ...]
    skipped: Mapping[str, str]
    failed: Mapping[str, str]

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"ran": list(self.ran), "skipped": dict(self.skipped), "failed": dict(self.failed)}


class Engine:
    """Judges one run as its events come.

    `config` is the run's config as far as known (more may come as `run` and `config` events); `options` changes options
    of rules, by rule id; `roles` maps series names to roles beyond the table. Raises `OptionError` and `RoleError`.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        roles: Mapping[str, str] | None = None,
        rules: Iterable[Rule] = RULES,
    ) -> None:
        self._rules = tuple(rules)
        self._options = _checked(self._rules, options or {})
        self._judged = {role for rule in self._rules for role in _roles_of(rule)}
        self._roles = RoleMap(roles)
        self._config: dict[str, Any] = dict(config or {})
        self._facts: Facts = read_facts(self._config)
        self._names: dict[str, str] = {}
        self._histories: dict[str, History] = {}
        self._targets: dict[str, str | None] = {}
        self._schedule = LookSchedule()
        self._checkpoints: list[int] = []
        self._tracks: dict[tuple[str, str], Track] = {}
        self._failed: dict[str, str] = {}
        self._clock = StepClock()
        self._samples = SampleLog()
        self._silences = SilenceLog()
        self._stalled = self._over = False
        self._data: DataFacts | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._ending: Ending | None = None
        self._end_event: Mapping[str, Any] = {}
        self._ends = 0
        self._next_step = 0
        self._loss_alone = self._loss_beside = False
        self._anew_at: int | None = None
        self._previous: tuple[int, dict[str, float]] = (-1, {})

    def observe(self, event: Mapping[str, Any]) -> None:
        """Take one event, as `runwell.runlog` or the store gives it. Unknown types and fields are passed over."""
        kind = event.get("type", "metrics")
        self._hear(kind, event)
        if kind == "metrics":
            self._observe_metrics(event)
        elif kind in CONFIG_EVENTS:
            self._learn(event)
        elif kind == "checkpoint":
            self._note_checkpoint(event)
        elif kind == "rewind":
            self._rewind(event)
        elif kind == "sample":
            self._observe_sample(event)
        elif kind == "data":
            self._data = read_data(event, self._clock.newest, _number)
            self._look("data")
        elif kind == "state" and event.get("state") in ENDED:
            self._close_round(None)
            if self._histories:
                self._look()
            self._end(event)
        elif kind == "log":
            self._lines.append(str(event.get("text") or "")[:MAX_LINE])
            if self._ending is not None:
                self._end(self._end_event)  # the output of a dead process may be read after the news of its death

    def findings(self) -> list[Finding]:
        """All findings so far, those to act on first; explained ones say so in `because`."""
        return arrange([track.finding for track in self._tracks.values() if track.finding is not None])

    def coverage(self) -> Coverage:
        """What could be judged with the series that were logged so far."""
        skipped = {rule.id: why for rule in self._rules if (why := self._missing(rule))}
        ran = tuple(rule.id for rule in self._rules if rule.id not in skipped and rule.id not in self._failed)
        return Coverage(ran=ran, skipped=skipped, failed=dict(self._failed))

    def series(self, role: str) -> SeriesView | None:
        """The series of a role so far, or None: for drawing a small curve beside the findings."""
        history = self._histories.get(role)
        return SeriesView(self._names[role], history) if history is not None and history.count else None

    @property
    def next_moment(self) -> tuple[float, float] | None:
        """(latest time known, time at which a `clock` event would tell something new), by the run's own clock.

        For a run that still goes on and sends nothing: without news until the second time, the engine can be told so.
        None when its silence tells nothing.
        """
        return None if self._over else self._silences.next_moment

    def verdict(self) -> Verdict:
        """One word on the run so far."""
        return verdict(self.findings())

    def _hear(self, kind: str, event: Mapping[str, Any]) -> None:
        """Let the rules look at the silence before an event, as they would have while it passed."""
        if kind == "state" or self._over:
            self._over = event.get("state") in ENDED if kind == "state" else kind not in ("metrics", "run", "rewind")
        time = event.get("time")
        if type(time) is not float:
            time = _number(time)
        if time is None or not math.isfinite(time):
            return
        step = event.get("step")
        step = step if type(step) is int else math.inf
        if kind == "metrics" and self._silences.passes(time, step):
            return
        for _ in self._silences.hear(kind, time, step):
            self._stalled = True
            self._look("silence")

    def _observe_metrics(self, event: Mapping[str, Any]) -> None:
        step = self._step_of(event)
        self._close_round(step)
        if self._ending is not None:
            self._end({"state": "running"})
        targets, watched = self._targets, {}
        for name, value in event.items():
            if name not in targets:
                self._bind(event)
            role = targets.get(name)
            if role is None:
                continue
            number = value if type(value) is float else _number(value)
            if number is not None:
                watched[role] = number
        if not watched:
            return
        if (step, watched) == self._previous and all(number - number == 0 != number for number in watched.values()):
            return  # the same row once more, as some trainers write it: two equal points are not two observations
        self._previous = (step, dict(watched))
        loss, evaluation = watched.get("train_loss"), watched.get("val_loss")
        if evaluation is not None:
            self._silences.evaluates()
        if loss is not None and self._is_filler(loss, evaluation):
            del watched["train_loss"]
            loss = None
        restarts = self._clock.restarts
        for role, number in watched.items():
            self._histories[role].append(self._clock.place(role, step), number)
        self._begin_anew(self._clock.restarts > restarts, watched)
        if self._stalled:
            self._look("silence")
            self._stalled = self._open("silence")
        if self._schedule.due(loss, evaluation, watched.get("grad_norm")):
            self._look()

    def _end(self, event: Mapping[str, Any]) -> None:
        """Take how a run ended, or that it goes on after all, and let the rules on that look."""
        crashed = event.get("state") == "crashed"
        if not crashed and self._ending is None:
            return
        self._end_event = dict(event)
        self._ending = read_ending(event, tuple(self._lines)) if crashed else None
        self._ends += 1
        self._look("end")

    def _observe_sample(self, event: Mapping[str, Any]) -> None:
        sample = read_sample(event, _number)
        if sample is None:
            return
        number = _number(event.get("step"))
        known = number is not None and math.isfinite(number) and abs(number) <= MAX_STEP
        step = int(number) if known and number is not None else self._next_step - 1
        self._close_round(step)
        self._samples.add(sample, step, self._clock.place("samples", step))

    def _close_round(self, step: int | None) -> None:
        """Judge the samples at hand once the log goes on at another step, or ends (None)."""
        if self._samples.due(step):
            self._samples.close()
            self._look("samples")

    def _is_filler(self, loss: float, evaluation: float | None) -> bool:
        """Whether a NaN training loss beside an evaluation is an empty cell of a table that has rows for evaluations.

        Only where no row ever held both, and others held the training loss alone: else it is what it says.
        """
        evaluated = evaluation is not None and evaluation == evaluation
        if loss == loss:
            self._loss_alone = self._loss_alone or not evaluated
            self._loss_beside = self._loss_beside or evaluated
            return False
        return evaluated and self._loss_alone and not self._loss_beside

    def _step_of(self, event: Mapping[str, Any]) -> int:
        step = event.get("step")
        if type(step) is not int:
            number = _number(step)
            step = int(number) if number is not None and math.isfinite(number) else self._next_step
        if abs(step) > MAX_STEP:
            step = self._next_step  # no counter gets there: a time stamp or a broken line
        self._next_step = step + 1
        return step

    def _bind(self, event: Mapping[str, Any]) -> None:
        """Give the new names of an event their roles. One name feeds a role: the first seen, the most telling of its line."""
        fresh = [name for name in event if name not in self._targets]
        found = {name: None if name in NOT_METRICS else self._roles.find(str(name)) for name in fresh}
        for name in sorted(fresh, key=lambda name: found[name][1] if found[name] else 0):  # type: ignore[index]
            match = found[name]
            if (
                match is None
                or match[0] not in self._judged
                or (match[0] in self._names and self._names[match[0]] != name)
            ):
                self._targets[name] = None
                continue
            if _number(event[name]) is None:
                continue  # an empty cell or a word: the name may still bring numbers later
            self._targets[name], self._names[match[0]] = match[0], str(name)
            self._histories[match[0]] = History()

    def _learn(self, event: Mapping[str, Any]) -> None:
        config = event.get("config")
        if isinstance(config, Mapping):
            self._config.update(config)
        elif event.get("type") == "config":
            self._config.update({name: value for name, value in event.items() if name not in NOT_METRICS})
        self._facts = read_facts(self._config)

    def _note_checkpoint(self, event: Mapping[str, Any]) -> None:
        step = _number(event.get("step"))
        if step is not None and math.isfinite(step):
            self._checkpoints = [*self._checkpoints, self._clock.here(int(step))][-KEPT_CHECKPOINTS:]

    def _rewind(self, event: Mapping[str, Any]) -> None:
        number = _number(event.get("step"))
        if number is None or not math.isfinite(number):
            return
        step = self._clock.rewind(int(number))
        for history in self._histories.values():
            history.rewind(step)
        self._samples.rewind(step)
        self._checkpoints = [mark for mark in self._checkpoints if mark <= step]
        self._tracks = {key: rewound(track, step) for key, track in self._tracks.items()}
        self._next_step = int(number) + 1

    def _begin_anew(self, restarted: bool, watched: Mapping[str, float]) -> None:
        """Forget what came before if another run begins in the same log. What was found is kept, and is over."""
        role = next((role for role in LOSSES if self._has(role)), "")
        if (not restarted and self._anew_at is None) or not role:
            return
        history = self._histories[role]
        if restarted:
            # an evaluation may have shown it: then no row of the training loss has come yet, or only that of this event
            rows = self._clock.restart_rows(role) or int(role in watched)
            self._anew_at = history.count - rows + PATIENCE
        if self._anew_at is None or history.count < self._anew_at:
            return
        self._anew_at = None
        if not begins_anew(SeriesView(self._names[role], history)):
            return
        steps, values = (column[-PATIENCE:].tolist() for column in history.tail())
        self._histories = {name: History() for name in self._histories}
        for step, value in zip(steps, values, strict=True):
            self._histories[role].append(step, value)
        self._schedule, self._checkpoints = LookSchedule(), []
        self._tracks = {key: of_earlier_run(track) for key, track in self._tracks.items()}

    def _view(self) -> RunView:
        series = {
            role: SeriesView(self._names[role], history) for role, history in self._histories.items() if history.count
        }
        return RunView(
            series=series,
            facts=self._facts,
            checkpoints=tuple(self._checkpoints),
            step=self._clock.newest,
            rounds=tuple(self._samples.rounds),
            ending=self._ending,
            silence=self._silences.current,
            data=self._data,
        )

    def _look(self, kind: str = "series") -> None:
        """Let the rules that look at this kind of thing look. The others' lives are counted in looks of their own."""
        with np.errstate(all="ignore"):
            view = self._view()
            # What is known of the data is held against every look at the curves.
            kinds = ("series", "data") if kind == "series" else (kind,)
            for rule in self._rules:
                if rule.looks_at in kinds and self._missing(rule) is None:
                    self._apply(rule, view)
            if kind == "series":
                self._set_guards(view)

    def _apply(self, rule: Rule, view: RunView) -> None:
        try:
            sighting = rule.sight(view, self._options.get(rule.id, {}))
        except Exception as error:  # one rule's crash must not hide another's finding
            self._failed[rule.id] = f"{type(error).__name__}: {error}"
            return
        self._merge(rule, sighting)

    def _merge(self, rule: Rule, sighting: Sighting | None) -> None:
        now = Moment(step=self._clock.newest, points=self._points(rule))
        subjects = {subject for rule_id, subject in self._tracks if rule_id == rule.id}
        if sighting is not None:
            subjects.add(sighting.subject)
        for subject in sorted(subjects):
            seen = sighting if sighting is not None and sighting.subject == subject else None
            key = (rule.id, subject)
            self._tracks[key] = merge(self._tracks.get(key, Track()), rule, seen, now)

    def _points(self, rule: Rule) -> int:
        """What the life of a rule's findings is counted in."""
        if rule.looks_at == "samples":
            return self._samples.count
        if rule.looks_at == "end":
            return self._ends
        clock = self._histories.get(rule.clock)
        return clock.count if clock is not None else self._schedule.points

    def _set_guards(self, view: RunView) -> None:
        train, grad = view.train, view.get("grad_norm")
        if train is not None:
            best = train.best.value
            self._schedule.loss_above = best + max(6 * train.noise, 0.12 * abs(best))
        if grad is not None:
            self._schedule.grad_above, self._schedule.grad_below = 8 * grad.level, grad.level / 20

    def _open(self, kind: str) -> bool:
        """Whether a finding of a rule that looks at this kind of thing is open."""
        ids = {rule.id for rule in self._rules if rule.looks_at == kind}
        tracks = [track.finding for (rule_id, _), track in self._tracks.items() if rule_id in ids]
        return any(finding is not None and finding.status == "open" for finding in tracks)

    def _has(self, role: str) -> bool:
        return role in self._histories and self._histories[role].count > 0

    def _missing(self, rule: Rule) -> str | None:
        if rule.looks_at == "samples":
            return self._samples.lacking(rule.measured, rule.blind)
        if rule.looks_at == "end":
            return None if self._ends else f"the run has not crashed: {rule.blind}; log a `state` event"
        if rule.looks_at == "silence":
            why = self._silences.lacking
            return f"{why}: {rule.blind}; log `time`, seconds of a clock" if why else None
        if rule.looks_at == "data" and self._data is None:
            return f"nothing is known of the data: {rule.blind}; log `run.data({{…}})`"
        lacking = [roles for roles in rule.needs if not any(self._has(role) for role in roles)]
        if not lacking:
            return None
        words = " and ".join("no " + " or ".join(BY_ID[role].words for role in roles) for roles in lacking)
        names = " and ".join(" or ".join(f"`{BY_ID[role].log}`" for role in roles) for roles in lacking)
        return f"{words}: {rule.blind}; log {names}"


def _roles_of(rule: Rule) -> tuple[str, ...]:
    return (*(role for roles in rule.needs for role in roles), *rule.helps, rule.clock)


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        return NAMED_NUMBERS.get(value)
    return None


def _checked(rules: tuple[Rule, ...], options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    known = {rule.id: rule for rule in rules}
    for name in options:
        if name not in known:
            raise OptionError(f"no rule is called {name!r}; rules are: {', '.join(known)}")
    return {name: known[name].checked_options(given) for name, given in options.items()}
