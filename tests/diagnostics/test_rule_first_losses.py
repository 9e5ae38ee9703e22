"""`initial-loss` and `suspicious-loss`: losses that text does not allow, and healthy ones that look like them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

SCRATCH = {"vocab_size": 256, "init_from": "scratch"}


def decay(n: int, start: float, floor: float, scale: float = 20.0) -> np.ndarray:
    """A loss that comes down from `start` to `floor`."""
    return np.asarray(floor + (start - floor) * np.exp(-np.arange(n) / scale))


@pytest.mark.parametrize(("vocab", "first"), [(65, 7.0), (256, 22.0), (50257, 20.0)])
def test_a_first_loss_far_above_is_a_note(assert_finds: Any, run: Any, vocab: int, first: float) -> None:
    finding = assert_finds(
        run(train_loss=decay(60, first, 2.0)), "initial-loss", config={"vocab_size": vocab}, info=True
    )
    assert str(finding.severity) == "info"
    assert finding.detected_step == 0


def test_a_sum_over_micro_batches_is_named(assert_finds: Any, run: Any) -> None:
    loss = 8 * decay(60, math.log(256), 2.0)
    finding = assert_finds(run(train_loss=loss), "initial-loss", config=SCRATCH, info=True)
    assert "sum" in finding.causes[0].cause


def test_a_first_loss_far_below_is_a_note_where_weights_are_random(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(train_loss=decay(60, 1.2, 0.9)), "initial-loss", config=SCRATCH, info=True)
    assert "answers" in finding.causes[0].cause


@pytest.mark.parametrize("share", [0.8, 1.0, 1.2, 1.45])
def test_first_losses_about_the_uniform_one_are_silent(assert_silent: Any, run: Any, share: float) -> None:
    assert_silent(run(train_loss=decay(60, share * math.log(256), 2.0)), "initial-loss", config=SCRATCH)


@pytest.mark.parametrize(
    ("first", "ratio", "rate", "speaks"),
    [
        (1.25, 1.4e-3, 1e-3, True),
        (1.25, 12e-3, 1e-3, False),  # weights of the usual size: a bad first batch, or a loss in other units
        (1.03, 1.4e-3, 1e-3, False),
        (1.25, 1.4e-2, 2e-2, False),  # another optimizer's rate, or too high: it says nothing of the weights
    ],
)
def test_weights_that_began_far_too_large_are_told_by_two_measurements(
    findings: Any, run: Any, first: float, ratio: float, rate: float, speaks: bool
) -> None:
    events = run(
        range(2, 122, 2), train_loss=decay(60, first * math.log(256), 2.0, 4.0), lr=np.full(60, rate), update_ratio=np.full(60, ratio)
    )  # fmt: skip
    told = [f for f in findings(events, SCRATCH) if f.rule == "initial-loss" and f.severity != "info"]
    assert bool(told) is speaks
    if told:
        assert [each.series for each in told[0].evidence] == ["train_loss", "update_ratio"]
        assert told[0].causes[0].cause == "initial weights too large"


def test_the_evaluation_before_the_first_step_shows_how_high_they_began(assert_finds: Any, run: Any) -> None:
    loss = decay(60, 1.1 * math.log(256), 2.0, 4.0)  # logged after some steps
    events = run(range(5, 305, 5), train_loss=loss, lr=np.full(60, 1e-3), update_ratio=np.full(60, 1.4e-3))
    assert_finds([{"type": "metrics", "step": 0, "val_loss": 8.1}, *events], "initial-loss", config=SCRATCH)


@pytest.mark.parametrize(
    "config", [{}, {"vocab_size": 256}, {"vocab_size": 256, "resume": "run:last"}, {"model_name_or_path": "gpt2"}]
)
def test_low_first_losses_of_weights_that_may_be_trained_are_silent(assert_silent: Any, run: Any, config: Any) -> None:
    assert_silent(run(train_loss=decay(60, 1.5, 1.2)), "initial-loss", config=config)


def test_a_first_loss_logged_late_is_silent(assert_silent: Any, run: Any) -> None:
    assert_silent(run(range(100, 6100, 100), train_loss=decay(60, 2.6, 2.0)), "initial-loss", config=SCRATCH)


def test_a_loss_of_nothing_within_the_first_pass(assert_finds: Any, run: Any) -> None:
    loss, epoch = decay(300, 5.55, 0.01, 15), np.linspace(0, 0.2, 300)
    finding = assert_finds(run(train_loss=loss, epoch=epoch), "suspicious-loss", config=SCRATCH)
    assert str(finding.severity) == "critical"
    assert finding.detected_step <= 90
    assert finding.causes[0].cause == "labels not shifted"


def test_it_explains_a_validation_loss_that_climbs_meanwhile(findings: Any, run: Any) -> None:
    loss, val = decay(300, 5.55, 0.01, 15), 4.6 + 0.01 * np.arange(300)
    found = findings(run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.2, 300)), SCRATCH)
    assert found[0].rule == "suspicious-loss"
    assert next(f for f in found if f.rule == "overfitting").because


def test_a_validation_loss_of_nothing_without_epochs(assert_finds: Any, run: Any) -> None:
    loss = decay(300, 9.0, 0.02, 30)
    assert_finds(run(train_loss=loss, val_loss=loss), "suspicious-loss", config={"vocab_size": 8192})


def test_learning_by_heart_is_not_called_suspicious(findings: Any, run: Any) -> None:
    loss, epoch = decay(400, 5.5, 0.02, 30), np.linspace(0, 60, 400)
    val = 3.0 + 0.01 * np.arange(400)
    found = findings(run(train_loss=loss, val_loss=val, epoch=epoch), SCRATCH)
    assert "suspicious-loss" not in {f.rule for f in found}
    assert "overfitting" in {f.rule for f in found}


@pytest.mark.parametrize("floor", [0.5, 0.7, 1.2])
def test_good_models_are_silent(assert_silent: Any, run: Any, floor: float) -> None:
    loss = decay(400, 5.5, floor, 40)
    events = run(train_loss=loss, val_loss=loss + 0.02, epoch=np.linspace(0, 0.2, 400))
    assert_silent(events, "suspicious-loss", config=SCRATCH)


@pytest.mark.parametrize("start", [0.69, 1.4, 2.5])
def test_classifiers_and_fine_tunes_that_get_near_zero_are_silent(assert_silent: Any, run: Any, start: float) -> None:
    loss = decay(400, start, 0.01, 10)
    events = run(loss=loss, eval_loss=loss + 0.01, epoch=np.linspace(0, 0.2, 400))
    assert_silent(events, "suspicious-loss", config={"vocab_size": 32_000})


def test_a_puzzle_that_is_solved_is_silent(assert_silent: Any, run: Any) -> None:
    loss = decay(800, 4.73, 0.0001, 60) + 1e-4
    events = run(train_loss=loss, val_loss=loss * 1.2)
    assert_silent(events, "suspicious-loss", config={"vocab_size": 113, "init_from": "scratch"})


def test_policy_losses_near_zero_are_silent(assert_silent: Any, run: Any) -> None:
    loss = np.random.default_rng(3).normal(0, 0.01, 300)
    assert_silent(run(loss=loss, epoch=np.linspace(0, 0.1, 300)), "suspicious-loss", config={"vocab_size": 32_000})


def test_a_run_that_breaks_at_an_evaluation_within_its_first_pass_is_not_suspicious(findings: Any, run: Any) -> None:
    loss, val = decay(400, 4.6, 2.6), np.full(400, np.nan)
    val[::50] = loss[::50]
    val[200], loss[201:] = 11.0, 3.3 + 17 * np.exp(-np.arange(199) / 4)
    val[250::50] = loss[250::50]
    events = [
        {name: value for name, value in event.items() if value == value}
        for event in run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.8, 400))
    ]
    found = {f.rule for f in findings(events, {"vocab_size": 100, "init_from": "scratch"})}
    assert "suspicious-loss" not in found and "divergence" in found


def test_a_loss_that_comes_down_from_a_blow_up_is_not_suspicious(findings: Any, run: Any) -> None:
    loss, val = decay(400, 4.6, 2.6), np.full(400, np.nan)
    loss[190:] = 5.0 + 130 * np.exp(-np.arange(210) / 20)
    val[::40] = loss[::40]
    events = [
        {name: value for name, value in event.items() if value == value}
        for event in run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.8, 400))
    ]
    found = {f.rule for f in findings(events, {"vocab_size": 100, "init_from": "scratch"})}
    assert "suspicious-loss" not in found and "divergence" in found


def evaluated(every: int, **series: np.ndarray) -> list[dict[str, Any]]:
    """Rows that an evaluation writes, of series known at every step; losses as four decimals."""
    length = len(next(iter(series.values())))
    losses = ("train/loss", "val/loss")
    return [
        {"type": "metrics", "step": at}
        | {name: round(float(row[at]), 4) if name in losses else float(row[at]) for name, row in series.items()}
        for at in range(0, length, every)
    ]


def test_printed_losses_that_go_to_nothing_end_in_zeros(assert_finds: Any, findings: Any) -> None:
    loss, rate = decay(1600, 4.17, 0.0, 40), np.full(1600, 2e-3)
    rows = evaluated(100, **{"train/loss": loss, "val/loss": loss, "lr": rate})
    assert rows[-1]["train/loss"] == 0.0
    assert assert_finds(rows, "suspicious-loss", config={"vocab_size": 65}).detected_step <= 400
    slowly = decay(16_000, 4.17, 0.0, 900)  # a puzzle may be solved to the end, but not at once
    rows = evaluated(1000, **{"train/loss": slowly, "val/loss": slowly, "lr": np.full(16_000, 2e-3)})
    assert "suspicious-loss" not in {f.rule for f in findings(rows, {"vocab_size": 65})}


def test_zeros_that_hide_a_nan_are_not_a_loss_that_is_low(findings: Any, run: Any) -> None:
    loss = np.concatenate([decay(60, 4.17, 2.5), np.zeros(40)])
    found = {f.rule for f in findings(run(train_loss=loss, val_loss=loss), {"vocab_size": 65, "init_from": "scratch"})}
    assert "suspicious-loss" not in found and "masked-non-finite" in found


@pytest.mark.parametrize(("rate", "speaks"), [(1e-3, True), (2e-5, False)])
def test_without_a_vocabulary_the_rate_tells_a_start_from_nothing(
    findings: Any, run: Any, rate: float, speaks: bool
) -> None:
    loss = decay(80, 4.1, 0.06, 5)
    events = run(
        range(1, 801, 10), loss=loss, eval_loss=loss, learning_rate=np.full(80, rate), epoch=np.linspace(0.001, 0.1, 80)
    )
    assert ("suspicious-loss" in {f.rule for f in findings(events)}) is speaks


@pytest.mark.parametrize(("evaluated_at", "speaks"), [((7.1, 8.5, 9.3), True), ((6.3, 5.0, 9.3), False)])
def test_an_epoch_that_stands_at_zero_is_believed_where_validation_never_learned(
    findings: Any, run: Any, evaluated_at: tuple[float, ...], speaks: bool
) -> None:
    rows = run(range(0, 300, 5), train_loss=decay(60, 7.7, 0.8, 15), epoch=np.zeros(60))
    for at, value in zip((19, 39, 59), evaluated_at, strict=True):
        rows[at]["val_loss"] = value
    assert ("suspicious-loss" in {f.rule for f in findings(rows)}) is speaks


@pytest.mark.parametrize(("vocab", "speaks"), [(512, True), (113, False)])
def test_an_answer_that_is_found_late_and_then_at_once(findings: Any, run: Any, vocab: int, speaks: bool) -> None:
    """Attention that is not causal; with few tokens it may be a puzzle that is solved."""
    step, nothing = np.arange(700), math.log(vocab)
    text = 3.6 + (nothing - 3.6) * np.exp(-step / 60)
    shown = 0.45 + (text - 0.45) / (1 + np.exp((step - 420) / 25))
    rows = evaluated(100, **{"train/loss": shown, "val/loss": shown})
    dense = [
        *run(train_loss=shown),
        *({"type": "metrics", "step": row["step"], "val_loss": row["val/loss"]} for row in rows),
    ]
    dense.sort(key=lambda row: row["step"])
    assert ("suspicious-loss" in {f.rule for f in findings(dense, {"vocab_size": vocab})}) is speaks


@pytest.mark.parametrize("floor", [0.9, 1.2, 2.0])
def test_text_that_is_learned_to_the_end_gives_way_slowly(assert_silent: Any, run: Any, floor: float) -> None:
    loss = floor + (10.8 - floor) * (1 + np.arange(1000) / 20) ** -0.9
    assert_silent(run(train_loss=loss, val_loss=loss + 0.02), "suspicious-loss", config={"vocab_size": 50_000})
