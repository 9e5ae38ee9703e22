"""Deleting several runs at once: all of them or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.deletion import deletable, delete
from dashboard.errors import Conflict, UnknownRun
from dashboard.records import State
from dashboard.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "runwell.db")
    for run_id, state in {"a": State.FINISHED, "b": State.CRASHED, "c": State.RUNNING}.items():
        store.create_run(run_id)
        store.set_state(run_id, state)
    return store


def test_those_that_have_ended_can_be_deleted(store: Store) -> None:
    ended, going_on = deletable(store, ["a", "c", "gone", "a", "b"])
    assert [run.id for run in ended] == ["a", "b"] and [run.id for run in going_on] == ["c"]
    delete(store, [run.id for run in ended])
    assert [run.id for run in store.runs()] == ["c"]


@pytest.mark.parametrize(("ids", "error"), [(["a", "c"], Conflict), (["a", "gone"], UnknownRun)])
def test_nothing_is_deleted_when_one_cannot_be(store: Store, ids: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        delete(store, ids)
    assert {run.id for run in store.runs()} == {"a", "b", "c"}
