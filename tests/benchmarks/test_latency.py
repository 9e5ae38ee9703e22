"""Whether a page holds every point once is told from what its charts draw: by point, or by bucket where they come so."""

from __future__ import annotations

import pytest

from benchmarks.live.latency import wrong_points
from benchmarks.live.source import value_at

STEPS = 900
WHOLE = {step: value_at(0, step) for step in range(1, STEPS + 1)}
BUCKETS = [range(start, start + 3) for start in range(1, STEPS + 1, 3)]
ENDS = {min(bucket, key=WHOLE.__getitem__) for bucket in BUCKETS} | {
    max(bucket, key=WHOLE.__getitem__) for bucket in BUCKETS
}
EXTREMES = {step: WHOLE[step] for step in sorted(ENDS)}


def wrong(points: dict[int, float], whole: bool) -> int:
    return wrong_points({"loss": (list(points), list(points.values()), whole)}, ["loss"], STEPS)


def test_all_points_are_right_and_buckets_with_both_their_ends_are() -> None:
    assert wrong(WHOLE, True) == 0
    assert len(EXTREMES) < STEPS and wrong(EXTREMES, False) == 0
    assert wrong(EXTREMES, True) == STEPS - len(EXTREMES), "that chart says that it draws every point"


@pytest.mark.parametrize("whole", [True, False])
def test_holes_made_up_points_and_other_values_are_counted(whole: bool) -> None:
    drawn = WHOLE if whole else EXTREMES
    assert wrong({step: value for step, value in drawn.items() if not 300 <= step < 340}, whole) >= 34
    assert wrong({step: value for step, value in drawn.items() if step <= 880}, whole) >= 17
    assert wrong({**drawn, STEPS + 5: 1.0}, whole) == 1
    first = next(iter(drawn))
    assert wrong({**drawn, first: drawn[first] + 0.5}, whole) >= 1
    assert wrong_points({"loss": ([*drawn, first], [*drawn.values(), drawn[first]], whole)}, ["loss"], STEPS) == 1
    assert wrong_points({}, ["loss"], STEPS) == STEPS
