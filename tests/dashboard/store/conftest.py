"""Short ways to write into a real store, and a naive count to hold its buckets against."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from dashboard.records import Receipt, Series
from dashboard.store import Store
from runwell.wire import Batch

Event = dict[str, Any]


class Writer:
    """Appends events with the right sequence numbers."""

    def __init__(self, store: Store, run_id: str = "r1", name: str = "w1") -> None:
        self.store, self.run_id, self.name, self.next = store, run_id, name, 1

    def __call__(self, *events: Event) -> Receipt:
        receipt = self.store.append(self.run_id, Batch(self.name, self.next, events))
        self.next += len(events)
        return receipt


def metrics(step: int, time: float | None = None, **values: float) -> Event:
    return {"type": "metrics", "step": step, "time": 1e9 + step if time is None else time, **values}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runwell.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, path: Path) -> str:
    """An empty database: every test that asks for it, or for `store`, is run on both."""
    if request.param == "sqlite":
        return f"sqlite:///{path}"
    empty: str = request.getfixturevalue("empty_postgres")
    return empty


@pytest.fixture
def store(url: str, clock: Any) -> Iterator[Store]:
    """A real store on a new database."""
    store = Store.open(url, clock)
    yield store
    store.close()


@pytest.fixture
def writer(store: Store) -> Writer:
    """A writer whose run exists."""
    found = Writer(store)
    found({"type": "run", "project": "p", "name": "n", "config": {"max_steps": 100}, "time": 1e9})
    return found


@pytest.fixture
def new_writer(store: Store) -> Callable[..., Writer]:
    return lambda run_id="r1", name="w1": Writer(store, run_id, name)


@pytest.fixture
def point() -> Callable[..., Event]:
    return metrics


@pytest.fixture
def same() -> Callable[[Sequence[float], Sequence[float]], bool]:
    """Whether two lists of numbers are equal, NaN being equal to NaN and -0.0 to 0.0."""

    def equal(a: Sequence[float], b: Sequence[float]) -> bool:
        return len(a) == len(b) and all(x == y or (math.isnan(x) and math.isnan(y)) for x, y in zip(a, b, strict=True))

    return equal


@pytest.fixture(scope="session")
def check_buckets() -> Callable[[Series, Sequence[tuple[int, float, float]], int], None]:
    """Hold a bucketed series against the points that it was made of: (step, time, value), sorted by step."""
    return _check_buckets


def _check_buckets(found: Series, points: Sequence[tuple[int, float, float]], most: int) -> None:
    assert len(found.step) <= most
    assert sum(found.count.tolist()) == len(points)
    at = 0
    for row in range(len(found.step)):
        inside = points[at : at + int(found.count[row])]
        at += len(inside)
        finite = [value for _, _, value in inside if math.isfinite(value)]
        assert found.nonfinite[row] == len(inside) - len(finite)
        step, time, last = inside[-1]
        assert found.step[row] == step and found.time[row] == time
        assert found.last[row] == last or (math.isnan(last) and math.isnan(found.last[row]))
        if not finite:
            assert math.isnan(found.min[row]) and math.isnan(found.max[row]) and math.isnan(found.mean[row])
            continue
        assert found.min[row] == min(finite) and found.max[row] == max(finite)
        scale = max(abs(min(finite)), abs(max(finite)))
        mean = float(sum(map(Fraction, finite)) / len(finite))  # no sum of floats is exact at both ends of their range
        assert found.mean[row] == pytest.approx(mean, rel=1e-9, abs=max(1e-9 * scale, math.ulp(0.0)))
        assert (found.min_step[row], found.min[row]) in [(step, value) for step, _, value in inside]
        assert (found.max_step[row], found.max[row]) in [(step, value) for step, _, value in inside]
        if found.min_time is not None and found.max_time is not None:
            logged = {(step, time) for step, time, _ in inside}
            assert {(found.min_step[row], found.min_time[row]), (found.max_step[row], found.max_time[row])} <= logged
    assert at == len(points)
