"""Recording: real small runs become logs that read back as they were, labels stay out of them, and nothing is half written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.zoo import record as recorder
from benchmarks.zoo import retell, texts, training
from benchmarks.zoo.feeds import InOrder, Ramp
from benchmarks.zoo.harm import Pair
from benchmarks.zoo.reporter import FastWall, Recording, rounded
from benchmarks.zoo.spec import Case
from benchmarks.zoo.storage import (
    load,
    outcomes,
    path_of,
    read_manifest,
    recorded,
    save,
    stale,
    unpaired,
    write_manifest,
)
from trainer.config import TrainConfig

TINY: dict[str, Any] = {
    "n_layer": 1, "n_head": 1, "n_embd": 8, "n_ff": 8, "context_length": 8, "batch_size": 2, "max_steps": 6, "warmup_steps": 0,
    "tokenizer": "char", "eval_interval": 3, "eval_batches": 1, "sample_interval": 0, "checkpoint_interval": 0, "device": "cpu",
    "learning_rate": 1e-3, "min_learning_rate": 1e-3,
}  # fmt: skip


def case(**changes: Any) -> Case:
    """A tiny case on made-up sums; settings are added to the tiny ones."""
    settings = {**TINY, **changes.pop("settings", {})}
    return Case(**{"family": "tiny", "seed": 0, "text": "sums", **changes, "settings": settings})


def series(events: list[dict[str, Any]], name: str) -> dict[int, float]:
    return {event["step"]: event[name] for event in events if name in event}


def test_a_run_is_recorded_with_the_config_it_declares_and_not_with_its_illness(tmp_path: Path) -> None:
    events = training.train(
        case(settings={"fault": "log-zero", "fault_step": 4}, expected=("non-finite-loss",)), tmp_path
    )
    config = events[0]["config"]
    assert config["max_steps"] == 6 and config["actual_vocab_size"] == config["vocab_size"] > 10
    assert not any("fault" in name for name in config)
    losses = series(events, "train/loss")
    assert math.isfinite(losses[3]) and losses[4] == math.inf and math.isnan(losses[5])
    assert list(series(events, "val/loss")) == [0, 3, 6] and events[-1] == {"type": "state", "state": "finished"}


def test_what_the_run_says_of_its_data_is_recorded(tmp_path: Path) -> None:
    events = training.train(case(settings={"fault": "tiny-data"}, expected=("poor-data",)), tmp_path)
    (told,) = (event for event in events if event["type"] == "data")
    assert told["train_tokens"] < told["characters"] / 40 and told["step"] == 0
    assert events.index(told) < next(at for at, event in enumerate(events) if event["type"] == "metrics")


def test_numbers_that_are_not_finite_come_back_from_disk(tmp_path: Path) -> None:
    events = [
        {"type": "metrics", "step": n, "train/loss": x} for n, x in enumerate((math.nan, math.inf, -math.inf, 1.5))
    ]
    save(case(), events, tmp_path)
    first, *others = [event["train/loss"] for event in load(case(), tmp_path)]
    assert math.isnan(first) and others == [math.inf, -math.inf, 1.5]
    assert math.isnan(rounded(math.nan)) and rounded(-math.inf) == -math.inf and rounded(1.2345678) == 1.2346


def test_the_same_events_give_the_same_bytes_and_the_manifest_counts_them(tmp_path: Path) -> None:
    events = [{"type": "metrics", "step": 1, "train/loss": 2.0}]
    before = save(case(), events, tmp_path).read_bytes()
    assert save(case(), events, tmp_path).read_bytes() == before
    sick = case(family="other", expected=("divergence",))
    manifest = write_manifest([case(), sick], tmp_path)
    assert manifest["planned"] == {"sick": 1, "healthy": 1} and manifest["recorded"] == {"sick": 0, "healthy": 1}
    assert list(read_manifest("tune", tmp_path)) == ["tiny-00"] and recorded([case(), sick], tmp_path) == [case()]


def test_a_log_keeps_the_plan_that_it_was_recorded_under(tmp_path: Path) -> None:
    events = [{"type": "metrics", "step": 1, "train/loss": 2.0}]
    other = case(settings={"max_steps": 7})
    save(case(), events, tmp_path)
    write_manifest([case()], tmp_path)
    write_manifest([other], tmp_path)
    assert stale([other], tmp_path) == [other] and stale([case()], tmp_path) == []
    save(other, [*events, *events], tmp_path)
    write_manifest([other], tmp_path)
    assert stale([other], tmp_path) == [], "recorded again"


def test_a_shaped_rate_is_what_was_trained_with(tmp_path: Path) -> None:
    rates = series(training.train(case(shape="linear"), tmp_path), "train/learning_rate")
    assert [rates[step] for step in (1, 3, 5)] == pytest.approx([1e-3 * 5 / 6, 1e-3 * 3 / 6, 1e-3 / 6], rel=1e-4)


def test_a_resume_rewinds_to_its_checkpoint_and_logs_the_steps_again(tmp_path: Path) -> None:
    settings = {"max_steps": 9, "checkpoint_interval": 4}
    events = training.train(case(start="resume", settings=settings), tmp_path)
    at = events.index({"type": "rewind", "step": 4})
    assert max(series(events[:at], "train/loss")) == 6 and min(series(events[at:], "train/loss")) == 5
    assert series(events[:at], "train/loss")[6] == series(events[at:], "train/loss")[6], "the same steps, exactly"


def test_a_fine_tune_starts_lower_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "PRETRAINING_STEPS", 60)
    settings = {"tokenizer": "byte", "n_embd": 16, "learning_rate": 1e-3}
    monkeypatch.setattr(training, "PRETRAINING_TEXT", {"sums": "sums"})
    scratch = training.train(case(settings=settings), tmp_path)
    tuned = training.train(case(start="finetune", settings=settings), tmp_path)
    assert series(tuned, "val/loss")[0] < series(scratch, "val/loss")[0] - 0.3
    assert tuned[0]["config"]["resume"] and not scratch[0]["config"]["resume"]


def test_a_smoothed_log_is_a_moving_average_that_keeps_nan() -> None:
    run = Recording(lambda: 0.0)
    run.smooth, run.only = 0.5, frozenset({"train/loss"})
    for step, value in enumerate((4.0, 2.0, math.nan, 1.0)):
        run.log({"train/loss": value, "train/grad_norm": 1.0}, step)
    first, second, *bad = [event["train/loss"] for event in run.events]
    assert (first, second) == (4.0, 3.0) and all(math.isnan(value) for value in bad)
    assert "train/grad_norm" not in run.events[0]


def test_an_hour_is_recorded_in_no_time(tmp_path: Path) -> None:
    events = training.train(case(settings={"fault": "hang", "fault_step": 4}, expected=("stalled-run",)), tmp_path)
    ticks = [event for event in events if event["type"] == "clock"]
    times = series([event for event in events if event["type"] == "metrics"], "time")
    assert times[4] - times[3] >= 3600 > times[5] - times[4]
    waits = [round(tick["time"] - times[3]) for tick in ticks]
    assert waits[0] == 60 and 3000 <= waits[-1] <= 3600, "what a server says meanwhile"
    wall = FastWall()
    wall.sleep(5.0)
    assert wall.clock() >= 5.0


def test_what_is_recorded_already_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [case(), case(seed=1)]
    monkeypatch.setattr(recorder, "cases", lambda half: planned)
    save(planned[0], [{"type": "state", "state": "stopped"}], tmp_path)
    write_manifest(planned, tmp_path)
    assert recorder.main(["--folder", str(tmp_path)]) == 0
    assert "recorded {'sick': 0, 'healthy': 2}" in capsys.readouterr().out
    assert load(planned[0], tmp_path)[0]["state"] == "stopped" and path_of(planned[1], tmp_path).is_file()
    assert recorder.main(["--list", "--folder", str(tmp_path)]) == 0 and "missing" not in capsys.readouterr().out


def test_a_sick_run_is_recorded_beside_its_healthy_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ill = case(family="ill", settings={"fault": "rate-x1000", "eval_interval": 2}, expected=("divergence",))
    slow = case(
        family="slow", settings={"fault": "hang", "fault_step": 3}, expected=("stalled-run",), harm="injury", onset=3
    )
    monkeypatch.setattr(recorder, "cases", lambda half: [ill, slow])
    assert recorder.main(["--folder", str(tmp_path)]) == 0
    ended = outcomes([ill, slow], tmp_path)
    pair, alone = ended["ill-00"], ended["slow-00"]
    assert isinstance(pair, Pair) and pair.twin is not None and pair.own.first == pair.twin.first != pair.own.last
    assert isinstance(alone, Pair) and alone.twin is None, "the injury counts of itself"
    assert unpaired([ill, slow], tmp_path) == []
    changed = case(family="ill", settings={**ill.settings}, expected=("divergence",), cure={"grad_clip": 0.5})
    assert unpaired([changed], tmp_path) == [changed], "another twin than the one that was trained"


def test_a_ramp_grows_and_a_text_in_order_begins_at_its_start() -> None:
    config = TrainConfig(**{**TINY, "batch_size": 16, "max_steps": 8})
    tokens = np.arange(2000, dtype=np.uint16)
    sizes = [len(Ramp(tokens, config).draw(step, 0)[0]) for step in range(1, 9)]
    assert sizes == [2, 2, 4, 4, 8, 8, 16, 16]
    ids, targets = InOrder(tokens, config).draw(1, 0)
    assert ids.flatten().tolist() == list(range(128)) and torch.equal(targets, ids + 1)


def test_modular_addition_is_learned_by_heart_before_it_is_understood(tmp_path: Path) -> None:
    settings = {"modulus": 13, "n_embd": 32, "learning_rate": 3e-3, "weight_decay": 1.0, "max_steps": 200, "log_interval": 10,
                "eval_interval": 50, "seed": 1}  # fmt: skip
    events = training.train(Case(family="g", seed=0, settings=settings, text="", start="modular"), tmp_path)
    train, val = series(events, "train/loss"), series(events, "val/loss")
    assert train[200] < 0.1 < 2.0 < val[0] < max(val.values()) and events[0]["config"]["vocab_size"] == 13


def test_an_unknown_family_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert recorder.main(["--only", "gremlins"]) == 2
    assert "--only gremlins is no family; families are: accumulation," in capsys.readouterr().err


def test_the_made_up_texts_are_long_enough_and_what_they_say_is_true(tmp_path: Path) -> None:
    for name in ("sums", "words"):
        text = texts.text(name, tmp_path)
        assert len(text) > 150_000 and len(set(text)) < 30
    for line in texts.text("sums", tmp_path).splitlines()[:50]:
        left, _, right = line.partition("=")
        assert sum(map(int, left.split("+"))) == int(right)
    with pytest.raises(KeyError):
        texts.text("poems", tmp_path)


def test_kept_logs_are_completed_without_training_and_then_are_as_if_recorded_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = case(
        settings={"fault": "tiny-data", "checkpoint_interval": 4, "max_steps": 9},
        expected=("poor-data",),
        start="resume",
    )
    monkeypatch.setattr(recorder, "cases", lambda half: [ill])
    monkeypatch.setattr(retell, "cases", lambda half: [ill])
    assert recorder.main(["--folder", str(tmp_path)]) == 0
    whole = load(ill, tmp_path)
    save(ill, [event for event in whole if event["type"] != "data"], tmp_path)
    write_manifest(
        [ill], tmp_path, {name: pair for name, pair in outcomes([ill], tmp_path).items() if isinstance(pair, Pair)}
    )
    assert retell.main(["--folder", str(tmp_path)]) == 0
    assert load(ill, tmp_path) == whole and unpaired([ill], tmp_path) == stale([ill], tmp_path) == []
