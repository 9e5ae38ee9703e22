"""Curves against a naive reading of what was logged: several writers, rewinds, late and repeated steps, any window."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.store import Store, curves, pieces, points
from runwell.wire import Batch

Point = tuple[int, float, float]

STEPS = st.one_of(
    st.integers(0, 40).map(lambda by: ("forward", by)),
    st.integers(-30, 0).map(lambda by: ("back", by)),
    st.just(("rewind", 10)),
)
VALUES = st.sampled_from([1.0, 2.0, -3.0, 0.5, 7.0, math.nan, math.inf, -math.inf, 1e300])


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks of 32 rows in pieces of 4, so that a short log has many of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(points, "rows_in_block", lambda width: 32)
        patch.setattr(pieces, "PIECE", 4)
        patch.setattr(pieces, "WORTHWHILE", 8)
        yield


class Log:
    """Events as one or two writers of a run might send them, and what must be seen of series `a`."""

    def __init__(self, moves: Sequence[tuple[tuple[str, int], float, int]], strides: tuple[int, int]) -> None:
        self.batches: list[Batch] = [Batch("w0", 1, ({"type": "run", "time": 0.0},))]
        self._next = {"w0": 2, "w1": 1}
        self._generations: list[list[Point]] = [[]]
        self._cuts: list[int] = []
        at = [0, 0]
        for number, ((move, by), value, company) in enumerate(moves):
            writer = 0 if move == "rewind" or self._cuts else company % 2  # after a resume one writer goes on
            if move == "rewind":
                at[0] = max(0, at[0] - by)
                self._send(0, {"type": "rewind", "step": at[0], "time": float(number)})
                self._cuts.append(at[0])
                self._generations.append([])
                continue
            for repeat in range(strides[writer]):
                at[writer] = max(0, at[writer] + (1 if move == "forward" else by))
                event = {"type": "metrics", "step": at[writer], "time": number + repeat / 64, "a": value + repeat % 5}
                self._generations[-1].append((at[writer], event["time"], event["a"]))
                self._send(writer, event if company % 3 else {**event, "b": 0.0})

    def _send(self, writer: int, event: dict[str, Any]) -> None:
        name = f"w{writer}"
        last = self.batches[-1]
        if last.writer == name and len(last.events) < 7:
            self.batches[-1] = Batch(name, last.first_seq, (*last.events, event))
        else:
            self.batches.append(Batch(name, self._next[name], (event,)))
        self._next[name] += 1

    def seen(self, first: int, last: int) -> list[Point]:
        """The naive way: newest generation first, older ones up to the lowest later cut, no step twice over."""
        found: list[list[Point]] = []
        taken: set[int] = set()
        for number in range(len(self._generations) - 1, -1, -1):
            cut = min(self._cuts[number:], default=2**60)
            mine = [point for point in self._generations[number] if point[0] <= cut and point[0] not in taken]
            taken |= {step for step, _, _ in mine}
            found.insert(0, [point for point in mine if first <= point[0] <= last])
        return sorted((point for some in found for point in some), key=lambda point: point[0])


@given(
    st.lists(st.tuples(STEPS, VALUES, st.integers(0, 5)), min_size=1, max_size=60),
    st.tuples(st.integers(1, 40), st.integers(1, 9)),
    st.integers(1, 40),
    st.tuples(st.integers(0, 300), st.integers(0, 900)),
)
@settings(max_examples=60, deadline=None)
def test_every_window_shows_what_was_logged(
    check_buckets: Callable[..., None],
    moves: list[tuple[tuple[str, int], float, int]],
    strides: tuple[int, int],
    most: int,
    window: tuple[int, int],
) -> None:
    log = Log(moves, strides)
    with small_blocks(), tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "a.db")
        try:
            for batch in log.batches:
                store.append("r", batch)
            for first, last in ((0, 2**53), (window[0], window[0] + window[1])):
                seen = log.seen(first, last)
                found = store.series("r", "a", start=first, stop=last, buckets=most, times=True)
                check_buckets(found, seen, most)
                if len(seen) <= most:
                    assert found.step.tolist() == [step for step, _, _ in seen]
                assert (np.diff(found.step) >= 0).all()
        finally:
            store.close()


def filled(store: Store, count: int) -> None:
    events = [{"type": "metrics", "step": s, "time": float(s), "a": float(s % 1009)} for s in range(count)]
    store.append("r", Batch("w", 1, ({"type": "run", "time": 0.0},)))
    for start in range(0, count, 4096):
        store.append("r", Batch("w", 2 + start, tuple(events[start : start + 4096])))


def test_a_wide_view_unpacks_nothing_and_a_window_only_its_edges(
    store: Store, monkeypatch: pytest.MonkeyPatch, check_buckets: Callable[..., None]
) -> None:
    filled(store, 4096 * 8)
    opened: list[int] = []
    real = curves._unpacked
    monkeypatch.setattr(curves, "_unpacked", lambda row, count: opened.append(count) or real(row, count))
    everything = [(s, float(s), float(s % 1009)) for s in range(4096 * 8)]
    check_buckets(store.series("r", "a", buckets=100), everything, 100)
    assert opened == [], "pieces answer"
    check_buckets(store.series("r", "a", buckets=3), everything, 3)
    assert opened == [], "blocks answer"
    cut = store.series("r", "a", start=100, stop=4096 * 8 - 100, buckets=100)
    assert len(opened) == 2
    check_buckets(cut, everything[100 : 4096 * 8 - 99], 100)


def test_a_spike_is_told_with_the_step_and_the_time_at_which_it_was_logged(store: Store) -> None:
    """Steps come ever faster, so that the middle of a bucket of steps is not the middle of its time; then a resume."""
    tall = {777: 50.0, 9001: -50.0}
    events = [
        {"type": "metrics", "step": s, "time": 1000 * s**0.5, "a": tall.get(s, math.nan if s % 50 == 0 else s % 7 / 7)}
        for s in range(10_000)
    ]
    store.append("r", Batch("w", 1, ({"type": "run", "time": 0.0}, *events)))
    found = store.series("r", "a", buckets=20, times=True)
    assert found.min_time is not None and found.max_time is not None
    high, low = int(found.max.argmax()), int(found.min.argmin())
    assert (found.max_step[high], found.max_time[high]) == (777, 1000 * 777**0.5)
    assert (found.min_step[low], found.min_time[low]) == (9001, 1000 * 9001**0.5)
    again = [{"type": "metrics", "step": s, "time": 1e6 + s, "a": 60.0 if s == 600 else 0.5} for s in range(501, 9500)]
    store.append("r", Batch("w", 10_002, ({"type": "rewind", "step": 500, "time": 1e6}, *again)))
    found = store.series("r", "a", buckets=20, times=True)
    assert found.max_time is not None
    high = int(found.max.argmax())
    assert (found.max[high], found.max_step[high], found.max_time[high]) == (60.0, 600, 1e6 + 600)
    assert found.time[-1] == 1e6 + 9499 and (np.diff(found.step) > 0).all()
    assert store.series("r", "a", buckets=20).min_time is None, "only who asks for it pays"
    nothing = store.series("r", "b", times=True)
    assert nothing.min_time is not None and len(nothing.min_time) == 0


def test_no_bucket_is_much_wider_than_the_others(store: Store) -> None:
    filled(store, 4096 * 8)
    for buckets in (5, 20, 60, 120):
        found = store.series("r", "a", buckets=buckets)
        assert buckets * 0.9 <= len(found.step) <= buckets
        assert found.count.max() <= 2 * 4096 * 8 / buckets


def test_evaluations_now_and_then_cost_no_summaries(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come in the same log() call, so their steps' training losses lie in blocks of their own, spread wide."""
    store.append("r", Batch("w", 1, ({"type": "run", "time": 0.0},)))
    for start in range(0, 40_960, 4096):
        events = [
            {"type": "metrics", "step": s, "time": float(s), "a": 1.0} | ({"val": 2.0} if s % 100 == 0 else {})
            for s in range(start, start + 4096)
        ]
        store.append("r", Batch("w", 2 + start, tuple(events)))
    opened: list[int] = []
    real = curves._unpacked
    monkeypatch.setattr(curves, "_unpacked", lambda row, count: opened.append(count) or real(row, count))
    found = store.series("r", "a", buckets=50)
    assert found.count.sum() == 40_960 and sum(opened) < 2500


def test_steps_far_apart_and_one_step_for_all(store: Store) -> None:
    far = [{"type": "metrics", "step": s * 2**40, "time": 0.0, "a": 1.0} for s in range(4096)]
    same = [{"type": "metrics", "step": 5, "time": float(k), "b": float(k)} for k in range(9000)]
    store.append("r", Batch("w", 1, ({"type": "run"}, *far, *same)))
    found = store.series("r", "a", buckets=64)
    assert found.count.sum() == 4096 and found.step[-1] == 4095 * 2**40
    one = store.series("r", "b", buckets=64)
    assert one.step.tolist() == [5] and one.last.tolist() == [8999.0] and one.max.tolist() == [8999.0]
