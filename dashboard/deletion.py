"""Deleting runs, for the API and the pages alike: only those that have ended, and the space is given back once."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.errors import Conflict, UnknownRun
from dashboard.records import Run
from dashboard.store import Store


def deletable(store: Store, run_ids: Sequence[str]) -> tuple[list[Run], list[Run]]:
    """(those that can be deleted, those that still go on) of these runs; one that is gone already is in neither."""
    found = []
    for run_id in dict.fromkeys(run_ids):
        try:
            found.append(store.run(run_id))
        except UnknownRun:
            continue
    return [run for run in found if run.state.ended], [run for run in found if not run.state.ended]


def delete(store: Store, run_ids: Sequence[str]) -> None:
    """Delete these runs with all that the store keeps of them; their checkpoints stay on disk.

    Raises Conflict before anything is deleted when one of them goes on, UnknownRun for one that is not there.
    """
    for run_id in run_ids:
        run = store.run(run_id)
        if not run.state.ended:
            raise Conflict(f"run {run_id!r} is {run.state.value}; stop it first, a run that goes on is not deleted")
    for run_id in run_ids:
        store.delete_run(run_id)
    store.give_back_space()
