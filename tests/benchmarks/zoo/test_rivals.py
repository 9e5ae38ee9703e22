"""Other tools as judges: the written-down rules fire where their documentation says, and words are scored in their favour."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.zoo import baselines, compare, peer_driver, rivals
from benchmarks.zoo.harm import Outcome, Pair
from benchmarks.zoo.spec import Case
from benchmarks.zoo.storage import save, write_manifest
from diagnostics.rules import RULES

SICK = Case(family="ill", seed=0, settings={}, text="docs", expected=("non-finite-loss",), onset=6, harm="injury")
WELL = Case(family="well", seed=0, settings={}, text="docs")


def log(losses: Sequence[float], name: str = "train/loss", every: int = 1) -> list[dict[str, Any]]:
    return [{"type": "metrics", "step": every * at, name: loss} for at, loss in enumerate(losses, 1)]


def both(train: float, val: Sequence[float]) -> list[dict[str, Any]]:
    return [{"type": "metrics", "step": at, "train/loss": train, "val/loss": loss} for at, loss in enumerate(val, 1)]


def test_sagemakers_loss_not_decreasing_looks_every_ten_steps() -> None:
    assert baselines.loss_not_decreasing(log([3.0] * 30)) == 10
    assert baselines.loss_not_decreasing(log([3.0 * 0.999**n for n in range(60)])) is None
    assert baselines.loss_not_decreasing(log([3.0] * 10 + [3.1])) is None, "a rise below 5 % is allowed"
    assert baselines.loss_not_decreasing(log([3.0] * 10 + [3.2])) == 10


def test_sagemakers_overfit_and_overtraining() -> None:
    assert baselines.overfit(both(2.0, [2.1, 2.15, 2.3])) == 2 and baselines.overfit(both(2.0, [2.1] * 9)) is None
    assert baselines.overtraining(both(2.0, [2.0] * 12)) == 11 and baselines.overtraining(both(2.0, [2.0] * 11)) is None


def test_sagemakers_tensor_rules_on_what_a_log_holds() -> None:
    assert baselines.exploding_tensor(log([1.0, math.inf])) == 1 and baselines.exploding_tensor(log([1.0])) is None
    assert baselines.vanishing_gradient(log([1e-3, 1e-8], "train/grad_norm")) == 1
    assert baselines.vanishing_gradient(log([1.0])) is None
    assert baselines.weight_update_ratio(log([1e-3, 1e-9], "train/update_ratio")) == 1
    assert baselines.weight_update_ratio(log([1e-3, 11.0], "train/update_ratio")) == 1
    timed = [{"type": "metrics", "step": n, "time": at} for n, at in enumerate((0.0, 1700.0, 3600.0))]
    assert baselines.stalled_training(timed) == 2 and baselines.stalled_training(timed[:2]) is None


def test_lightnings_early_stopping_waits_three_evaluations_and_looks_at_finite_ones_only() -> None:
    assert baselines.early_stopping(log([2.0, 1.9, 1.95, 1.95, 1.95], "val/loss")) == 4
    assert baselines.early_stopping(log([2.0, 1.9, 1.95, 1.95, 1.8], "val/loss")) is None
    assert baselines.early_stopping(log([2.0, math.nan], "val/loss")) == 1


def test_lightnings_spike_is_twice_the_running_mean_above_it() -> None:
    assert (
        baselines.spike_detection(log([1.0] * 12 + [2.9])) is None
        and baselines.spike_detection(log([1.0] * 12 + [3.1])) == 12
    )
    assert baselines.spike_detection(log([1.0, math.nan])) == 1


def test_every_word_stands_for_rules_that_exist() -> None:
    known = {rule.id for rule in RULES} | {"duplicate-data", "poor-data", "train-val-overlap", "stalled-run"}
    assert set().union(*rivals.ANSWERS.values()) <= known
    assert set(baselines.SAGEMAKER) | set(baselines.LIGHTNING) <= set(rivals.ANSWERS)


def test_a_word_counts_from_the_onset_and_for_what_it_stands_for() -> None:
    events = log([2.0] * 6 + [math.nan] * 3)
    marked = rivals.mark(SICK, events, [("LossNotDecreasing", 2), ("ExplodingTensor", 7)], None)
    assert marked.right == ("ExplodingTensor",) and marked.delay == 3 and marked.first == "LossNotDecreasing"
    early = rivals.mark(SICK, events, [("ExplodingTensor", 1)], None)
    assert early.spoke and not early.found, "before the illness it was a guess"


def test_rows_carry_the_names_that_the_peers_know() -> None:
    event = {"type": "metrics", "step": 3, "train/loss": 2.0, "train/learning_rate": 1e-3, "train/grad_norm_first": 1.0}
    assert rivals.rows([{"type": "config", "config": {}}, event]) == [{"step": 3, "loss": 2.0, "lr": 1e-3}]


def test_peers_that_are_not_there_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(rivals.PeerError, match="there is no interpreter"):
        rivals.ask_peers(tmp_path / "python", [])
    with pytest.raises(rivals.PeerError, match=r"pip install trainproof==0\.22\.0 training-doctor==0\.1\.0"):
        rivals.ask_peers(Path(sys.executable), [("a", log([1.0]))])


def test_the_peers_are_asked_run_by_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(_stand_ins(tmp_path))
    rows = rivals.rows(log([1.0, 1.0, math.nan]))
    assert peer_driver.trainproof(rows, tmp_path) == [("TP-NAN", 2)]
    assert peer_driver.training_doctor(rows) == [("lr_too_high", 2)]


def test_the_command_puts_all_tools_in_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "cases", lambda half: [SICK, WELL])
    save(SICK, log([3.0, 2.9, 2.8, 2.7, 2.6, 2.5, math.nan]), tmp_path)
    save(WELL, log([3.0] * 20), tmp_path)
    own = Outcome(train=1.0, first=4.0, best=1.0, last=1.0, finite=True)
    write_manifest([SICK, WELL], tmp_path, {SICK.name: Pair(own=own, twin=None, excess=math.nan)})
    assert compare.main(["--folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "| Runwell | 1 of 1 (100 %) | 1 of 1 (100 %) | 1 of 1 (100 %) | 0 of 1 (0 %) |" in text
    assert "| SageMaker Debugger rules | 1 of 1 (100 %) | 1 of 1 (100 %) | 1 of 1 (100 %) | 1 of 1 (100 %) |" in text
    assert "no --peers-python was given" in text
    assert compare.main(["--folder", str(tmp_path), "--peers-python", str(tmp_path / "nowhere")]) == 2
    assert "there is no interpreter" in capsys.readouterr().err


def _stand_ins(folder: Path) -> Path:
    """Two packages with the few names that the driver uses of the real ones."""
    (folder / "trainproof").mkdir()
    (folder / "trainproof" / "__init__.py").touch()
    (folder / "trainproof" / "epoch.py").write_text(
        "def check_epoch(path):\n"
        "    bad = 'NaN' in path.read_text()\n"
        "    return {'findings': [{'id': 'TP-NAN', 'level': 'FAIL'}, {'id': 'TP-THROUGHPUT', 'level': 'INFO'}] if bad else []}\n"
    )
    (folder / "training_doctor.py").write_text(
        "from types import SimpleNamespace as N\n"
        "class Doctor:\n"
        "    def log(self, step, loss):\n"
        "        return [N(detector_name='lr_too_high', severity=N(value='critical')),\n"
        "                N(detector_name='plateau', severity=N(value='info'))] if loss != loss else []\n"
    )
    return folder
