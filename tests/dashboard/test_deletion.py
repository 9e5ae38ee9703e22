"""Deleting several runs at once: all of them or none."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from dashboard.deletion import bytes_on_disk, deletable, delete
from dashboard.errors import Conflict, StoreError, UnknownRun
from dashboard.records import State
from dashboard.store import Store
from dashboard.supervisor import identity


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


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The checkpoint of a launched run, in its folder."""
    found = tmp_path / "runs" / "a" / "checkpoints" / "step-000000100" / "model.safetensors"
    found.parent.mkdir(parents=True)
    found.write_bytes(b"x" * 1000)
    (tmp_path / "runs" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("not Runwell's")
    return found


def test_files_stay_unless_they_are_asked_for(store: Store, tmp_path: Path, files: Path) -> None:
    assert bytes_on_disk(tmp_path, ["a", "c", "none"]) == 1000
    delete(store, ["a"])
    assert files.exists()
    store.create_run("a")
    store.set_state("a", State.FINISHED)
    delete(store, ["a", "b"], folders_under=tmp_path)
    assert not (tmp_path / "runs" / "a").exists() and (tmp_path / "elsewhere" / "mine").exists()
    assert [run.id for run in store.runs()] == ["c"]


def test_files_that_somebody_needs_are_kept_and_the_run_with_them(store: Store, tmp_path: Path, files: Path) -> None:
    store.create_run("child", config={"resume": "a:best"}, parent_id="a")
    with pytest.raises(Conflict, match="run 'child' is about to begin from a checkpoint of run 'a'"):
        delete(store, ["a"], folders_under=tmp_path)
    store.set_state("child", State.CANCELLED)
    (tmp_path / "runs" / "a" / "supervisor.json").write_text(json.dumps(identity(os.getpid())))
    with pytest.raises(Conflict, match="the process of run 'a' is still there"):
        delete(store, ["a"], folders_under=tmp_path)
    assert files.exists() and store.run("a").id == "a"


def test_a_folder_that_cannot_be_removed_is_said(
    store: Store, tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(StoreError, match=r"runs/a cannot be deleted: Permission denied"):
        delete(store, ["a"], folders_under=tmp_path)
    assert store.run("a").id == "a"
