"""What a run's numbers become: names to roles, logged steps to places, rows to histories; says when a row asks for a look.

Takes metrics events one by one, or long stretches of them at a stroke; what is remembered afterwards is the same. Knows
no rule and no finding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from diagnostics import units
from diagnostics.anew import EpochCounter, begins_anew
from diagnostics.clock import PATIENCE, StepClock
from diagnostics.history import History
from diagnostics.reading import Reading, in_order
from diagnostics.repeats import Repeats
from diagnostics.roles import AFTER_ALL, BY_ID, RoleMap
from diagnostics.schedule import LookSchedule
from diagnostics.series import SeriesView
from diagnostics.stretch import MAX_STEP, NOT_MADE, NOTHING, Cells, Stretch

NOT_METRICS = frozenset(("type", "step", "time"))
LOSSES = ("train_loss", "val_loss")
GUARDED = (*LOSSES, "grad_norm", "skipped_steps")
"""What the schedule of looks is told of."""
LONGEST_WAIT = 3 * PATIENCE
"""Rows after which judging goes on although no training loss has told what the counters mean."""
GONE_ON = 10
"""Points of another series after the last loss from which on that loss is missing, not late."""
NONE = np.zeros(0, dtype=np.int64)
NAMED_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Row(NamedTuple):
    """What a row of numbers meant."""

    loss: float | None
    evaluation: float | None
    """None as well where it is the last evaluation, told once more."""
    evaluated: bool
    """Whether the row holds an evaluation, be it the last one."""
    grad: float | None
    skipped: float | None
    anew: bool
    """Whether another run was seen to begin in the same log: what came before is forgotten."""
    waits: bool
    """Whether to put the look off: the counters went back, and it is not known yet whether another run has begun. What is
    not finite waits for nothing."""


class Intake:
    """The series of one run so far. `judged` are the roles that some rule asks for; `roles` maps names beyond the table."""

    def __init__(self, judged: set[str], roles: Mapping[str, str] | None) -> None:
        self.clock = StepClock()
        self.schedule = LookSchedule()
        self.names: dict[str, str] = {}
        """Role → the name under which it is logged."""
        self.histories: dict[str, History] = {}
        self.targets: dict[str, str | None] = {}
        """Name → its role, None for what no rule asks for; names that are not settled yet are missing."""
        self.perplexities: set[str] = set()
        """Names of perplexities whose logarithm stands for a loss."""
        self.in_bits: set[str] = set()
        """Names of losses to the base of 2, as the perplexity beside them tells: judged in nats."""
        self.next_step = 0
        """The step of a row that has none."""
        self._judged, self._roles = judged, RoleMap(roles)
        self._loss_alone = self._loss_beside = False
        self._anew_at: int | None = None
        self._epochs = EpochCounter()
        self._begins: list[int] = []
        self._undecided = 0
        """Rows since the counters went back, while it is not known what that means."""
        self._evaluated, self._told = math.nan, False
        """The last evaluation, and whether one stood beside the last training loss."""
        self._repeats = Repeats()

    def has(self, role: str) -> bool:
        """Whether a role has any point."""
        return role in self.histories and self.histories[role].count > 0

    def views(self) -> dict[str, SeriesView]:
        """The series that have any point, by role."""
        return {
            role: SeriesView(self.names[role], history) for role, history in self.histories.items() if history.count
        }

    def view(self, role: str) -> SeriesView | None:
        """The series of a role, or None."""
        return SeriesView(self.names[role], self.histories[role]) if self.has(role) else None

    def reading(self) -> Reading:
        """Which names were taken for which roles, and what became of the others."""
        rivals: dict[str, tuple[str, ...]] = {}
        unused = []
        for name in sorted(name for name, role in self.targets.items() if role is None and name not in NOT_METRICS):
            role, rank = self._roles.find(name) or ("", 0)
            own = self.names.get(role)
            # A perplexity is no rival of a loss: it says the same in other numbers.
            if own is not None and (rank < AFTER_ALL or own in self.perplexities):
                rivals[role] = (*rivals.get(role, ()), name)
            else:
                unused.append(name)
        return Reading(
            roles=in_order(self.names),
            logarithms=tuple(role for role in in_order(self.names) if self.names[role] in self.perplexities),
            bits=tuple(role for role in in_order(self.names) if self.names[role] in self.in_bits),
            rivals=in_order(rivals),
            unused=tuple(sorted(unused, key=lambda name: "loss" not in name.lower())),
            steps=self._span(),
            ends=self._ends(),
            begins=tuple(self._begins),
        )

    def _span(self) -> tuple[int, int] | None:
        """The first and the last step of the losses, else of all series."""
        known = [history for history in self.histories.values() if history.count]
        told = [self.histories[role] for role in LOSSES if self.has(role)] or known
        if not told:
            return None
        return min(int(one.first()[0][0]) for one in told), max(int(one.tail()[0][-1]) for one in told)

    def _ends(self) -> dict[str, int]:
        """The training loss and its last step, where what is logged beside it goes on for `GONE_ON` times its usual distance."""
        if not self.has("train_loss") or (loss := self.histories["train_loss"]).count < GONE_ON:
            return {}
        first, last = int(loss.first()[0][0]), int(loss.tail()[0][-1])
        far = last + GONE_ON * (last - first) / (loss.count - 1)
        for role, history in self.histories.items():
            steps = history.tail()[0] if history.count and BY_ID[role].cadence == BY_ID["train_loss"].cadence else NONE
            if steps.size and steps[-1] >= far and np.count_nonzero(steps > last) >= GONE_ON:
                return {"train_loss": last}
        return {}

    def step_of(self, event: Mapping[str, Any]) -> int:
        """The step that an event was logged at; one past the last where it has none that can be meant."""
        step = event.get("step")
        if type(step) is not int:
            number = as_number(step)
            step = int(number) if number is not None and math.isfinite(number) else self.next_step
        if abs(step) > MAX_STEP:
            step = self.next_step  # no counter gets there: a time stamp or a broken line
        self.next_step = step + 1
        return step

    def take(self, event: Mapping[str, Any], step: int) -> Row | None:
        """Take a metrics event that was logged at `step`; None when it tells nothing new. `schedule` is not told of it."""
        targets, watched = self.targets, {}
        for name, value in event.items():
            if name not in targets:
                self._bind(event)
            role = targets.get(name)
            if role is None:
                continue
            number = value if type(value) is float else as_number(value)
            if number is not None and not (number == NOT_MADE and role == "val_loss"):
                watched[role] = self._in_nats(name, number)
        if not watched:
            return None
        watched = self._repeats.new_in(watched, step, event.get("step") is not None)
        if not watched:
            return None
        loss, evaluation = watched.get("train_loss"), watched.get("val_loss")
        if loss is not None and self._is_filler(loss, evaluation):
            del watched["train_loss"]
            loss = None
        evaluated = evaluation is not None
        again = loss is not None and self._told and evaluation == self._evaluated and math.isfinite(self._evaluated)
        if loss is not None:
            self._told = evaluated
        if again:
            del watched["val_loss"]
            evaluation = None
        elif evaluation is not None:
            self._evaluated = evaluation
        restarts = self.clock.restarts
        for role, number in watched.items():
            self.histories[role].append(self.clock.place(role, step), number)
        anew = self._begin_anew(self.clock.restarts > restarts, watched)
        grad = watched.get("grad_norm")
        waits = self._waits() and all(value is None or math.isfinite(value) for value in (loss, evaluation, grad))
        return Row(loss, evaluation, evaluated, grad, watched.get("skipped_steps"), anew, waits)

    def take_rows(self, rows: Stretch, start: int) -> tuple[int, bool]:
        """Take rows from `start` on, up to and with the first that asks for a look: (how many, whether to look).

        None are taken where the row at `start` must be taken by itself.
        """
        stop = rows.plain_until(start)
        if stop == start or self._is_undecided or not self.clock.is_ahead(rows.cells, int(rows.steps[start])):
            return 0, False
        if start == 0 and rows.steps[0] == self._repeats.step:
            return 0, False  # it may be the last row once more
        stop, epochs = self._until_epochs_fall(rows, start, stop)
        if stop == start:
            return 0, False
        cells = {role: found.between(start, stop) for role, found in rows.cells.items()}
        told = cells.get("val_loss", NOTHING)
        if told.rows.size:
            cells["val_loss"] = self._fresh(told, cells.get("train_loss", NOTHING))
        due = self.schedule.first_due(stop - start, *(cells.get(role, NOTHING) for role in GUARDED))
        count = stop - start if due is None else due + 1
        steps = rows.steps[start : start + count]
        cells = {role: found.between(0, count) for role, found in cells.items()}
        for role, found in cells.items():
            if found.rows.size:
                self.histories[role].extend(self.clock.place_all(role, steps[found.rows]), found.values)
        told = told.between(0, count)
        losses = cells.get("train_loss", NOTHING)
        self._note_losses(losses, told)
        self._evaluated = float(told.values[-1]) if told.rows.size else self._evaluated
        self._told = bool(losses.rows[-1] in told.rows) if losses.rows.size else self._told
        self._repeats.pass_to(int(steps[-1]), rows.row(start + count - 1))
        if epochs is not None and (passed := epochs.between(0, count)).values.size:
            self._epochs.take_all(passed.values)
        return count, due is not None

    def _until_epochs_fall(self, rows: Stretch, start: int, stop: int) -> tuple[int, Cells | None]:
        """The row before `stop` from which on rows must be taken by themselves; the epochs of the loss until then."""
        role = "train_loss" if self.has("train_loss") else "val_loss"
        if "epoch" not in rows.cells or not ("train_loss" in rows.cells or "val_loss" in rows.cells):
            return stop, None
        if not self.has(role) or (role == "val_loss" and "train_loss" in rows.cells):
            return start, None  # whose epochs count is being settled
        if role not in rows.cells:
            return stop, None
        epochs, losses = (rows.cells[name].between(start, stop) for name in ("epoch", role))
        if epochs.rows.size != losses.rows.size:
            kept = np.isin(epochs.rows, losses.rows)
            epochs = Cells(epochs.rows[kept], epochs.values[kept])
        if not epochs.rows.size:
            return stop, None
        fall = self._epochs.first_fall(epochs.values)
        return (stop if fall is None else start + int(epochs.rows[fall])), epochs

    def _note_losses(self, loss: Cells, evaluation: Cells) -> None:
        """What `_is_filler` remembers, of many rows."""
        known = loss.rows[~np.isnan(loss.values)]
        if not evaluation.rows.size:
            self._loss_alone = self._loss_alone or known.size > 0
            return
        beside = np.isin(known, evaluation.rows[~np.isnan(evaluation.values)])
        self._loss_alone = self._loss_alone or not beside.all()
        self._loss_beside = self._loss_beside or bool(beside.any())

    def _fresh(self, told: Cells, loss: Cells) -> Cells:
        """Evaluations without those that only stand in every row of the training loss until the next one is made.

        Many loops, progress bars and filled-up tables tell them so: the same number in fifty rows is one evaluation. Where
        rows without one stand between, as many are made that give the same: no weight has changed.
        """
        before = np.concatenate(([self._evaluated], told.values[:-1]))
        held = np.concatenate(
            ([self._told], np.isin(loss.rows, told.rows))
        )  # whether the training loss before each had one
        in_row = np.isin(told.rows, loss.rows) & held[np.searchsorted(loss.rows, told.rows)]
        again = (told.values == before) & np.isfinite(before) & in_row
        return Cells(told.rows[~again], told.values[~again]) if again.any() else told

    def rewind(self, logged: int) -> int:
        """Forget what came after a logged step: where that step lies."""
        self._evaluated = math.nan
        self._epochs.rewind()
        step = self.clock.rewind(logged)
        self._begins = [begin for begin in self._begins if begin <= step]
        for history in self.histories.values():
            history.rewind(step)
        self.next_step = logged + 1
        return step

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

    def _bind(self, event: Mapping[str, Any]) -> None:
        """Give the new names of an event their roles. One name feeds a role: the first seen, the most telling of its line.

        But a perplexity gives way to a loss; and a training loss of which one point has come, beside an evaluation before
        the first step, to the one that is logged while training goes on.
        """
        fresh = [name for name in event if name not in self.targets]
        found = {name: None if name in NOT_METRICS else self._roles.find(str(name)) for name in fresh}
        for name in sorted(fresh, key=lambda name: found[name][1] if found[name] else 0):  # type: ignore[index]
            match = found[name]
            if (
                match is None
                or match[0] not in self._judged
                or (self.names.get(match[0], name) != name and not self._gives_way(match, event))
            ):
                self.targets[name] = None
                continue
            if as_number(event[name]) is None:
                continue  # an empty cell or a word: the name may still bring numbers later
            if match[0] in self.names:
                self.targets[self.names[match[0]]] = None
                self.perplexities.discard(self.names[match[0]])
            self.targets[name], self.names[match[0]] = match[0], str(name)
            self.histories[match[0]] = History()
            if match[1] >= AFTER_ALL:
                self.perplexities.add(name)
            elif match[0] in LOSSES and self._is_in_bits(event, match[0]):
                self.in_bits.add(str(name))

    def _is_in_bits(self, event: Mapping[str, Any], role: str) -> bool:
        """Whether a role's losses are in bits, by the perplexities of an event, or else as the other losses are."""
        losses: list[float] = []
        perplexities: list[float] = []
        for name, value in event.items():
            found, number = self._roles.find(str(name)) if name not in NOT_METRICS else None, as_number(value)
            if found is not None and found[0] == role and number is not None:
                (perplexities if found[1] >= AFTER_ALL else losses).append(number)
        return units.told_in_bits(losses, perplexities) if perplexities else bool(self.in_bits)

    def _in_nats(self, name: str, number: float) -> float:
        """What a number of a role is worth, in nats where it is a loss."""
        if name in self.perplexities:
            return units.of_perplexity(number)
        return units.of_bits(number) if name in self.in_bits else number

    def _gives_way(self, match: tuple[str, int], event: Mapping[str, Any]) -> bool:
        """Whether the name that feeds a role so far is to be replaced by another one, which has come with an event."""
        role, rank = match
        bound = self.names[role]
        if rank >= AFTER_ALL or bound in event:
            return bound in self.perplexities and rank < AFTER_ALL
        return bound in self.perplexities or (role == "train_loss" and self.histories[role].count <= 1)

    def _waits(self) -> bool:
        """Whether it is not known yet what the counters mean, and has not been for long."""
        if not self._is_undecided:
            self._undecided = 0
            return False
        self._undecided += 1
        return self._undecided <= LONGEST_WAIT

    @property
    def _is_undecided(self) -> bool:
        return self._anew_at is not None or self._epochs.is_behind

    def _begin_anew(self, restarted: bool, watched: Mapping[str, float]) -> bool:
        """Forget what came before if another run begins in the same log; whether it does."""
        if not restarted and self._anew_at is None and "epoch" not in watched:
            return False
        role = next((role for role in LOSSES if self.has(role)), "")
        counted = role in watched and "epoch" in watched and self._epochs.take(watched["epoch"])
        if not role or not (counted or restarted or self._anew_at is not None):
            return False
        history = self.histories[role]
        if restarted:
            # an evaluation may have shown it: then no row of the training loss has come yet, or only that of this event
            rows = self.clock.restart_rows(role) or int(role in watched)
            self._anew_at = history.count - rows + PATIENCE
        if not counted and (self._anew_at is None or history.count < self._anew_at):
            return False
        self._anew_at = None
        if not counted and not begins_anew(
            SeriesView(self.names[role], history), self.clock.last_restarts, self._epochs
        ):
            return False
        since = int(history.tail()[0][-PATIENCE:][0])
        self._begins.append(since)
        self.histories = {
            name: one.since(since, PATIENCE if name == role else None) for name, one in self.histories.items()
        }
        self.schedule = LookSchedule()
        self._evaluated = math.nan
        return True


def as_number(value: object) -> float | None:
    """The number that a value means, non-finite ones by their names too; None when it means none."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, str):
        return NAMED_NUMBERS.get(value)
    return None
