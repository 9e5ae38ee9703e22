"""The run up to now, as a rule sees it: series by role, facts of the config, checkpoints and rewinds. Read-only.

It also answers the few questions that several rules ask the same way: what loss knows nothing, whether the rate has
warmed up, how many steps of real training there were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from typing import TypeVar, cast

import numpy as np

from diagnostics.data import DataFacts
from diagnostics.deaths import Ending
from diagnostics.facts import ADAMS_KIN, OTHER_RATES, Facts
from diagnostics.history import Floats
from diagnostics.samples import Round
from diagnostics.series import SeriesView
from diagnostics.silence import Silence

Made = TypeVar("Made")

MULTIPLIER = 1.0
"""A logged peak that is a multiplier of the rate, as some trainers log it, not a rate, unless the config declares it."""

FIRST_STEPS, CHARACTERS = 10, 3.9
"""Steps within which a log begins with the run, and nats at which models of some dozens of characters begin."""

BOLD = 1e-3
"""A rate that only runs from scratch are given."""

ALPHABET = 1000
"""Tokens: characters and bytes are fewer, the vocabularies of pretrained models many more."""

EARLY = 200
"""Steps within which the first loss tells where a run began."""

LEAPING, LEAP, LEAPS = 12, 0.4, 3
"""First losses of which so many leap up by such a share of the first one, where they are no means over tokens."""


class RunView:
    """One moment of a run. `series` holds only roles that have at least one point."""

    def __init__(
        self,
        *,
        series: Mapping[str, SeriesView],
        facts: Facts,
        checkpoints: tuple[int, ...] = (),
        step: int = 0,
        rounds: tuple[Round, ...] = (),
        ending: Ending | None = None,
        silence: Silence | None = None,
        data: DataFacts | None = None,
    ) -> None:
        self.series = series
        self.facts = facts
        self.checkpoints = checkpoints
        self.sick: tuple[tuple[int, float], ...] = ()
        """From which step to which the illness that is looked for is known to have been on."""
        self.step = step
        """The newest step of any series."""
        self.rounds = rounds
        """The last complete rounds of text samples, oldest first."""
        self.ending = ending
        """How the run crashed; None while it goes on, and when it ended otherwise."""
        self.silence = silence
        """The silence at this moment; None while the run speaks."""
        self.data = data
        """What is known of what it trains on; None when nothing is."""
        self._made: dict[Callable[[RunView], object], object] = {}

    def once(self, make: Callable[[RunView], Made]) -> Made:
        """`make` of this moment, worked out for the first rule that asks."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast(Made, self._made[make])

    def get(self, role: str) -> SeriesView | None:
        """The series of a role once it has a finite value, else None."""
        found = self.series.get(role)
        return found if found is not None and found.values.size else None

    @cached_property
    def train(self) -> SeriesView | None:
        """Training loss, when it has a finite value."""
        return self.get("train_loss")

    @cached_property
    def val(self) -> SeriesView | None:
        """Validation loss, when it has a finite value."""
        return self.get("val_loss")

    @cached_property
    def rate(self) -> SeriesView | None:
        """Learning rate, when it was ever above zero."""
        found = self.get("learning_rate")
        return found if found is not None and found.highest > 0 else None

    @cached_property
    def uniform_loss(self) -> float | None:
        """The loss of knowing nothing, where the run is known to have begun there; None for fine-tunes and when unknown.

        ln of the declared vocabulary counts only if the first losses agree with it (the very first, where the next ones are thrown
        far above): a declared vocabulary with a first loss far below it is a pretrained start. Without a vocabulary, a first loss above 6 nats (a perplexity of 400) that does not leap about
        or a config that says "from scratch" makes the first loss itself the reference, if it was logged early.
        """
        loss = self.train or self.val
        if loss is None or self.facts.from_scratch is False:
            return None
        start = loss.start
        declared = self.facts.uniform_loss
        if declared is not None:
            thrown = (float(loss.first_points[1][0]),) if start > 1.5 * declared else ()
            near = any(0.85 * declared <= first <= 1.5 * declared for first in (*self.firsts, *thrown))
            from_above = start > 1.5 * declared and loss.level < 0.9 * declared and self.has_an_alphabet
            return declared if near or (from_above and int(loss.first_points[0][0]) <= EARLY) else None
        if int(loss.first_points[0][0]) > EARLY:
            return None  # what was learned before the log begins is not known
        if (start >= 6.0 and not self._leaps) or (self.facts.from_scratch and start >= 3.0):
            return start
        return None

    @property
    def _leaps(self) -> bool:
        """Whether the first losses leap up and down, as no loss of knowing nothing does: sums over texts of all lengths do."""
        loss = self.train or self.val
        first = loss.first_points[1][:LEAPING] if loss is not None else np.zeros(0)
        return bool(first.size) and int((np.diff(first) > LEAP * first[0]).sum()) >= LEAPS

    @property
    def has_an_alphabet(self) -> bool:
        """Whether the declared vocabulary is one that no model which came with a language has."""
        return self.facts.vocab_size is not None and self.facts.vocab_size <= ALPHABET

    @cached_property
    def began_untrained(self) -> bool:
        """Whether the run is seen to have begun knowing nothing: at the loss of that, or, with no word of a vocabulary, in the
        first steps where models of some dozens of characters begin, and hardly any that has learned a language."""
        if self.uniform_loss is not None:
            return True
        loss = self.train or self.val
        if loss is None or self.facts.from_scratch is False or self.facts.uniform_loss is not None:
            return False
        return (
            int(loss.first_points[0][0]) <= FIRST_STEPS
            and loss.start >= CHARACTERS
            and not self.begins_in_a_later_epoch
            and not self._leaps
        )

    @cached_property
    def begins_in_a_later_epoch(self) -> bool:
        """Whether the first epoch that is told is not the first one of the run: how it began is not in the log."""
        epoch = self.get("epoch")
        return epoch is not None and float(epoch.first_points[1][0]) > max(1.0, 0.2 * epoch.last)

    @property
    def firsts(self) -> tuple[float, ...]:
        """Where the losses began: training, and validation if it was evaluated before the first step."""
        train, val = self.train, self.val
        if train is None or val is None:
            return tuple(series.start for series in (train, val) if series is not None)
        untrained = int(val.first_points[0][0]) < int(train.first_points[0][0])
        return (train.start, float(val.first_points[1][0])) if untrained else (train.start,)

    @cached_property
    def first_warm_step(self) -> int | None:
        """The first step at which the rate had reached half of its peak so far; None while it is still rising there.

        Without a logged rate: the declared end of the warm-up, or the first step.
        """
        if self.rate is not None:
            rows, _ = self.rate.blocks
            peak = self.rate.highest
            at = int((rows[:, 5] >= 0.5 * peak).argmax())
            planned_peak = self.facts.peak_rate
            if planned_peak is not None and peak < 0.45 * planned_peak and len(rows) < 512 and self._still_rises(rows):
                return None
            return int(rows[at, 0])
        loss = self.train or self.val
        if loss is None:
            return None
        first = int(loss.first_points[0][0])
        return max(first, self.facts.warmup_steps or 0)

    def _still_rises(self, rows: Floats) -> bool:
        """Whether the rate is at its peak so far and has been rising, within twice the declared warm-up if there is one.

        A rate that has come down, or rests, has seen its peak, however far below the declared one that is.
        """
        declared = self.facts.warmup_steps
        return float(rows[-1, 5]) >= float(rows[:, 5].max()) > float(rows[len(rows) // 2, 5]) and (
            declared is None or self.step <= 2 * declared
        )

    @cached_property
    def rate_sum(self) -> float | None:
        """The sum of the rates of all steps so far: how far Adam can have moved a weight. None where no rate is known.

        A logged rate is summed as it is; a declared one counts for two thirds, the mean of common schedules. None also for
        optimizers whose steps are not about as large as the rate.
        """
        return self.rate_sum_until(self.step)

    def rate_sum_until(self, step: int) -> float | None:
        """The same of the steps up to `step`."""
        if self.other_rates or self._multiplied:
            return None
        if self.rate is not None:
            starts, sums = self._rate_sums
            at = int(np.searchsorted(starts, step, side="right"))
            return float(sums[at - 1]) if at else 0.0
        if self.facts.peak_rate is None:
            return None
        return self.facts.peak_rate * max(0, self.warm_steps - (self.step - step)) * 2 / 3

    @cached_property
    def _rate_sums(self) -> tuple[Floats, Floats]:
        """(first steps of the blocks of the logged rate, the sum of the rates of all steps to the end of each block)."""
        assert self.rate is not None
        rows, _ = self.rate.blocks
        ends = np.concatenate(([min(0.0, rows[0, 0])], rows[:, 1]))
        return rows[:, 0], np.nancumsum(rows[:, 3] * np.diff(ends))

    @cached_property
    def warm_steps(self) -> int:
        """Optimizer steps taken since the rate had warmed up (0 during the warm-up)."""
        return max(0, self.step - self.first_warm_step) if self.first_warm_step is not None else 0

    @cached_property
    def rate_share(self) -> float:
        """Rate now ÷ its peak so far; 1 when the rate is not logged."""
        if self.rate is None:
            return 1.0
        return self.rate.last / self.rate.highest

    def rate_raised_since(self, step: int) -> bool:
        """Whether the rate has been raised by half since a step after the warm-up: a warm restart lifts the loss too.

        To its old peak at most: a rate that goes beyond has not been restarted.
        """
        if self.rate is None or self.first_warm_step is None or step <= self.first_warm_step:
            return False
        rows, _ = self.rate.blocks
        if not self.rate.last > 1.5 * self.rate.near(step):
            return False
        before = rows[:, 5][rows[:, 0] <= step]
        return not before.size or self.rate.last <= 1.5 * float(before.max())

    @property
    def progress(self) -> float | None:
        """Share of the planned steps done, 0 to 1 and more; None when the plan is unknown."""
        return self.step / self.facts.planned_steps if self.facts.planned_steps else None

    @cached_property
    def known_rate(self) -> float | None:
        """The peak rate: the highest logged, else the declared one."""
        if self.rate is not None:
            return self.rate.highest
        return self.facts.peak_rate

    @cached_property
    def step_size(self) -> float:
        """The peak rate where a step moves each weight by about the rate, as Adam's do; 0 where that is not known."""
        return 0.0 if self.other_rates or self._multiplied else self.known_rate or 0.0

    @cached_property
    def other_rates(self) -> bool:
        """Whether config or name of the rate tell of an optimizer whose steps are not about as large as it (`lr-SGD`)."""
        return self.facts.other_rates or (self.rate is not None and bool(OTHER_RATES.search(self.rate.name.lower())))

    @cached_property
    def adam(self) -> bool:
        """Whether config or name of the rate tell of Adam or one of its kin (`lr-AdamW`)."""
        named = self.rate is not None and bool(ADAMS_KIN.search(self.rate.name.lower()))
        return not self.other_rates and (self.facts.adam or named)

    @cached_property
    def _multiplied(self) -> bool:
        """Whether what is logged is no rate but its multiplier, since the config declares no such peak."""
        return self.rate is not None and self.known_rate == MULTIPLIER != self.facts.peak_rate

    @property
    def passes(self) -> float | None:
        """How often the training text has been gone over so far: told by the data, or logged as the epoch; None when unknown.

        The higher one where both are known: an epoch may be counted by another text than the one that is trained on.
        """
        epoch, data, planned = self.get("epoch"), self.data, self.facts.planned_steps
        logged = epoch.last if epoch is not None else None
        if data is None or not data.train_tokens or data.planned_tokens is None or not planned:
            return logged
        return max(self.step * data.planned_tokens / planned / data.train_tokens, logged or 0.0)

    @property
    def readings(self) -> float | None:
        """How often each different passage has been read so far: `passes`, with copies counted as one; None when unknown."""
        passes, data = self.passes, self.data
        if passes is None or data is None or not data.different_tokens or not data.train_tokens:
            return passes
        return passes * data.train_tokens / data.different_tokens

    @property
    def rising_validation(self) -> bool:
        """Whether the validation loss stands clearly above its best: a sign of overfitting, not yet the finding."""
        return self.val is not None and self.val.size >= 3 and self.val.level > 1.03 * self.val.best.value

    def after(self, sick: tuple[tuple[int, float], ...]) -> RunView:
        """The same moment, of a run that has had this illness before."""
        if not sick:
            return self
        view = copy(self)
        view.sick = sick
        return view

    def good_checkpoint(self, step: int) -> int | None:
        """The last checkpoint at or before the onset of an illness that was not made while it was on before, or None."""
        marks = (mark for mark in self.checkpoints if mark <= step)
        return max((mark for mark in marks if not any(low <= mark <= high for low, high in self.sick)), default=None)

    def checkpoint_before(self, step: int) -> int | None:
        """The last checkpoint at or before a step, or None."""
        return max((mark for mark in self.checkpoints if mark <= step), default=None)
