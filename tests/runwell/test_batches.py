"""Counts that begin anew in each epoch are counted on; those of a run that went back are left as they are."""

from __future__ import annotations

import math

import pytest

from runwell.batches import Batches


def steps(*told: tuple[float, float]) -> list[float]:
    batches = Batches()
    return [batches.counted_on(float(epoch), float(count)) for epoch, count in told]


@pytest.mark.parametrize("first", [0, 1, 100])
def test_counts_go_on_over_the_epochs(first: int) -> None:
    counts = [first + 100 * at for at in range(3)]
    told = [(float(epoch), float(count)) for epoch in (1, 2, 3) for count in counts]
    assert steps(*told) == [first + 100 * at for at in range(9)]


def test_one_count_an_epoch() -> None:
    assert steps((1, 500), (2, 500), (3, 500)) == [500, 1000, 1500]
    assert steps((0, 0), (1, 0), (2, 0)) == [0, 1, 2]


def test_counts_of_the_whole_run_stay() -> None:
    assert steps((1, 100), (1, 200), (2, 300), (2, 400)) == [100, 200, 300, 400]


def test_a_run_that_went_back_stays_gone_back() -> None:
    assert steps((3, 100), (3, 200), (3, 100)) == [100, 200, 100]
    assert steps((1, 100), (2, 100), (1, 100), (1, 200)) == [100, 200, 100, 200]


def test_an_evaluation_that_counts_its_own_batches_stands_where_the_training_is() -> None:
    batches = Batches()
    assert [batches.counted_on(1.0, count) for count in (100, 200)] == [100, 200]
    assert batches.counted_on(1.0, 10, held_out=True) == 200
    assert [batches.counted_on(2.0, count) for count in (100, 200)] == [300, 400]
    assert batches.counted_on(2.0, 20, held_out=True) == 400


@pytest.mark.parametrize(("epoch", "count"), [(0.5, 3), (math.nan, 3), (1, math.nan), (1, math.inf), (1, -3)])
def test_what_is_no_count_is_left_alone(epoch: float, count: float) -> None:
    assert repr(steps((1, 5), (epoch, count))) == repr([5.0, float(count)])
