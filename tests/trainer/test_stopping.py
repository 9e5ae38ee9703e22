"""Early stopping, with the book's own example."""

from __future__ import annotations

import math

from trainer.stopping import EarlyStopping


def stops_at(losses: list[float], patience: int, min_delta: float) -> int | None:
    stopping = EarlyStopping(patience, min_delta)
    return next((index for index, loss in enumerate(losses) if stopping.update(loss)), None)


def test_the_books_example_stops_at_the_seventh_evaluation() -> None:
    losses = [3.2, 2.8, 2.5, 2.4, 2.4, 2.5, 2.6, 2.7]
    assert stops_at(losses, 3, 0.05) == 6
    stopping = EarlyStopping(3, 0.05)
    for loss in losses[:7]:
        stopping.update(loss)
    assert stopping.best == 2.4


def test_patience_zero_never_stops() -> None:
    assert stops_at([1.0] * 1000, 0, 0.0) is None


def test_an_improvement_must_exceed_min_delta() -> None:
    assert stops_at([3.0, 2.96, 2.93], 2, 0.1) == 2
    assert stops_at([3.0, 2.8, 2.6], 2, 0.1) is None


def test_steady_improvement_never_stops() -> None:
    assert stops_at([5.0 - 0.01 * i for i in range(400)], 1, 0.0) is None


def test_a_loss_that_is_not_a_number_is_no_improvement_and_hides_no_best() -> None:
    stopping = EarlyStopping(2, 0.0)
    assert [stopping.update(loss) for loss in (2.0, math.nan, math.inf)] == [False, False, True]
    assert stopping.best == 2.0
