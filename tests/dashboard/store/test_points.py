"""Points in and out of a real database: every number, in order, whatever the batches, merges and rewinds."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.roles import latest_of, leading
from dashboard.store import Store, points
from runwell.wire import Batch

NAMES = st.sets(st.sampled_from(["train/loss", "val/loss", "lr"]), min_size=1)
VALUES = st.floats() | st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])


def test_non_finite_values_come_back(store: Store, writer: Any, point: Any, same: Any) -> None:
    values = [1.0, math.nan, math.inf, -math.inf, 2.0]
    writer(*[point(step, a=value) for step, value in enumerate(values)])
    found = store.series("r1", "a")
    assert same(found.last.tolist(), values)
    assert found.nonfinite.tolist() == [0, 1, 1, 1, 0]
    whole = store.series("r1", "a", buckets=1)
    assert (whole.min[0], whole.max[0], whole.mean[0], whole.last[0]) == (1.0, 2.0, 1.5, 2.0)
    assert (whole.count[0], whole.nonfinite[0], whole.min_step[0], whole.max_step[0]) == (5, 3, 0, 4)


def test_a_column_without_a_finite_value(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=math.nan) for step in range(40)])
    found = store.series("r1", "a", buckets=2)
    assert found.nonfinite.tolist() == found.count.tolist() == [20, 20]
    assert np.isnan(found.min).all() and np.isnan(found.max).all() and np.isnan(found.last).all()


@given(
    st.lists(st.tuples(st.integers(0, 50), NAMES, VALUES), min_size=1, max_size=120),
    st.integers(1, 7),
    st.integers(1, 60),
)
@settings(max_examples=40, deadline=None)
def test_any_batches_give_the_same_curves_and_replay(
    check_buckets: Callable[..., None], logged: list[tuple[int, set[str], float]], size: int, most: int
) -> None:
    events = [
        {"type": "metrics", "step": step, "time": float(number), **dict.fromkeys(sorted(names), value)}
        for number, (step, names, value) in enumerate(logged)
    ]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "a.db")
        try:
            store.append("r", Batch("w", 1, ({"type": "run", "time": 0.0},)))
            for start in range(0, len(events), size):
                store.append("r", Batch("w", 2 + start, tuple(events[start : start + size])))
            replayed = [event for _, event in store.replay("r", after=1)]
            assert repr(replayed) == repr(events)
            for name in ("train/loss", "val/loss", "lr"):
                mine = [(e["step"], e["time"], e[name]) for e in events if name in e]
                check_buckets(store.series("r", name, buckets=10_000), sorted(mine, key=lambda p: p[0]), 10_000)
                check_buckets(store.series("r", name, buckets=most), sorted(mine, key=lambda p: p[0]), max(most, 1))
        finally:
            store.close()


def test_equal_steps_stay_in_order_of_arrival_whatever_company_they_came_in(
    store: Store, writer: Any, new_writer: Any, point: Any, same: Any
) -> None:
    writer(point(7, time=1e9 + 0, a=1.0, b=0.0), point(7, time=1e9 + 1, a=2.0), point(7, time=1e9 + 2, a=3.0, b=0.0))
    assert store.series("r1", "a").last.tolist() == [1.0, 2.0, 3.0]
    new_writer(name="w2")({"type": "run", "time": 1e9}, point(7, time=1e9 + 3, a=math.nan))
    writer(point(7, time=1e9 + 4, a=5.0), point(6, time=1e9 + 5, a=0.5))
    assert same(store.series("r1", "a").last.tolist(), [0.5, 1.0, 2.0, 3.0, math.nan, 5.0])
    whole = store.series("r1", "a", buckets=1)
    assert (whole.last[0], whole.time[0], whole.nonfinite[0]) == (5.0, 1e9 + 4, 1), "the last is the last that came"
    assert store.series("r1", "a", start=7).last.tolist()[-1] == 5.0


def test_a_hundred_spikes_in_a_hundred_thousand_points_are_all_there(store: Store, writer: Any) -> None:
    spikes = set(range(500, 100_000, 1000))
    for start in range(0, 100_000, 20_000):
        writer(
            *[
                {"type": "metrics", "step": s, "time": float(s), "a": 99.0 if s in spikes else 1.0}
                for s in range(start, start + 20_000)
            ]
        )
    found = store.series("r1", "a", buckets=1000)
    assert len(found.step) <= 1000
    assert {int(step) for step, high in zip(found.max_step, found.max, strict=True) if high == 99.0} == spikes
    zoomed = store.series("r1", "a", start=499, stop=501)
    assert zoomed.step.tolist() == [499, 500, 501] and zoomed.last.tolist() == [1.0, 99.0, 1.0]


def test_blocks_inside_a_bucket_are_not_unpacked(store: Store, writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for start in range(0, 4096 * 6, 4096):
        writer(
            *[{"type": "metrics", "step": s, "time": float(s), "a": float(s % 7)} for s in range(start, start + 4096)]
        )
    unpacked = []
    monkeypatch.setattr("dashboard.store.packing.unpack_values", lambda blob, count: unpacked.append(count))
    found = store.series("r1", "a", buckets=2)
    assert unpacked == [] and found.count.tolist() == [4096 * 3, 4096 * 3]


def test_small_blocks_become_large_ones(store: Store, writer: Any, point: Any) -> None:
    for step in range(300):
        writer(point(step, a=float(step), b=math.nan))
    with store._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT rows FROM blocks ORDER BY first_arrival").scalars().all()
    assert sum(rows) == 300 and len(rows) <= 2 * points.MERGE + 1
    assert store.series("r1", "a").last.tolist() == [float(step) for step in range(300)]
    assert [event["step"] for _, event in store.replay("r1") if event["type"] == "metrics"] == list(range(300))


def test_a_thousand_series_at_once(store: Store, writer: Any) -> None:
    names = [f"layer/{index}" for index in range(1000)]
    writer(*[{"type": "metrics", "step": s, "time": 0.0, **dict.fromkeys(names, float(s))} for s in range(30)])
    assert store.series_names("r1") == names
    assert store.series("r1", "layer/999").last.tolist() == [float(s) for s in range(30)]


def test_late_and_repeated_steps_are_kept_and_sorted(store: Store, writer: Any, point: Any) -> None:
    writer(point(5, a=5.0), point(3, a=3.0), point(5, a=5.5))
    writer(point(1, a=1.0))
    found = store.series("r1", "a")
    assert found.step.tolist() == [1, 3, 5, 5] and found.last.tolist() == [1.0, 3.0, 5.0, 5.5]


def test_ranks_that_come_late_are_in_order_and_do_not_take_the_latest_value_back(
    store: Store, new_writer: Callable[..., Any], point: Any
) -> None:
    """Three ranks log the same series, each steps of its own, and arrive in turns that are not the order of the steps."""
    ranks = [new_writer("r1", f"rank-{number}") for number in range(3)]
    ranks[0]({"type": "run", "time": 1e9})
    for start in (0, 300, 600):
        for number in (2, 0, 1):  # the last third of each stretch comes first
            first = start + 100 * number
            ranks[number](*[point(step, a=float(step)) for step in range(first, first + 100)])
    found = store.series("r1", "a")
    assert found.step.tolist() == list(range(900)) and found.last.tolist() == [float(step) for step in range(900)]
    few = store.series("r1", "a", buckets=7)
    assert int(few.count.sum()) == 900 and (np.diff(few.step) > 0).all()
    assert few.max_step.tolist() == few.step.tolist()
    summary = store.summary("r1")
    assert (summary.latest["a"], summary.run.last_step) == (899.0, 899)
    assert [event["step"] for _, event in store.replay("r1") if event["type"] == "metrics"][:2] == [200, 201]
    ranks[1](point(899, a=-1.0), point(5, a=7.0))
    assert store.summary("r1").latest["a"] == -1.0, "of equal steps the one that arrived last"
    ranks[0]({"type": "rewind", "step": 400, "time": 2e9}, point(390, a=1.0))
    assert store.summary("r1").latest["a"] == 1.0, "what the resume has hidden is not newer"
    ranks[0](point(401, a=2.0))
    assert store.summary("r1").latest["a"] == 2.0
    ranks[2](point(899, a=3.0))  # of a rank that did not resume: hidden
    assert store.summary("r1").latest["a"] == 2.0


def test_steps_up_to_the_limit(store: Store, writer: Any, point: Any) -> None:
    writer(point(0, a=1.0), point(2**53, a=2.0))
    assert store.series("r1", "a").step.tolist() == [0, 2**53]
    assert store.series("r1", "a", buckets=1).count.tolist() == [2]


def test_an_unknown_series_is_empty(store: Store, writer: Any) -> None:
    assert len(store.series("r1", "nope").step) == 0


# -- rewinds ---------------------------------------------------------------------------------------------------------


def test_a_rewind_hides_what_came_after_its_step(store: Store, writer: Any, point: Any) -> None:
    writer(*[point(step, a=1.0) for step in range(10)], {"type": "rewind", "step": 4, "time": 2e9})
    assert store.series("r1", "a").step.tolist() == [0, 1, 2, 3, 4]
    writer(*[point(step, time=2e9 + step, a=2.0) for step in range(5, 8)])
    found = store.series("r1", "a")
    assert found.step.tolist() == list(range(8)) and found.last.tolist() == [1.0] * 5 + [2.0] * 3
    assert store.run("r1").last_step == 7
    kept = [event["a"] for _, event in store.replay("r1") if event["type"] == "metrics"]
    assert kept == [1.0] * 10 + [2.0] * 3  # hidden, not lost


def test_the_newest_generation_wins_on_equal_steps(store: Store, writer: Any, point: Any) -> None:
    writer(
        *[point(step, a=1.0) for step in range(6)],
        {"type": "rewind", "step": 3, "time": 2e9},
        point(3, time=2e9, a=9.0),
    )
    assert store.series("r1", "a").last.tolist() == [1.0, 1.0, 1.0, 9.0]
    writer({"type": "rewind", "step": 1, "time": 3e9}, point(2, time=3e9, a=7.0))
    assert store.series("r1", "a").last.tolist() == [1.0, 1.0, 7.0]


def test_rewinds_hold_in_buckets_too(store: Store, writer: Any) -> None:
    writer(*[{"type": "metrics", "step": s, "time": 1e9, "a": 50.0} for s in range(9000)])
    writer({"type": "rewind", "step": 4999, "time": 2e9})
    writer(*[{"type": "metrics", "step": s, "time": 2e9, "a": 1.0} for s in range(5000, 9000)])
    found = store.series("r1", "a", buckets=9)
    assert found.count.sum() == 9000 and found.max.tolist() == [50.0] * 5 + [1.0] * 4


def test_of_several_losses_in_a_row_the_most_telling_is_the_run_s_and_a_perplexity_is_none(
    store: Store, writer: Any, point: Any
) -> None:
    rows = [point(step, total_loss=9.0, lm_loss=3.0 - step, val_bpb=0.5, eval_ppl=2.0, val_loss=3.5) for step in (0, 1)]
    writer(*rows, point(2, val_ppl=1.5))
    summary = store.summary("r1")
    assert (summary.best_val_loss, summary.sparkline) == (3.5, (3.0, 2.0))
    assert latest_of(summary.latest, "train_loss") == 2.0 and latest_of(summary.latest, "val_loss") == 3.5
    writer({"type": "rewind", "step": 0, "time": 2e9})
    assert store.summary("r1").best_val_loss == 3.5, "looked for again"


def test_the_mean_that_hugging_face_logs_at_the_end_does_not_become_the_run_s_loss(
    store: Store, writer: Any, point: Any
) -> None:
    writer(*[point(step, loss=4.0 - step, learning_rate=0.1) for step in (1, 2)])
    writer(point(2, train_runtime=60.0, train_loss=2.5, epoch=1.0))
    summary = store.summary("r1")
    assert latest_of(summary.latest, "train_loss") == 2.0 and summary.sparkline == (3.0, 2.0)
    assert leading(store.series_names("r1"), "train_loss") == "loss"
    assert leading(["train_loss", "train_runtime"], "train_loss") == "train_loss", "where nothing else is there"


def test_the_best_is_the_best_of_what_is_left_after_a_rewind(store: Store, writer: Any, point: Any) -> None:
    def best() -> tuple[float | None, int | None]:
        summary = store.summary("r1")
        return summary.best_val_loss, summary.best_val_step

    losses = {100: 4.0, 200: math.nan, 300: 3.0, 400: 2.0, 500: math.inf}
    writer(*[point(step, **{"val/loss": loss}) for step, loss in losses.items()])
    assert best() == (2.0, 400)
    writer({"type": "rewind", "step": 350, "time": 2e9})
    assert best() == (3.0, 300), "the one at step 400 is hidden"
    writer(point(400, time=2e9, **{"val/loss": 3.5}), point(500, time=2e9, **{"val/loss": 2.5}))
    assert best() == (2.5, 500)
    # All in one batch, as from a spool that waited: the same.
    late = [point(600, time=2e9, **{"val/loss": 1.0}), {"type": "rewind", "step": 50, "time": 3e9}]
    writer(*late)
    assert best() == (None, None), "nothing was evaluated before"
    writer(point(60, time=3e9, **{"val/loss": 5.0}), {"type": "rewind", "step": 60, "time": 4e9})
    assert best() == (5.0, 60) and store.run("r1").last_step == 60


def test_a_step_that_two_generations_share_at_a_blocks_edge_counts_once(store: Store, writer: Any) -> None:
    writer(*[{"type": "metrics", "step": s, "time": 1e9, "a": 50.0} for s in range(4096)])
    writer({"type": "rewind", "step": 4095, "time": 2e9})
    writer(*[{"type": "metrics", "step": s, "time": 2e9, "a": 1.0} for s in range(4095, 4095 + 4096)])
    found = store.series("r1", "a", buckets=1)
    assert found.count.tolist() == [4095 + 4096]
    edge = store.series("r1", "a", start=4094, stop=4096)
    assert edge.step.tolist() == [4094, 4095, 4096] and edge.last.tolist() == [50.0, 1.0, 1.0]


def test_a_dead_writers_late_points_stay_in_its_time(store: Store, writer: Any, new_writer: Any, point: Any) -> None:
    writer(*[point(step, a=1.0) for step in range(4)])
    second = new_writer(name="w2")
    second(
        {"type": "run", "time": 1.5e9},
        {"type": "rewind", "step": 3, "time": 1.5e9 + 1},
        point(4, time=1.5e9 + 2, a=2.0),
    )
    writer(point(4, a=1.0), point(5, a=1.0), {"type": "state", "state": "crashed", "time": 1e9 + 9})
    lost = new_writer(name="w0")  # never heard of before the resume, but older than it
    lost({"type": "run", "time": 1e9}, point(4, a=1.0), point(6, a=1.0))
    found = store.series("r1", "a")
    assert found.step.tolist() == [0, 1, 2, 3, 4] and found.last.tolist() == [1.0] * 4 + [2.0]
    assert store.run("r1").state == "running" and store.run("r1").last_step == 4
