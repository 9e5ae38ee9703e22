"""Many events at once are judged exactly as one by one, wherever the lists are cut and whenever somebody asks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import RULES, Engine, Rule, Severity
from diagnostics.roles import ROLES
from diagnostics.schedule import LookSchedule
from diagnostics.stretch import Cells, read_stretch
from diagnostics.view import RunView
from runwell.runlog import read_events, read_tables
from runwell.wire import dumps
from tests.stories import stories, tell

EVERY_ROLE = tuple(role.id for role in ROLES)


class Onlooker:
    """A rule that finds nothing and writes down what each look could see, to the last digit."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.rule = Rule(id="onlooker", needs=(), helps=EVERY_ROLE, blind="", severity=Severity.INFO, look=self.look)

    def look(self, view: RunView) -> None:
        self.seen.append((view.step, view.checkpoints, view.silence, *map(self._series, view.series.items())))

    def _series(self, item: tuple[str, Any]) -> tuple[Any, ...]:
        role, series = item
        nonfinite = series.nonfinite
        return (
            role, series.count, series.raw_steps.tolist()[-40:], repr(series.raw_values.tolist()[-40:]), series.lowest,
            series.blocks[0].tobytes(), series.first_points[1].tobytes(), nonfinite.count, nonfinite.trailing, nonfinite.longest,
        )  # fmt: skip


def judged(engine: Engine) -> tuple[Any, ...]:
    return (
        [finding.to_mapping() for finding in engine.findings()],
        engine.coverage(),
        engine.verdict(),
        engine.next_moment,
    )


def cuts_of(events: list[Any], cuts: set[int]) -> list[int]:
    return [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]


def compare(events: list[dict[str, Any]], cuts: set[int], *, rules: bool) -> tuple[Any, ...]:
    """Judge one by one and in parts, asking between the parts; what the first came to."""
    engines, onlookers = [], [Onlooker(), Onlooker()]
    for onlooker in onlookers:
        engines.append(Engine(rules=(*(RULES if rules else ()), onlooker.rule)))
    one, other = engines
    for event in events:
        one.observe(event)
    for start, stop in pairwise(cuts_of(events, cuts)):
        other.observe_all(events[start:stop])
        judged(other), other.series("train_loss")
    assert onlookers[0].seen == onlookers[1].seen, "the looks are the same and see the same"
    assert judged(one) == judged(other)
    return judged(one)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(stories(), st.sets(st.integers(1, 1000), max_size=4))
def test_every_look_sees_the_same_however_the_events_come(events: list[dict[str, Any]], cuts: set[int]) -> None:
    compare(events, cuts, rules=False)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(stories(longest=100), st.sets(st.integers(1, 500), max_size=4))
def test_the_findings_are_the_same_however_the_events_come(events: list[dict[str, Any]], cuts: set[int]) -> None:
    compare(events, cuts, rules=True)


