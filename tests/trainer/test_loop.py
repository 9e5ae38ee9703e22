"""The loop: what it reports, what it obeys, and that a resumed run equals an uninterrupted one bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainConfig
from trainer.data import Batch, Corpus, prepare
from trainer.errors import CheckpointError
from trainer.loop import Loop, mean_loss
from trainer.precision import Precision, choose
from trainer.session import Session, new_session, restore, to_checkpoint
from trainer.tokenizer import from_json

Make = Callable[..., TrainConfig]
MakeLoop = Callable[..., Loop]


def resumed(config: TrainConfig, folder: Path, which: str) -> Session:
    """A fresh session with a checkpoint in it, as a new process would have."""
    loaded = CheckpointFolder(folder).load(which)
    torch.manual_seed(999)  # whatever happened in this process before must not matter
    session = new_session(config, from_json(loaded.tokenizer), choose(config))
    restore(session, loaded)
    return session


def test_a_run_reports_its_points_evaluations_and_checkpoints(config: Make, make_loop: MakeLoop, run: Any) -> None:
    ending = make_loop(config()).train()
    assert (ending.state, ending.reason) == ("finished", "all 6 steps are done")
    assert list(run.series("train/loss")) == [1, 2, 3, 4, 5, 6]
    assert list(run.series("val/loss")) == [0, 3, 6]
    assert run.series("train/learning_rate")[3] == 1e-3 and run.series("train/learning_rate")[6] == 1e-4
    assert run.checkpoints[-1][0] == 6 and Path(run.checkpoints[-1][1]).is_dir()
    assert run.checkpoints[-1][2] == run.series("val/loss")[6]
    assert all(math.isfinite(value) for value in run.series("train/grad_norm").values())


def test_a_logged_point_is_the_mean_over_its_steps_and_passes(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    loop = make_loop(config(log_interval=3, accumulation_steps=2))
    record = loop._vitals.loss

    def spy(loss: torch.Tensor) -> None:
        seen.append(loss.item())
        record(loss)

    monkeypatch.setattr(loop._vitals, "loss", spy)
    loop.train()
    assert list(run.series("train/loss")) == [3, 6] and len(seen) == 12
    assert run.series("train/loss")[3] == pytest.approx(sum(seen[:6]) / 6, rel=1e-6)
    assert run.series("train/loss")[6] == pytest.approx(sum(seen[6:]) / 6, rel=1e-6)


def test_the_gradient_norm_is_measured_before_clipping(
    config: Make, make_loop: MakeLoop, tmp_path: Path, run: Any
) -> None:
    loop = make_loop(config(grad_clip=1e-3, max_steps=1))
    loop.train()
    assert run.series("train/grad_norm")[1] > 0.1


def test_the_update_ratio_is_logged_every_twenty_steps(config: Make, make_loop: MakeLoop, run: Any) -> None:
    make_loop(config(max_steps=45, eval_interval=100)).train()
    ratios = run.series("train/update_ratio")
    assert list(ratios) == [20, 40] and all(1e-5 < ratio < 1 for ratio in ratios.values())


def test_fp16_scales_the_loss_and_reports_gradients_of_true_size(
    config: Make, make_loop: MakeLoop, run: Any, corpus: Callable[[TrainConfig], Corpus]
) -> None:
    cfg = config(max_steps=8)
    plain = new_session(cfg, corpus(cfg).tokenizer, choose(cfg))
    make_loop(cfg, plain).train()
    norms = run.series("train/grad_norm")
    run.points.clear()
    half = Precision(device=torch.device("cpu"), dtype=torch.float16, reason="to test the scaler without a GPU")
    make_loop(cfg, new_session(cfg, plain.tokenizer, half)).train()
    assert set(run.series("train/loss_scale").values()) == {65536.0}
    assert run.series("train/grad_norm")[1] == pytest.approx(norms[1], rel=0.02)
    assert run.series("train/loss")[8] == pytest.approx(run.series("train/loss")[1], rel=0.5)


def test_an_fp16_overflow_is_seen_skipped_and_scaled_down(
    config: Make, make_loop: MakeLoop, run: Any, corpus: Callable[[TrainConfig], Corpus]
) -> None:
    cfg = config(max_steps=2)
    half = Precision(device=torch.device("cpu"), dtype=torch.float16, reason="to test the scaler without a GPU")
    session = new_session(cfg, corpus(cfg).tokenizer, half)
    session.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = session.model.tokens.weight.detach().clone()
    make_loop(cfg, session).train()
    assert not math.isfinite(run.series("train/grad_norm")[1])
    assert run.series("train/loss_scale")[2] < run.series("train/loss_scale")[1] < 2.0**40
    assert torch.equal(session.model.tokens.weight, before), "no step is made with such gradients"
    assert math.isfinite(run.series("train/loss")[2])


class _Fixed:
    """The same windows for any way of cutting them into passes."""

    def __init__(self, ids: torch.Tensor, targets: torch.Tensor, passes: int) -> None:
        self._parts = list(zip(ids.chunk(passes), targets.chunk(passes), strict=True))

    def draw(self, step: int, micro: int) -> Batch:
        return self._parts[micro]


def test_accumulating_small_batches_equals_one_big_batch(config: Make, make_loop: MakeLoop) -> None:
    ids, targets = torch.randint(0, 20, (8, 16)), torch.randint(0, 20, (8, 16))
    weights = []
    for batch_size, passes in ((8, 1), (4, 2), (2, 4)):
        loop = make_loop(config(batch_size=batch_size, accumulation_steps=passes, max_steps=3, beta1=0.5))
        loop.batches = _Fixed(ids, targets, passes)  # type: ignore[assignment]
        loop.train()
        weights.append(torch.cat([p.flatten() for p in loop.session.model.parameters()]).detach())
    assert torch.allclose(weights[0], weights[1], atol=1e-5) and torch.allclose(weights[0], weights[2], atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"dropout": 0.2, "accumulation_steps": 2, "sample_interval": 2}])
def test_resumed_equals_uninterrupted_bit_for_bit(
    config: Make, make_loop: MakeLoop, run: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    cfg = config(max_steps=9, checkpoint_interval=4, early_stopping_patience=50, **changes)
    whole = make_loop(cfg)
    whole.train()
    points = dict(run.series("train/loss"))
    run.points.clear()
    again = make_loop(cfg, resumed(cfg, tmp_path / "checkpoints", "4"))
    again.train()
    assert list(run.series("train/loss")) == [5, 6, 7, 8, 9]
    assert all(run.series("train/loss")[step] == points[step] for step in range(5, 10))
    for name, value in whole.session.model.state_dict().items():
        assert torch.equal(value, again.session.model.state_dict()[name]), name
    first, second = to_checkpoint(whole.session), to_checkpoint(again.session)
    assert first.optimizer.keys() == second.optimizer.keys()
    assert all(torch.equal(first.optimizer[name], second.optimizer[name]) for name in first.optimizer)
    assert first.state == second.state


def test_a_resume_keeps_live_settings_unless_another_clip_is_declared(
    config: Make, make_loop: MakeLoop, run: Any, tmp_path: Path
) -> None:
    run.before_step[2] = {"id": 1, "kind": "set", "args": {"learning_rate_factor": 0.5, "grad_clip": 0.25}}
    make_loop(config()).train()
    assert resumed(config(max_steps=9), tmp_path / "checkpoints", "last").live.learning_rate_factor == 0.5
    assert resumed(config(max_steps=9, grad_clip=2.0), tmp_path / "checkpoints", "last").live.grad_clip == 2.0


def test_a_checkpoint_of_another_model_is_refused_by_the_settings_that_differ(
    config: Make, make_loop: MakeLoop, tmp_path: Path
) -> None:
    make_loop(config()).train()
    sentence = "is of another model (n_layer = 2 there, 3 here; n_embd = 16 there, 32 here)"
    with pytest.raises(CheckpointError) as caught:
        resumed(config(n_layer=3, n_embd=32), tmp_path / "checkpoints", "last")
    assert sentence in str(caught.value)


def test_the_best_checkpoint_is_of_the_lowest_validation_loss(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    losses = iter([4.0, 3.0, 2.0, 2.5, math.nan, 2.2])
    monkeypatch.setattr("trainer.loop.mean_loss", lambda *_: next(losses))
    make_loop(config(max_steps=5, eval_interval=1)).train()
    assert CheckpointFolder(tmp_path / "checkpoints").best() == 2
    assert [step for step, _, _, best in run.checkpoints if best] == [1, 2]
    assert math.isnan(run.series("val/loss")[4]), "reported as it is"


def test_a_checkpoint_carries_a_validation_loss_only_if_it_was_evaluated(
    config: Make, make_loop: MakeLoop, run: Any
) -> None:
    make_loop(config(checkpoint_interval=2, eval_interval=3)).train()
    evaluated = run.series("val/loss")
    assert {step: loss for step, _, loss, _ in run.checkpoints} == {
        2: None, 3: evaluated[3], 4: None, 6: evaluated[6],
    }  # fmt: skip


def test_a_run_that_only_gets_worse_keeps_the_least_bad_and_says_so(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    losses = iter([4.0, 4.1, 4.3, math.nan])
    monkeypatch.setattr("trainer.loop.mean_loss", lambda *_: next(losses))
    ending = make_loop(config(max_steps=50, eval_interval=2, early_stopping_patience=3)).train()
    assert CheckpointFolder(tmp_path / "checkpoints").best() == 2
    assert ending.reason.startswith(
        "no better validation loss than 4.0000 for 3 evaluations; the best checkpoint is of step 2"
    )


def test_early_stopping_ends_the_run_and_says_why(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([4.0, 3.0, 2.5, 2.6, 2.7, 2.8, 2.9])
    monkeypatch.setattr("trainer.loop.mean_loss", lambda *_: next(losses))
    ending = make_loop(config(max_steps=100, eval_interval=5, early_stopping_patience=3)).train()
    assert ending.state == "finished"
    assert ending.reason == (
        "no better validation loss than 2.5000 for 3 evaluations; the best checkpoint is of step 10"
    )
    assert max(run.series("train/loss")) == 25 and run.checkpoints[-1][0] == 25
    losses = iter([4.0, 3.8, 3.6, 3.7])
    ending = make_loop(
        config(max_steps=100, eval_interval=5, early_stopping_patience=3, early_stopping_min_delta=0.5)
    ).train()
    assert ending.reason == (
        "no better validation loss than 4.0000 (by more than 0.5) for 3 evaluations; the best checkpoint is of step 10"
    )


def test_evaluation_is_a_weighted_mean_in_eval_mode_and_leaves_the_model_training(
    config: Make, corpus: Callable[[TrainConfig], Corpus]
) -> None:
    cfg = config(dropout=0.5)
    session = new_session(cfg, corpus(cfg).tokenizer, choose(cfg))
    ids = torch.randint(0, 10, (5, 16))
    whole = mean_loss(session, [(ids, ids)])
    assert mean_loss(session, [(ids[:4], ids[:4]), (ids[4:], ids[4:])]) == pytest.approx(whole, rel=1e-6)
    assert mean_loss(session, [(ids, ids)]) == whole, "dropout must not act"
    assert session.model.training


def test_samples_come_from_fixed_prompts_or_from_the_validation_text(
    config: Make, make_loop: MakeLoop, run: Any, text: str
) -> None:
    make_loop(config(sample_interval=4, prompts="the quick\n\nold oak")).train()
    assert [(step, prompt) for step, prompt, _ in run.samples] == [
        (4, "the quick"), (4, "old oak"), (6, "the quick"), (6, "old oak"),
    ]  # fmt: skip
    assert all(len(written) == 8 for _, _, written in run.samples)
    run.samples.clear()
    make_loop(config(sample_interval=6)).train()
    prompts = [prompt for _, prompt, _ in run.samples]
    assert len(prompts) == 2 and all(prompt in text[int(len(text) * 0.9) :] for prompt in prompts)


def test_a_model_of_nan_still_samples_evaluates_and_checkpoints(config: Make, make_loop: MakeLoop, run: Any) -> None:
    ending = make_loop(config(fault="log-zero", fault_step=1, sample_interval=3, checkpoint_interval=2)).train()
    assert ending.state == "finished" and [written for _, _, written in run.samples] == [""] * 4
    assert math.isnan(run.series("val/loss")[6]) and run.checkpoints[-1][0] == 6
    assert not any(best for *_, best in run.checkpoints)


def test_it_memorises_a_tiny_text(config: Make, tmp_path: Path, run: Any, make_loop: MakeLoop) -> None:
    cfg = config(
        n_embd=32, n_ff=64, context_length=32, batch_size=8, learning_rate=1e-2, warmup_steps=10, max_steps=500,
        eval_interval=500, temperature=0.0,
    )  # fmt: skip
    poem = (
        "In Xanadu did Kubla Khan a stately pleasure-dome decree: where Alph, the sacred river, ran through caverns. "
    )
    loop = make_loop(cfg, data=prepare(cfg, poem * 4, tmp_path / "tiny"))
    loop.train()
    losses = run.series("train/loss")
    assert losses[1] == pytest.approx(math.log(len(set(poem))), rel=0.1)
    assert losses[500] < 0.1
    loop.sample()
    prompt, written = run.samples[0][1:]
    assert prompt + written in poem * 2, "the text itself comes out"


def test_a_disk_that_refuses_is_told_and_training_goes_on(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, blob: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.checkpoint._write_file", full)
    run.before_step[5] = {"id": 1, "kind": "checkpoint", "args": {}}
    assert make_loop(config(checkpoint_interval=2, eval_interval=100)).train().state == "finished"
    assert {step for step, _, _ in run.alerts} == {2, 4, 6} and run.checkpoints == []
    assert run.alerts[0][1] == "A checkpoint could not be written" and "No space left on device" in run.alerts[0][2]
    assert run.answers[0][1] is False and "No space left on device" in run.answers[0][2]


# -- being told --------------------------------------------------------------------------------------------------------


def test_stop_checkpoints_first_and_is_acknowledged(config: Make, make_loop: MakeLoop, run: Any) -> None:
    run.before_step[4] = {"id": 7, "kind": "stop", "args": {}}
    ending = make_loop(config(eval_interval=100)).train()
    assert (ending.state, ending.reason) == ("stopped", "stopped from the page at step 3")
    assert run.checkpoints[-1][0] == 3 and run.answers == [(7, True, "stopping after a checkpoint", 3)]
    assert max(run.series("train/loss")) == 3


def test_a_signal_stops_like_a_command(config: Make, make_loop: MakeLoop, run: Any) -> None:
    loop = make_loop(config())
    loop._signal.name = "SIGTERM"
    ending = loop.train()
    assert (ending.state, ending.reason) == ("stopped", "stopped by SIGTERM at step 0")
    assert run.checkpoints == [], "nothing was trained: there is nothing to keep"
    assert run.points == [], "nor is it kept waiting for a first evaluation"


@pytest.mark.parametrize(
    ("signal", "reason"), [("SIGTERM", "stopped from the page at step 3"), ("SIGINT", "stopped by SIGINT at step 3")]
)
def test_a_stop_from_the_page_is_known_by_its_command_though_its_signal_is_quicker(
    config: Make, make_loop: MakeLoop, run: Any, signal: str, reason: str
) -> None:
    loop = make_loop(config(eval_interval=100))
    run.on_flush = [{"id": 7, "kind": "sample", "args": {}}, {"id": 8, "kind": "stop", "args": {}}]
    one_step = loop._one_step

    def told_after_the_third() -> None:
        one_step()
        loop._signal.name = signal if loop.session.step == 3 else ""

    loop._one_step = told_after_the_third  # type: ignore[method-assign]
    assert loop.train().reason == reason
    if signal == "SIGTERM":
        assert run.answers == [
            (7, False, "not done: the run is stopping", 3),
            (8, True, "stopping after a checkpoint", 3),
        ]
        assert run.checkpoints[-1][0] == 3 and not run.samples


def test_checkpoint_sample_and_set_act_between_steps(config: Make, make_loop: MakeLoop, run: Any) -> None:
    run.before_step[3] = {"id": 1, "kind": "checkpoint", "args": {}}
    run.before_step[4] = {"id": 2, "kind": "sample", "args": {"prompt": "the", "tokens": 3, "temperature": 0}}
    run.before_step[5] = {"id": 3, "kind": "set", "args": {"learning_rate_factor": 0.5}}
    make_loop(config(eval_interval=100)).train()
    assert [(number, ok, step) for number, ok, _, step in run.answers] == [(1, True, 2), (2, True, 3), (3, True, 4)]
    assert run.answers[0][2] == "checkpoint written: step-000000002"
    assert run.answers[1][2] == "1 sample written" and run.samples[0][:2] == (3, "the") and len(run.samples[0][2]) == 3
    assert run.answers[2][2] == "learning rate × 0.5, clip 1 from the next step"
    assert (2, run.checkpoints[0][1]) == run.checkpoints[0][:2]
    assert run.series("train/learning_rate")[6] == pytest.approx(0.5e-4)


@pytest.mark.parametrize(
    ("kind", "args", "sentence"),
    [
        ("dance", {}, "unknown command 'dance'; commands are: stop, checkpoint, sample, set"),
        ("set", {"learning_rate_factor": -1}, "learning_rate_factor = -1 is not allowed"),
        ("sample", {"prompt": "Ω"}, "the text has characters that the data does not: 'Ω'"),
    ],
)
def test_a_bad_command_is_answered_and_training_goes_on(
    config: Make, make_loop: MakeLoop, run: Any, kind: str, args: dict[str, Any], sentence: str
) -> None:
    run.before_step[3] = {"id": 1, "kind": kind, "args": args}
    assert make_loop(config()).train().state == "finished"
    number, ok, text, step = run.answers[0]
    assert (number, ok, step) == (1, False, 2) and text.startswith(sentence)


def test_live_clip_zero_turns_clipping_off(config: Make, make_loop: MakeLoop, run: Any) -> None:
    loop = make_loop(config())
    loop.session.live = loop.session.live.changed({"grad_clip": 0})
    assert loop.train().state == "finished"
