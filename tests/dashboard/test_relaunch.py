"""Relaunches on a real store and real folders: the plan that an address asks for, the family, the outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dashboard import relaunch
from dashboard.errors import DashboardError, Refused, UnknownFinding, UnknownRun
from dashboard.fixes import Saved
from dashboard.records import Run, State
from dashboard.store import Store
from trainer.checkpoint import Checkpoint, CheckpointFolder
from trainer.presets import build

REMEDIES = [
    {"sentence": "Lower it.", "patch": {"learning_rate": "×0.1"}, "checkpoint": 40},
    {"sentence": "Look at the data.", "patch": None, "checkpoint": None},
]
FINDING: Mapping[str, Any] = {
    "rule": "divergence", "subject": "", "status": "open", "severity": "critical", "title": "Diverged", "first_step": 50,
    "detected_step": 60, "last_step": 90, "resolved_step": None, "evidence": [], "causes": [], "remedies": REMEDIES,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store.open(tmp_path / "runwell.db")
    yield made
    made.close()


@pytest.fixture
def sick(store: Store) -> Run:
    config = build({"learning_rate": 1.0, "min_learning_rate": 0.0}).to_mapping()
    run = store.create_run("sick", config=config, launched=True, state=State.RUNNING)
    store.save_findings("sick", [FINDING], {})
    return run


def _saved(home: Path, run_id: str, *steps: int, best: int) -> None:
    folder = CheckpointFolder(home / "runs" / run_id / "checkpoints")
    for step in steps:
        folder.save(Checkpoint(step=step, weights={}, optimizer={}, tokenizer={}, state={}), best=step == best)


def test_the_checkpoints_are_those_that_the_trainer_would_resume_from(tmp_path: Path) -> None:
    assert relaunch.saved_checkpoints(tmp_path, "none") == Saved()
    _saved(tmp_path, "r", 10, 20, 30, 40, 50, 60, 70, best=20)
    trainers = CheckpointFolder(tmp_path / "runs" / "r" / "checkpoints")
    found = relaunch.saved_checkpoints(tmp_path, "r")
    assert (
        found == Saved(tuple(sorted(trainers.steps())), trainers.best()) and found.best == 20 and 10 not in found.steps
    )
    (trainers.folder / "step-000000099").mkdir()  # a folder without a state is not a checkpoint
    (trainers.folder / "best.json").write_text("null")
    assert relaunch.saved_checkpoints(tmp_path, "r") == Saved(found.steps, None)


def test_a_remedy_of_a_finding_becomes_a_plan(store: Store, sick: Run, tmp_path: Path) -> None:
    _saved(tmp_path, "sick", 40, best=40)
    found = relaunch.prepare(store, tmp_path, "sick", "divergence", "", "1")
    assert {change.name: change.new for change in found.changes} == {"learning_rate": 0.1, "resume": "sick:40"}
    assert relaunch.prepare(store, tmp_path, "sick").changes == ()


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (("gone", "", "", ""), UnknownRun, "there is no run 'gone'"),
        (("../../etc", "divergence", "", "1"), UnknownRun, "there is no run"),
        (("sick", "plateau", "", "1"), UnknownFinding, "no finding of rule 'plateau'"),
        (("sick", "divergence", "val/loss", "1"), UnknownFinding, "about 'val/loss'"),
        (("sick", "", "", "1"), UnknownFinding, "no finding"),
        (("sick", "divergence", "", "3"), Refused, "a number from 1 to 2"),
        (("sick", "divergence", "", "0"), Refused, "a number from 1 to 2"),
        (("sick", "divergence", "", "-1"), Refused, "a number from 1 to 2"),
        (("sick", "divergence", "", "²"), Refused, "a number from 1 to 2"),
        (("sick", "divergence", "", ""), Refused, "a number from 1 to 2"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_one_sentence(
    store: Store, sick: Run, tmp_path: Path, asked: tuple[str, str, str, str], error: type[DashboardError], said: str
) -> None:
    with pytest.raises(error) as caught:
        relaunch.prepare(store, tmp_path, *asked)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_family_knows_its_members_and_what_changed(store: Store, sick: Run) -> None:
    better = build({"learning_rate": 0.1, "min_learning_rate": 0.0}).to_mapping() | {"parameters": 5}
    store.create_run("first", config=better, parent_id="sick")
    store.create_run("second", config={"mine": 1}, parent_id="sick")
    store.create_run("orphan", parent_id="deleted")
    store.create_run("self", parent_id="self")
    children = relaunch.children_of(store, sick)
    assert {child.run.id for child in children} == {"first", "second"}
    changes = {child.run.id: child.changes for child in children}
    assert [(one.name, one.old, one.new) for one in changes["first"] or ()] == [("learning_rate", 1.0, 0.1)]
    assert changes["second"] is None
    parent = relaunch.parent_of(store, store.run("first"))
    assert parent is not None and parent.id == "sick"
    assert relaunch.parent_of(store, store.run("orphan")) is None
    assert relaunch.children_of(store, store.run("self")) == []


def test_each_child_is_heard_about_each_finding(store: Store, sick: Run) -> None:
    store.create_run("ill", parent_id="sick", state=State.RUNNING)
    store.save_findings("ill", [FINDING], {})
    store.create_run("new", parent_id="sick")
    said = relaunch.outcomes(store, relaunch.children_of(store, sick), store.findings("sick"))
    assert {one.run_id: one.status.value for one in said["divergence", ""]} == {"ill": "not-fixed", "new": "waiting"}
    assert json.dumps([one.sentence for one in said["divergence", ""]])


def test_what_another_finding_explains_had_no_fix_to_be_judged(store: Store, sick: Run) -> None:
    plateau = {**FINDING, "rule": "plateau", "severity": "info"}
    store.save_findings("sick", [FINDING, {**plateau, "because": {"rule": "divergence", "title": "Diverged"}}], {})
    store.create_run("well", parent_id="sick", state=State.RUNNING)
    store.save_findings("well", [plateau], {})
    said = relaunch.outcomes(store, relaunch.children_of(store, sick), store.findings("sick"))
    assert said["plateau", ""] == [] and [one.run_id for one in said["divergence", ""]] == ["well"]
