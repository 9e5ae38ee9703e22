"""Checkpoints: whole or not there, five kept and the best, broken ones told apart, kills at any moment survived."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from trainer import checkpoint as module
from trainer.checkpoint import Checkpoint, CheckpointFolder, parse_reference
from trainer.errors import CheckpointError


def make(step: int, value: float = 1.0) -> Checkpoint:
    return Checkpoint(
        step=step,
        weights={"w": torch.full((2, 3), value)},
        optimizer={"exp_avg.w": torch.arange(6.0), "random.cpu": torch.get_rng_state()},
        tokenizer={"kind": "byte"},
        state={"config": {"max_steps": 10}, "best_loss": None},
    )


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints")


def test_what_is_loaded_is_what_was_saved(folder: CheckpointFolder) -> None:
    saved = make(7)
    path = folder.save(saved)
    loaded = folder.load("last")
    assert path.name == "step-000000007" and loaded.step == 7
    assert torch.equal(loaded.weights["w"], saved.weights["w"])
    assert all(torch.equal(loaded.optimizer[name], saved.optimizer[name]) for name in saved.optimizer)
    assert (loaded.tokenizer, loaded.state) == (saved.tokenizer, saved.state)
    assert {file.suffix for file in path.iterdir()} == {".safetensors", ".json"}, "no pickle"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_survive(folder: CheckpointFolder, value: float) -> None:
    folder.save(make(1, value))
    assert torch.equal(folder.load("1").weights["w"], torch.full((2, 3), value)) or value != value
    assert torch.isnan(folder.load("1").weights["w"]).all() == (value != value)


def test_the_last_five_and_the_best_are_kept(folder: CheckpointFolder) -> None:
    for step in range(1, 10):
        folder.save(make(step), best=step == 2)
    assert sorted(folder.steps()) == [2, 5, 6, 7, 8, 9]
    assert folder.best() == 2
    assert (folder.load("best").step, folder.load("last").step, folder.load("6").step) == (2, 9, 6)
    folder.save(make(10), best=True)
    assert sorted(folder.steps()) == [6, 7, 8, 9, 10], "the former best is an ordinary old one now"


def test_after_a_resume_from_before_the_new_ones_are_the_last(folder: CheckpointFolder) -> None:
    for step in (100, 200, 300, 400, 500):
        folder.save(make(step))
    for step in (150, 200, 250):
        folder.save(make(step, value=2.0))
    assert folder.steps() == [400, 500, 150, 200, 250]
    assert folder.load("last").step == 250
    assert folder.load("200").weights["w"][0, 0] == 2.0


def test_a_step_saved_twice_holds_the_later(folder: CheckpointFolder) -> None:
    folder.save(make(3, 1.0))
    folder.save(make(3, 2.0), best=True)
    assert folder.load("3").weights["w"][0, 0] == 2.0 and folder.steps() == [3] and folder.best() == 3


@pytest.mark.parametrize("moment", ["_write_file", "_sync_folder"])
def test_a_kill_at_any_moment_leaves_the_earlier_ones_whole(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder.save(make(1))
    original, calls, kill_at = getattr(module, moment), [0], [0]

    def dies(path: Path, *rest: bytes) -> None:
        calls[0] += 1
        if calls[0] == kill_at[0]:
            raise KeyboardInterrupt  # like a kill: no cleaning up is done for it
        original(path, *rest)

    monkeypatch.setattr(module, moment, dies)
    died = 0
    for kill_at[0] in range(1, 12):
        calls[0] = 0
        try:
            folder.save(make(1, value=5.0))
        except KeyboardInterrupt:
            died += 1
        reopened = CheckpointFolder(folder.folder)
        assert reopened.steps() == [1]
        assert float(reopened.load("1").weights["w"][0, 0]) in (1.0, 5.0)
    assert died >= 4


def test_a_kill_between_the_two_renames_loses_nothing_and_is_mended_at_the_next_save(folder: CheckpointFolder) -> None:
    path = folder.save(make(4, 3.0))
    path.rename(path.with_name(".replaced-step-000000004"))
    (folder.folder / ".saving-1").mkdir()
    assert folder.steps() == [4] and folder.load("last").weights["w"][0, 0] == 3.0
    assert not path.exists(), "a reader changes nothing: the folder may be another worker's"
    folder.save(make(5))
    assert sorted(entry.name for entry in folder.folder.iterdir()) == ["step-000000004", "step-000000005"]


def test_a_full_disk_is_one_sentence_and_harms_nothing(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.save(make(1))

    def full(path: Path, blob: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_write_file", full)
    with pytest.raises(
        CheckpointError, match=r"the checkpoint of step 2 could not be written: .*No space left on device"
    ):
        folder.save(make(2))
    assert CheckpointFolder(folder.folder).load("last").step == 1
    assert [path.name for path in folder.folder.iterdir()] == ["step-000000001"]


@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "tokenizer.json", "state.json"])
@pytest.mark.parametrize("harm", ["cut", "flipped", "gone", "empty"])
def test_a_broken_checkpoint_names_those_that_can_be_used(folder: CheckpointFolder, name: str, harm: str) -> None:
    folder.save(make(1), best=True)
    path = folder.save(make(2)) / name
    folder.save(make(3))
    blob = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "flipped" and name != "state.json":
        path.write_bytes(blob[:-1] + bytes([blob[-1] ^ 1]))
    else:
        path.write_bytes(blob[: len(blob) // 2] if harm != "empty" else b"")
    sentence = r"the checkpoint of step 2 is broken \(.*\); those of these steps can be used: 1 \(best\), 3$"
    with pytest.raises(CheckpointError, match=sentence) as caught:
        folder.load("2")
    assert "\n" not in str(caught.value)
    assert folder.load("3").step == 3


def test_a_state_of_the_wrong_form_is_broken_too(folder: CheckpointFolder) -> None:
    path = folder.save(make(1)) / "state.json"
    for content in ("[]", "{}", "null", json.dumps({"sha256": {"weights.safetensors": "0"}, "state": {}})):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r"step 1 is broken .* the run has no other checkpoint"):
            folder.load("1")


def test_what_is_not_there_is_said_with_what_is(folder: CheckpointFolder) -> None:
    with pytest.raises(CheckpointError, match=r"there is no checkpoint 'last' in .*; the run has no other checkpoint"):
        folder.load("last")
    folder.save(make(5))
    for which in ("best", "7"):
        with pytest.raises(CheckpointError, match=f"no checkpoint '{which}' .* can be used: 5"):
            folder.load(which)


def test_a_best_that_was_removed_by_hand_is_forgotten(folder: CheckpointFolder) -> None:
    shutil.rmtree(folder.save(make(5), best=True))
    assert folder.best() is None


def test_references() -> None:
    assert parse_reference("20261120-1-ab") == ("20261120-1-ab", "last")
    assert parse_reference("r:best") == ("r", "best") and parse_reference("r:500") == ("r", "500")
