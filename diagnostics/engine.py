"""The engine: events of one run in, findings and coverage out. Deterministic: no clock, no files, no randomness.

    engine = Engine(config)
    engine.observe_all(events)              # or engine.observe(event), one by one: the same
    engine.findings(), engine.coverage(), engine.verdict()

It looks at moments that the data decides (see `schedule`), so asking for findings changes nothing, and any split of the
same events into batches gives the same answers. A rule that raises is reported in the coverage; the others go on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from diagnostics.coverage import Coverage, Lack, lacking_series
from diagnostics.data import DataFacts, read_data
from diagnostics.deaths import KEPT_LINES, MAX_LINE, Ending, read_ending
from diagnostics.facts import Facts, read_facts
from diagnostics.finding import Finding, Sighting
from diagnostics.intake import NOT_METRICS, Intake, as_number
from diagnostics.life import Moment, Track, merge, of_earlier_run, rewound
from diagnostics.priority import arrange
from diagnostics.reading import Reading
from diagnostics.rule import OptionError, Rule
from diagnostics.rules import RULES
from diagnostics.samples import SampleLog, read_sample
from diagnostics.series import SeriesView
from diagnostics.silence import SilenceLog
from diagnostics.stretch import LEAST, MAX_STEP, Stretch, Table, read_stretch, table_stretch
from diagnostics.verdict import Verdict, verdict
from diagnostics.view import RunView

CONFIG_EVENTS = ("run", "config")
ENDED = ("finished", "stopped", "crashed")
KEPT_CHECKPOINTS = 256
BATCH = 4096
"""Events looked at together when many come at once."""


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
        self._intake = Intake({role for rule in self._rules for role in _roles_of(rule)}, roles)
        self._config: dict[str, Any] = dict(config or {})
        self._facts: Facts = read_facts(self._config)
        self._checkpoints: list[int] = []
        self._tracks: dict[tuple[str, str], Track] = {}
        self._failed: dict[str, str] = {}
        self._samples = SampleLog()
        self._silences = SilenceLog()
        self._stalled = self._over = False
        self._data: DataFacts | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._ending: Ending | None = None
        self._end_event: Mapping[str, Any] = {}
        self._ends = 0
        self._known: tuple[frozenset[str], bool] | None = None
        self._known_ready: tuple[Rule, ...] = ()

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
            self._data = read_data(event, self._intake.clock.newest, as_number)
            self._look("data")
        elif kind == "state" and event.get("state") in ENDED:
            self._close_round(None)
            if self._intake.histories:
                self._look()
            self._end(event)
        elif kind == "left" and event.get("state") == "crashed":
            self._end(event)
        elif kind == "log":
            self._lines.append(str(event.get("text") or "")[:MAX_LINE])
            if self._ending is not None:
                self._end(self._end_event)  # the output of a dead process may be read after the news of its death

    def observe_all(self, events: Iterable[Mapping[str, Any] | Table]) -> None:
        """Take many events. The same as `observe` for each, and several times as fast where there are many in a row.

        Faster still where a reader gives consecutive metrics events as tables.
        """
        held: list[Mapping[str, Any]] = []
        for item in events:
            if isinstance(item, Mapping):
                held.append(item)
                if len(held) < BATCH:
                    continue
            self._observe_events(held)
            held = []
            if not isinstance(item, Mapping):
                self._observe_table(item)
        self._observe_events(held)

    def _observe_events(self, events: Sequence[Mapping[str, Any]]) -> None:
        at, width = 0, BATCH
        while at < len(events):
            ahead = events[at : at + width]
            rows = read_stretch(ahead, self._intake.targets) if self._takes_stretches else None
            taken = self._observe_stretch(rows, ahead.__getitem__) if rows is not None else 0
            # Where other events stand between the numbers it does not pay to look far ahead each time.
            width = min(BATCH, 2 * width) if taken == len(ahead) else 2 * max(taken, LEAST)
            if not taken:
                for event in ahead[:LEAST]:
                    self.observe(event)
            at += taken or LEAST

    def _observe_table(self, table: Table) -> None:
        at, length, slowly, targets = 0, len(table.steps), 1, self._intake.targets
        rows, begin, known = table_stretch(table, targets), 0, len(targets)
        while at < length:
            if len(targets) != known or (rows is not None and at >= begin + rows.length):
                rows, begin, known = table_stretch(table.part(at, length), targets), at, len(targets)
            taken = 0
            if rows is not None and self._takes_stretches:
                taken = self._observe_stretch(rows.part(at - begin, rows.length), _events_from(table, at))
            # The next row may be one to which something happens; but what goes on for long is not asked at every row.
            slowly = 1 if taken else min(2 * slowly, LEAST)
            for row in range(at, at if taken else min(at + slowly, length)):
                self.observe(table.event(row))
            at += taken or slowly

    def findings(self) -> list[Finding]:
        """All findings so far, those to act on first; explained ones say so in `because`."""
        return arrange([track.finding for track in self._tracks.values() if track.finding is not None])

    def coverage(self) -> Coverage:
        """What could be judged with the series that were logged so far."""
        lacks = {rule.id: lack for rule in self._rules if (lack := self._missing(rule))}
        ran = tuple(rule.id for rule in self._rules if rule.id not in lacks and rule.id not in self._failed)
        return Coverage(ran=ran, lacks=lacks, failed=dict(self._failed))

    def series(self, role: str) -> SeriesView | None:
        """The series of a role so far, or None: for drawing a small curve beside the findings."""
        return self._intake.view(role)

    def reading(self) -> Reading:
        """What was taken for what so far, so that a log that was read wrongly is seen to be."""
        return self._intake.reading()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all numbers that came, known or not, by the alphabet."""
        return tuple(sorted(name for name in self._intake.targets if name not in NOT_METRICS))

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
            time = as_number(time)
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
        step = self._intake.step_of(event)
        self._close_round(step)
        if self._ending is not None:
            self._end({"state": "running"})
        row = self._intake.take(event, step)
        if row is None:
            return
        if row.evaluated:
            self._silences.evaluates()
        if row.anew:
            self._checkpoints = []
            self._tracks = {key: of_earlier_run(track) for key, track in self._tracks.items()}
        if self._stalled:
            self._look("silence")
            self._stalled = self._open("silence")
        due = self._intake.schedule.due(row.loss, row.evaluation, row.grad, row.skipped)
        if due and not row.waits:
            self._look()

    @property
    def _takes_stretches(self) -> bool:
        """Whether nothing is going on that each event may change."""
        usual = not (self._intake.perplexities or self._intake.in_bits)
        return self._ending is None and not self._samples.open and not self._stalled and usual

    def _observe_stretch(self, rows: Stretch, event: Callable[[int], Mapping[str, Any]]) -> int:
        """Take metrics events, of which `event` gives each, as columns; how many. 0 where the first must go by itself."""
        heard = self._silences.pass_all(rows.all_steps, rows.times)
        if not heard:
            return 0
        self._over = False
        rows = rows.part(0, heard)
        at = 0
        while at < len(rows.steps):
            count, look = self._intake.take_rows(rows, at)
            if count and rows.cells_in("val_loss", at, at + count):
                self._silences.evaluates()
            if look:
                self._look()
            elif not count:
                self._observe_metrics(event(int(rows.events[at])))  # its time has been heard
            at += max(1, count)
        self._intake.next_step = int(rows.all_steps[-1]) + 1
        return rows.length

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
        sample = read_sample(event, as_number)
        if sample is None:
            return
        number = as_number(event.get("step"))
        known = number is not None and math.isfinite(number) and abs(number) <= MAX_STEP
        step = int(number) if known and number is not None else self._intake.next_step - 1
        self._close_round(step)
        self._samples.add(sample, step, self._intake.clock.place("samples", step))

    def _close_round(self, step: int | None) -> None:
        """Judge the samples at hand once the log goes on at another step, or ends (None)."""
        if self._samples.due(step):
            self._samples.close()
            self._look("samples")

    def _learn(self, event: Mapping[str, Any]) -> None:
        config = event.get("config")
        if isinstance(config, Mapping):
            self._config.update(config)
        elif event.get("type") == "config":
            self._config.update({name: value for name, value in event.items() if name not in NOT_METRICS})
        self._facts = read_facts(self._config)

    def _note_checkpoint(self, event: Mapping[str, Any]) -> None:
        step = as_number(event.get("step"))
        if step is not None and math.isfinite(step):
            self._checkpoints = [*self._checkpoints, self._intake.clock.here(int(step))][-KEPT_CHECKPOINTS:]

    def _rewind(self, event: Mapping[str, Any]) -> None:
        number = as_number(event.get("step"))
        if number is None or not math.isfinite(number):
            return
        step = self._intake.rewind(int(number))
        self._samples.rewind(step)
        self._checkpoints = [mark for mark in self._checkpoints if mark <= step]
        self._tracks = {key: rewound(track, step) for key, track in self._tracks.items()}

    def _view(self) -> RunView:
        return RunView(
            series=self._intake.views(),
            facts=self._facts,
            checkpoints=tuple(self._checkpoints),
            step=self._intake.clock.newest,
            rounds=tuple(self._samples.rounds),
            ending=self._ending,
            silence=self._silences.current,
            data=self._data,
        )

    def _look(self, kind: str = "series") -> None:
        """Let the rules that look at this kind of thing look. The others' lives are counted in looks of their own."""
        with np.errstate(all="ignore"):
            view = self._view()
            for rule in self._ready(kind, view):
                self._apply(rule, view)
            if kind == "series":
                self._set_guards(view)

    def _ready(self, kind: str, view: RunView) -> tuple[Rule, ...]:
        """The rules that look at this kind of thing and have what they need."""
        # What is known of the data is held against every look at the curves.
        kinds = ("series", "data") if kind == "series" else (kind,)
        known = frozenset(view.series), view.data is None
        if kind != "series" or known != self._known:
            ready = tuple(rule for rule in self._rules if rule.looks_at in kinds and self._missing(rule) is None)
            if kind != "series":
                return ready
            self._known, self._known_ready = known, ready
        return self._known_ready

    def _apply(self, rule: Rule, view: RunView) -> None:
        try:
            seen = view.after(self._sick(rule)) if self._checkpoints else view
            sighting = rule.sight(seen, self._options.get(rule.id, {}))
        except Exception as error:  # one rule's crash must not hide another's finding
            self._failed[rule.id] = f"{type(error).__name__}: {error}"
            return
        self._merge(rule, sighting)

    def _sick(self, rule: Rule) -> tuple[tuple[int, float], ...]:
        """When the run is known to have had the illness of a rule, whatever the subject."""
        return tuple(span for (rule_id, _), track in self._tracks.items() if rule_id == rule.id for span in track.sick)

    def _merge(self, rule: Rule, sighting: Sighting | None) -> None:
        subjects = {subject for rule_id, subject in self._tracks if rule_id == rule.id}
        if sighting is not None:
            subjects.add(sighting.subject)
        if not subjects:
            return
        now = Moment(step=self._intake.clock.newest, points=self._points(rule))
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
        clock = self._intake.histories.get(rule.clock)
        return clock.count if clock is not None else self._intake.schedule.points

    def _set_guards(self, view: RunView) -> None:
        train, grad = view.train, view.get("grad_norm")
        if train is not None:
            best = train.best.value
            self._intake.schedule.loss_above = best + max(6 * train.noise, 0.12 * abs(best))
        if grad is not None:
            self._intake.schedule.grad_above, self._intake.schedule.grad_below = 8 * grad.level, grad.level / 20

    def _open(self, kind: str) -> bool:
        """Whether a finding of a rule that looks at this kind of thing is open."""
        ids = {rule.id for rule in self._rules if rule.looks_at == kind}
        tracks = [track.finding for (rule_id, _), track in self._tracks.items() if rule_id in ids]
        return any(finding is not None and finding.status == "open" for finding in tracks)

    def _missing(self, rule: Rule) -> Lack | None:
        if rule.looks_at == "samples":
            return self._samples.lacking(rule.measured, rule.blind)
        if rule.looks_at == "end":
            # A run that ended well was looked at: it did not crash. While one goes on there is nothing to look at yet.
            return None if self._ends or self._over else Lack("no end is logged yet", rule.blind, "a `state` event")
        if rule.looks_at == "silence":
            why = self._silences.lacking
            return Lack(why, rule.blind, "`time`, seconds of a clock") if why else None
        if rule.looks_at == "data" and self._data is None:
            return Lack("nothing is known of the data", rule.blind, "`run.data({…})`")
        return lacking_series(rule, self._intake.has)


def _events_from(table: Table, start: int) -> Callable[[int], Mapping[str, Any]]:
    return lambda at: table.event(start + at)


def _roles_of(rule: Rule) -> tuple[str, ...]:
    return (*(role for roles in rule.needs for role in roles), *rule.helps, rule.clock)


def _checked(rules: tuple[Rule, ...], options: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    known = {rule.id: rule for rule in rules}
    for name in options:
        if name not in known:
            raise OptionError(f"no rule is called {name!r}; rules are: {', '.join(known)}")
    return {name: known[name].checked_options(given) for name, given in options.items()}
