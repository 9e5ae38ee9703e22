"""One row of a log of any tool to one metrics event: which column counts steps, what is a number. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runwell.wire import MAX_STEP, RESERVED, BadEvent, Event, check_name

STEP_NAMES = (
    "step",
    "global_step",
    "iteration",
    "iter",
    "_step",
    "steps",
    "iterations",
    "train_step",
    "trainer/global_step",
    "train/global_step",
    "current_steps",
    "current_step",
    "update_step",
    "num_updates",
)
"""Columns that count steps, best first, in any case. Without any, `epoch` counts while it is whole, else the row's number."""
TIME_NAMES = ("time", "_timestamp", "timestamp", "wall time", "wall_time")
NON_FINITE_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
ROWS_OF_AN_EPOCH = 2
"""Rows with the same columns that may tell of the same epoch where epochs are the steps: one of training, one of evaluation."""

PAIR = re.compile(r"\s*(\d{1,15})\s*/\s*\d{1,15}\s*")
"""A count and what it goes up to in one cell, under both names: `"global_step/max_steps": "10/438"`."""

MAX_NESTING = 8
MAX_PLANS = 1000
"""Sets of columns remembered; a log whose every row has other ones must not fill the memory."""


def parse_number(text: str) -> float | None:
    """The number in a text, NaN and ±Inf in any spelling; None when it is empty or no number."""
    word = text.strip().lower()
    try:
        # int() and float() take underscores and digits of any script, which no logger writes
        return float(word) if "_" not in word else None
    except ValueError:
        sign, bare = (-1.0, word[1:]) if word.startswith("-") else (1.0, word.lstrip("+"))
        bare = bare.split("(")[0]
        if bare.startswith("1.#"):  # Microsoft's: 1.#INF, 1.#QNAN, -1.#IND00
            bare = bare[3:].rstrip("0").replace("qnan", "nan").replace("snan", "nan").replace("ind", "nan")
        value = NON_FINITE_WORDS.get(bare.removesuffix("f") if bare == "inff" else bare)
        return None if value is None else sign * value


class _Plan(NamedTuple):
    """What the columns of a row are; rows of one log mostly have the same ones, so it is worked out once for each set."""

    step: str
    """The one column that counts steps; empty where it must be asked row by row."""
    time: str
    by_name: Mapping[str, str]
    """Names in lower case to names as they are; of several spellings the first."""
    plain: bool
    """Whether every name may stand in an event as it is."""


