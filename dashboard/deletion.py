"""Deleting runs, for the API, the pages and the command line alike: only those that have ended, the space given back once.

What a launched run wrote on disk (checkpoints, its whole output) is the largest part of it, and the only one that nothing
can make again: it goes when that is asked for, and is told of when it stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from dashboard.errors import Conflict, StoreError, UnknownRun
from dashboard.lifecycle import Presence
from dashboard.records import Run, State
from dashboard.store import Store
from dashboard.workers import WorkerFolder

_BEGINNING = (State.QUEUED, State.STARTING, State.RUNNING, State.LOST)


def deletable(store: Store, run_ids: Sequence[str]) -> tuple[list[Run], list[Run]]:
    """(those that can be deleted, those that still go on) of these runs; one that is gone already is in neither."""
    found = []
    for run_id in dict.fromkeys(run_ids):
        try:
            found.append(store.run(run_id))
        except UnknownRun:
            continue
    return [run for run in found if run.state.ended], [run for run in found if not run.state.ended]


def bytes_on_disk(home: Path, run_ids: Iterable[str]) -> int:
    """How much these runs keep on disk under `home` beside the store: checkpoints, output, settings."""
    total = 0
    for run_id in run_ids:
        for directory, _, names in os.walk(_folder(home, run_id)):
            for name in names:
                with suppress(OSError):
                    total += (Path(directory) / name).lstat().st_size
    return total


def delete(store: Store, run_ids: Sequence[str], *, folders_under: Path | None = None) -> None:
    """Delete these runs with all that the store keeps of them; with a home, also what they wrote under it on disk.

    Raises Conflict before anything is deleted when one of them goes on or its files are still in use, UnknownRun for one
    that is not there, StoreError when a folder cannot be removed: that run and those after it are kept then.
    """
    for run_id in run_ids:
        run = store.run(run_id)
        if not run.state.ended:
            raise Conflict(f"run {run_id!r} is {run.state.value}; stop it first, a run that goes on is not deleted")
    if folders_under is not None:
        _see_that_nobody_needs(store, folders_under, run_ids)
    try:
        for run_id in run_ids:
            if folders_under is not None:
                _remove(_folder(folders_under, run_id))
            store.delete_run(run_id)
    finally:
        store.give_back_space()


def _folder(home: Path, run_id: str) -> Path:
    return home / "runs" / run_id


def _see_that_nobody_needs(store: Store, home: Path, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        if WorkerFolder(_folder(home, run_id)).presence() is Presence.ALIVE:
            raise Conflict(f"the process of run {run_id!r} is still there; its files can be deleted when it is gone")
    for run in store.runs(states=_BEGINNING):
        parent = str(run.config.get("resume") or "").partition(":")[0]
        if run.last_step is None and parent in run_ids:
            raise Conflict(f"run {run.id!r} is about to begin from a checkpoint of run {parent!r}; cancel it, or wait")


def _remove(folder: Path) -> None:
    if folder.is_symlink() or not folder.is_dir():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{error.filename or folder} cannot be deleted: {error.strerror or error}") from error