def compare_read(events: list[dict[str, Any]], most: int, *, rules: bool) -> None:
    """Judge a log read row by row, and one read as tables."""
    lines = [dumps({"type": "metrics", **event}) + "\n" for event in events]
    onlookers = [Onlooker(), Onlooker()]
    one, other = (Engine(rules=(*(RULES if rules else ()), onlooker.rule)) for onlooker in onlookers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runwell.lines.MOST", most)
        patch.setattr("runwell.lines.AT_ONCE", min(most, 128))
        other.observe_all(read_tables(lines))
    for event in read_events(lines):
        one.observe(event)
    assert onlookers[0].seen == onlookers[1].seen, "the looks are the same and see the same"
    assert judged(one) == judged(other)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(stories(longest=100), st.sampled_from([40, 150, 2048]))
def test_every_look_sees_the_same_however_the_log_is_read(events: list[dict[str, Any]], most: int) -> None:
    compare_read([{"step": 0, "train/loss": 8.0}, *events], most, rules=False)


@pytest.mark.parametrize("most", [50, 2048])
def test_times_and_gaps_of_a_log_that_is_read_as_tables(most: int) -> None:
    chapters = [
        ("timed", 1, 0),
        ("falls", 90, 1),
        ("checkpoint", 1, 0),
        ("falls", 90, 2),
        ("silence", 99, 0),
        ("falls", 80, 2),
    ]
    chapters += [("silence", 5, 0), ("late", 60, 2), ("timed", 1, 0), ("sparse", 90, 2), ("nan", 40, 3)]
    compare_read(tell(chapters), most, rules=True)


def test_a_long_sick_run_is_the_same_in_every_detail() -> None:
    chapters = [
        ("falls", 150, 1),
        ("spike", 60, 2),
        ("sparse", 90, 3),
        ("late", 60, 0),
        ("climbs", 60, 4),
        ("nan", 40, 5),
    ]
    findings, coverage, verdict, _ = compare(tell([("config", 90, 0), *chapters]), {77, 300}, rules=True)
    assert {"loss-spike", "divergence", "non-finite-loss"} <= {finding["rule"] for finding in findings}
    assert (verdict, coverage.failed) == ("critical", {})


@pytest.mark.parametrize(
    "chapters",
    [
        [("falls", 90, 1), ("again", 90, 2)],
        [("falls", 60, 1), ("ends", 1, 0), ("falls", 60, 2)],
        [("timed", 1, 0), ("falls", 80, 1), ("silence", 99, 0), ("falls", 80, 2), ("silence", 5, 0), ("falls", 40, 2)],
        [("falls", 60, 1), *[("sample", 1, 0), ("falls", 40, 2)] * 8],
        [("falls", 60, 1), ("gaps", 9, 0), ("falls", 60, 2), ("gaps", 9, 0)],
    ],
)
def test_what_stands_between_the_numbers_is_taken_in_its_place(chapters: list[Any]) -> None:
    events = tell(chapters)
    compare(events, set(), rules=True)
    compare(events, {at + 1 for at, event in enumerate(events) if event.get("type") != "metrics"}, rules=True)


def test_a_nan_beside_an_evaluation_means_what_the_rows_before_say() -> None:
    events: list[dict[str, Any]] = [{"step": n, "loss": 3.0 - n / 100} for n in range(120)]
    events[0] = {"step": 0, "val_loss": 3.0}
    events[100] |= {"loss": math.nan, "val_loss": 3.0}
    for filler in (True, False):
        findings, *_ = compare(events, set(), rules=True)
        assert ("non-finite-loss" in {finding["rule"] for finding in findings}) is not filler
        events[60]["val_loss"] = 3.0


def test_batches_longer_than_what_is_kept_of_a_series() -> None:
    rng = np.random.default_rng(0)
    events = [{"step": n, "loss": float(x)} for n, x in enumerate(2 + rng.normal(0, 0.1, 12_000))]
    for at in (5_000, 5_001, 9_999):
        events[at]["loss"] = math.nan
    compare(events, set(), rules=False)


def test_numbers_in_a_row_go_in_together() -> None:
    """Else the test above would compare one by one with one by one."""
    events = tell([("falls", 100, 0), ("sparse", 100, 0)])
    rows = read_stretch(events, {"type": None, "step": None, "train/loss": "train_loss", "val/loss": "val_loss",
                                 "train/grad_norm": "grad_norm", "lr": None, "junk": None})  # fmt: skip
    assert rows is not None and rows.length > 100
    assert rows.plain_until(0) > 100
    assert rows.row(0) == {role: pytest.approx(events[0][name]) for role, name in
                           (("train_loss", "train/loss"), ("val_loss", "val/loss"), ("grad_norm", "train/grad_norm"))}  # fmt: skip


number = st.sampled_from([1.0, 3.0, 9.0, math.nan, math.inf])
cell = st.one_of(st.none(), number)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(cell, cell, cell, cell), min_size=1, max_size=60), st.integers(1, 8), st.integers(0, 3000))
def test_the_schedule_takes_columns_as_it_takes_rows(
    rows: list[tuple[float | None, ...]], times: int, before: int
) -> None:
    rows = rows * times
    one, other = LookSchedule(), LookSchedule()
    for schedule in (one, other):
        schedule.loss_above, schedule.grad_above, schedule.grad_below = 5.0, 5.0, 2.0
        for _ in range(before):
            schedule.due(3.0, 3.0 if before % 2 else None, 3.0)
    looks = [at for at, row in enumerate(rows) if one.due(*row)]
    found, start = [], 0
    while start < len(rows):
        columns = [cells_of([row[role] for row in rows[start:]]) for role in range(4)]
        due = other.first_due(len(rows) - start, *columns)
        found += [] if due is None else [start + due]
        start = len(rows) if due is None else start + due + 1
    assert found == looks
    assert one.points == other.points
    assert [one.due(3.0, None, None) for _ in range(200)] == [other.due(3.0, None, None) for _ in range(200)]