class Rows:
    """Turns the rows of one file into events and counts them."""

    def __init__(self) -> None:
        self._count = 0
        self._epochs_count = True
        self._epoch: tuple[float, tuple[str, ...]] | None = None
        self._same_epoch = 0
        self._ahead = 0
        self._last: int | None = None
        self._given = 0
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def metrics(self, numbers: Mapping[str, float]) -> Event:
        """One metrics event of a row's numbers. Raises `BadEvent` when there is none, or no step where one should be."""
        names = tuple(numbers)
        plan = self._plans.get(names) or self._planned(names)
        step_name, step = plan.step, -1.0
        if step_name:
            step = numbers[step_name]
        if 0 <= step <= MAX_STEP and step == (whole := int(step)):
            self._last = whole
        else:
            step_name, whole = self._step(numbers, plan.by_name)
        time_name = plan.time if abs(numbers.get(plan.time, math.nan)) < 1e12 else ""
        if plan.plain and time_name == plan.time and step_name == plan.step and len(numbers) > 1 + bool(time_name):
            self._count += 1
            self._given = whole
            return {"type": "metrics", **numbers, "step": whole}
        return self._careful(numbers, step_name, whole, plan.time, time_name)

    def beside(self, numbers: Mapping[str, float]) -> Event:
        """One of numbers that are no row of their own: at the step of the last row, or at 0 before the first one."""
        return {"type": "metrics", **numbers, "step": self._given}

    def took(self, steps: Sequence[int]) -> None:
        """Count rows that were read together, all with a step of their own."""
        self._count += len(steps)
        self._last = steps[-1]

    def _careful(self, numbers: Mapping[str, float], step_name: str, step: int, time: str, sound_time: str) -> Event:
        event: Event = {"type": "metrics", "step": step}
        if sound_time:
            event["time"] = numbers[sound_time]
        fine = {name: value for name, value in numbers.items() if name not in (step_name, time) and is_name(name)}
        if not fine:
            raise BadEvent("there is no number in it" + (f" but its {step_name}" if step_name else ""))
        event.update(fine)
        self._count += 1
        self._given = step
        return event

    def _planned(self, names: tuple[str, ...]) -> _Plan:
        by_name = {name.lower(): name for name in names[::-1]}
        counting = [by_name[known] for known in STEP_NAMES if known in by_name]
        time = next((by_name[name] for name in TIME_NAMES if name in by_name), "")
        plain = counting[:1] == ["step"] and time in ("", "time")
        plain = plain and all(is_name(name) for name in names if name not in ("step", time))
        plan = _Plan(counting[0] if counting else "", time, by_name, plain)
        if len(self._plans) < MAX_PLANS:
            self._plans[names] = plan
        return plan

    def _step(self, numbers: Mapping[str, float], by_name: Mapping[str, str]) -> tuple[str, int]:
        for known in STEP_NAMES:
            name = by_name.get(known, "")
            if not name or math.isnan(numbers[name]):
                continue
            if _is_step(numbers[name]):
                self._last = int(numbers[name])
                return name, self._last
            raise BadEvent(f"{name} = {numbers[name]:g} is no step; it takes a whole number from 0 to 2^53")
        if self._last is not None:
            # some rows have a step, this one has none: it belongs to the row before
            return "", self._last
        epoch = numbers.get(by_name.get("epoch", ""), math.nan)
        if self._epochs_count and not self._counts(epoch, tuple(numbers)):
            self._epochs_count = False
            # the rows before may have been given a later epoch than there were rows
            told = self._epoch[0] if self._epoch and self._same_epoch > ROWS_OF_AN_EPOCH else -1.0
            self._ahead = max(0, int(told) + 1 - self._count)
        return "", int(epoch) if self._epochs_count else self._count + self._ahead

    def _counts(self, epoch: float, names: tuple[str, ...]) -> bool:
        """Whether an epoch can stand for a step: it is whole, and not that of many rows of one kind.

        0.5, 1.0, 1.5: epochs that are whole by chance must not count as steps between row numbers; nor must 0.0, 0.0, 0.0,
        0.01, which are rounded.
        """
        self._same_epoch = self._same_epoch + 1 if self._epoch == (epoch, names) else 1
        self._epoch = epoch, names
        return _is_step(epoch) and self._same_epoch <= ROWS_OF_AN_EPOCH

    def numbers_of(self, value: Mapping[str, Any]) -> dict[str, float]:
        """The numbers in a JSON object; nested ones are named with "/". Texts that spell a number count."""
        found: dict[str, float] = {}
        _gather(found, value, "", 0)
        return found


def number_of(item: Any) -> float | None:
    """The number that one cell of a JSON object means, in any spelling; None when it means none."""
    if isinstance(item, int):
        return float(item) if abs(item) < 10**300 else None
    if isinstance(item, float):
        return item
    return parse_number(item) if isinstance(item, str) else None


def _is_step(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= MAX_STEP and value == int(value)


def _gather(found: dict[str, float], value: Mapping[str, Any], prefix: str, depth: int) -> None:
    for name, item in value.items():
        kind = type(item)
        if kind is float:  # nearly all of them: asked first, because a log may have millions
            found[prefix + name] = item
        elif kind is int and -MAX_STEP <= item <= MAX_STEP:
            found[prefix + name] = float(item)
        elif kind is str and item == "metrics":
            continue  # the record's own type
        elif isinstance(item, dict):
            if depth < MAX_NESTING:
                _gather(found, item, f"{prefix}{name}/", depth + 1)
        elif (number := number_of(item)) is not None:
            found[prefix + name] = number
        elif kind is str and "/" in name and (pair := PAIR.fullmatch(item)):
            found[prefix + name.split("/")[0]] = float(pair[1])


def is_name(name: str) -> bool:
    """Whether a number may stand in an event under this name."""
    try:
        return name not in RESERVED and bool(check_name(name))
    except BadEvent:
        return False