def cells_of(column: list[float | None]) -> Cells:
    rows = [at for at, value in enumerate(column) if value is not None]
    return Cells(np.array(rows, dtype=np.int64), np.array([column[at] for at in rows], dtype=np.float64))


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.sets(st.integers(1, 400), max_size=4), st.integers(1, 40))
def test_an_evaluation_that_every_row_tells_again_is_one(cuts: set[int], every: int) -> None:
    rng = np.random.default_rng(every)
    losses = 3 + 4 * np.exp(-np.arange(400) / 60) + 0.03 * rng.standard_normal(400)
    values = [round(value, 4) for value in losses[::every] + 0.06 * rng.standard_normal(losses[::every].size)]
    rows = [{"step": at, "train_loss": float(loss), "val_loss": values[at // every]} for at, loss in enumerate(losses)]
    compare(rows, cuts, rules=True)
    engine = Engine()
    engine.observe_all(rows)
    alone = Engine()
    alone.observe_all([row if at % every == 0 else {**row, "val_loss": None} for at, row in enumerate(rows)])
    seen, made = engine.series("val_loss"), alone.series("val_loss")
    assert seen is not None and made is not None
    assert seen.steps.tolist() == made.steps.tolist() == list(range(0, 400, every)), "each stands where it was made"
    assert judged(engine) == judged(alone)


def test_evaluations_that_happen_to_be_alike_are_several_where_no_training_loss_stands_beside_them() -> None:
    engine = Engine()
    for step in range(30):
        engine.observe({"step": step, "train_loss": 3.0 + 0.1 * (step % 2)})
        engine.observe({"step": step, "val_loss": 3.125})
    series = engine.series("val_loss")
    assert series is not None
    assert series.count == 30


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_evaluation_that_is_not_finite_counts_in_every_row(value: float) -> None:
    rows = [{"step": step, "train_loss": 3.0 + 0.01 * step, "val_loss": value} for step in range(60)]
    compare(rows, {7, 40}, rules=True)
    engine = Engine()
    engine.observe_all(rows)
    series = engine.series("val_loss")
    assert series is not None
    assert series.nonfinite.count == 60


@settings(max_examples=5, deadline=None, derandomize=True)
@given(st.sets(st.integers(1, 400), max_size=4), st.integers(2, 60))
def test_evaluations_that_are_alike_are_several_where_rows_without_one_stand_between(
    cuts: set[int], every: int
) -> None:
    """Weights that no step changes give the same to the last digit."""
    rows = [
        {"step": at, "train_loss": 3.0 + 0.1 * (at % 3), **({"val_loss": 3.976213} if at % every == 0 else {})}
        for at in range(400)
    ]
    compare(rows, cuts, rules=True)
    engine = Engine()
    engine.observe_all(rows)
    seen = engine.series("val_loss")
    assert seen is not None and seen.steps.tolist() == list(range(0, 400, every))
