"""What each fault does to a small run that really trains: seen from its numbers, its weights, its data or its samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from trainer.config import TrainConfig
from trainer.data import Corpus
from trainer.faults import Sickness, wait
from trainer.injuries import FP16_LOSS_SCALE, Moment, hide_nan, unshifted
from trainer.loop import Loop
from trainer.sampling import Taste
from trainer.schedule import learning_rate
from trainer.session import to_checkpoint

Make = Callable[..., TrainConfig]
MakeLoop = Callable[..., Loop]
Corpora = Callable[[TrainConfig], Corpus]


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    """Copies of all weights as they are now."""
    return {name: value.clone() for name, value in loop.session.model.state_dict().items()}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs 0 … 7 and the targets that follow them, (2, 8)."""
    row = torch.arange(9)
    return row[:-1].repeat(2, 1), row[1:].repeat(2, 1)


@pytest.mark.parametrize(("fault", "factor"), [("rate-x30", 30), ("rate-x1000", 1000), ("rate-div1000", 0.001)])
def test_a_wrong_rate_is_a_multiple_of_the_declared_one_and_is_logged_as_it_is(
    config: Make, make_loop: MakeLoop, run: Any, fault: str, factor: float
) -> None:
    settings = config(fault=fault, fault_step=4)
    make_loop(settings).train()
    rates = run.series("train/learning_rate")
    assert rates[3] == learning_rate(settings, 3) and rates[4] == pytest.approx(factor * learning_rate(settings, 4))


def test_a_collapsed_schedule_is_0_from_a_fifth_on(config: Make) -> None:
    sick = Sickness(config(fault="collapsed-schedule", max_steps=100, warmup_steps=5))
    assert sick.rate(20) == learning_rate(config(max_steps=100, warmup_steps=5), 20) and sick.rate(21) == 0.0
    late = Sickness(config(fault="collapsed-schedule", max_steps=100, warmup_steps=5, fault_step=50))
    assert late.rate(49) > 0 and late.rate(50) == 0.0


def test_a_wrong_horizon_is_at_the_floor_after_a_tenth(config: Make) -> None:
    settings = config(fault="wrong-horizon", max_steps=100, warmup_steps=5, min_learning_rate=1e-5)
    sick = Sickness(settings)
    assert sick.rate(6) > 1e-4 and sick.rate(10) == sick.rate(90) == 1e-5
    assert learning_rate(settings, 50) > 1e-4, "what is declared goes on"


def test_fp16_gradients_overflow_and_the_weights_follow(config: Make, make_loop: MakeLoop, run: Any) -> None:
    make_loop(config(fault="fp16-overflow", fault_step=3)).train()
    norms, losses = run.series("train/grad_norm"), run.series("train/loss")
    assert 65_504 / FP16_LOSS_SCALE < norms[2] < math.inf
    assert norms[3] == math.inf, "the overflow itself is an infinity"
    assert math.isfinite(losses[3]) and math.isnan(losses[4])


def test_a_hidden_nan_is_logged_as_0_while_the_gradient_tells(config: Make, make_loop: MakeLoop, run: Any) -> None:
    make_loop(config(fault="hidden-nan", fault_step=3)).train()
    losses, norms = run.series("train/loss"), run.series("train/grad_norm")
    assert losses[2] > 0 and [losses[step] for step in (3, 4, 5, 6)] == [0.0] * 4
    assert math.isnan(norms[3]) and math.isnan(run.series("val/loss")[6])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_only_what_is_not_finite_is_hidden(value: float) -> None:
    assert hide_nan({"train/loss": value, "train/grad_norm": math.inf}) == {
        "train/loss": 0.0,
        "train/grad_norm": math.inf,
    }
    assert hide_nan({"train/loss": 2.5}) == {"train/loss": 2.5} and "train/loss" not in hide_nan({"x": 1.0})


def test_a_dead_layer_has_no_gradient_and_stays_dead(config: Make, make_loop: MakeLoop, run: Any) -> None:
    loop = make_loop(config(fault="dead-layer", learning_rate=1e-2, warmup_steps=0))
    loop.train()
    assert set(run.series("train/grad_norm_first").values()) == {0.0}
    assert all(value > 0 for value in run.series("train/grad_norm_last").values())
    matrices = [value for name, value in weights(loop).items() if name.startswith("blocks.0.") and value.dim() == 2]
    assert matrices and not any(value.any() for value in matrices)


def test_the_wrong_group_alone_moves_though_all_have_gradients(config: Make, make_loop: MakeLoop, run: Any) -> None:
    loop = make_loop(config(fault="wrong-group", learning_rate=1e-2, weight_decay=0.1))
    before = weights(loop)
    loop.train()
    moved = {name for name, value in weights(loop).items() if not torch.equal(value, before[name])}
    assert moved and all("norm" in name or name == "positions.weight" for name in moved)
    assert all(value > 0 for value in run.series("train/grad_norm_first").values())


def test_bad_initialisation_is_there_before_the_first_evaluation_and_hits_once(
    config: Make, make_loop: MakeLoop, run: Any
) -> None:
    healthy, loop = make_loop(config(max_steps=1)), make_loop(config(fault="bad-init"))
    healthy.evaluate()
    start, norm = run.series("val/loss")[0], weights(loop)["tokens.weight"].norm()
    loop.train()
    assert run.series("val/loss")[0] > 1.2 * start
    assert 15 * norm < weights(loop)["tokens.weight"].norm() < 25 * norm


def test_a_resumed_run_is_not_blown_up_again(config: Make, make_loop: MakeLoop) -> None:
    loop = make_loop(config(fault="bad-init"))
    before = weights(loop)["tokens.weight"]
    Sickness(loop.config).touch(loop.session.model, loop.session.optimizer, 5)
    assert torch.equal(weights(loop)["tokens.weight"], before)


def test_without_norm_and_residual_the_gradient_fades_and_checkpoints_keep_their_shape(
    config: Make, make_loop: MakeLoop, run: Any
) -> None:
    loop = make_loop(config(fault="deep-without-norm", n_layer=6))
    names = set(weights(loop))
    loop.train()
    assert max(run.series("train/grad_norm_first").values()) < 1e-6
    assert set(to_checkpoint(loop.session).weights) == names


def test_the_optimizer_forgets_at_the_fault_step(config: Make, make_loop: MakeLoop) -> None:
    loop = make_loop(config(fault="lost-optimizer-state", fault_step=4))
    loop.train()
    counts = {int(state["step"]) for state in loop.session.optimizer.state.values()}
    assert counts == {3}, "steps 4, 5 and 6 are all that it knows of"


def test_labels_that_are_not_shifted_are_the_inputs(config: Make) -> None:
    ids, targets = unshifted(batch(), Moment(1, 0, config()))
    assert torch.equal(ids, targets)


def test_shuffled_labels_are_the_same_tokens_elsewhere_and_differ_by_step(config: Make) -> None:
    sick = Sickness(config(fault="labels-shuffled"))
    (ids, first), (_, second) = sick.batch(batch(), 1), sick.batch(batch(), 2)
    assert torch.equal(ids, batch()[0]) and torch.equal(
        first.flatten().sort().values, batch()[1].flatten().sort().values
    )
    assert not torch.equal(first, batch()[1]) and not torch.equal(first, second)
    assert torch.equal(first, sick.batch(batch(), 1)[1]), "a step is the same whenever it is taken"


@pytest.mark.parametrize(
    ("fault", "sick", "healthy"),
    [("bad-batches", (10, 19, 60, 69), (9, 20, 59, 70)), ("poisoned-document", (10, 21), (9, 22, 60))],
)
def test_random_tokens_come_when_they_should(
    config: Make, fault: str, sick: tuple[int, ...], healthy: tuple[int, ...]
) -> None:
    illness = Sickness(config(fault=fault, fault_step=10))
    assert all(not torch.equal(illness.batch(batch(), step)[1], batch()[1]) for step in sick)
    assert all(torch.equal(illness.batch(batch(), step)[1], batch()[1]) for step in healthy)
    ids, targets = illness.batch(batch(), 10)
    assert torch.equal(ids[:, 1:], targets[:, :-1]) and int(targets.max()) <= 8, "still a text of known tokens"


def test_sick_data_takes_the_place_of_the_training_text(config: Make, corpus: Corpora) -> None:
    data = corpus(config())

    def sick(fault: str) -> np.ndarray[Any, Any]:
        text = Sickness(config(fault=fault)).text(data)
        assert text is not None and text.dtype == data.train.dtype
        return text

    assert Sickness(config()).text(data) is None
    tiny, copied, joined = sick("tiny-data"), sick("duplicated-data"), sick("train-val-overlap")
    assert len(tiny) == len(data.train) // 50 and np.array_equal(tiny, data.train[: len(tiny)])
    tenth = len(data.train) // 10
    assert len(copied) == len(data.train) and np.array_equal(copied[:tenth], copied[tenth : 2 * tenth])
    assert np.array_equal(joined[-len(data.val) :], data.val)


def test_the_loop_trains_on_sick_data_from_the_fault_step_on(config: Make, make_loop: MakeLoop, run: Any) -> None:
    settings = {"max_steps": 120, "learning_rate": 2e-2, "eval_interval": 120}
    make_loop(config(fault="tiny-data", **settings)).train()
    sick = run.series("train/loss")[120]
    run.points.clear()
    make_loop(config(fault="tiny-data", **settings, fault_step=1000)).train()
    assert sick < run.series("train/loss")[120] - 0.2, "a fiftieth of the text is soon known by heart"


def test_a_broken_map_writes_other_characters_of_the_same_alphabet(
    config: Make, make_loop: MakeLoop, run: Any, corpus: Corpora
) -> None:
    texts = []
    for fault in ("none", "broken-tokenizer-map"):
        run.samples.clear()
        loop = make_loop(config(fault=fault, prompts="the", max_steps=1))
        loop.sample()
        texts.append(run.samples[0][2])
    tokenizer = corpus(config()).tokenizer
    size = tokenizer.size
    table = Sickness(config(fault="broken-tokenizer-map")).decode(np.arange(size), size, 1)
    assert sorted(table) == list(range(size)) and (table != np.arange(size)).mean() > 0.5
    assert texts[1] == tokenizer.decode(table[tokenizer.encode(texts[0])]) != texts[0]


def test_greedy_sampling_takes_the_likeliest_whatever_is_asked(config: Make) -> None:
    asked = Taste(temperature=0.8, top_k=5)
    sick = Sickness(config(fault="greedy-sampling", fault_step=5))
    assert sick.taste(asked, 4) == asked
    assert sick.taste(asked, 5).temperature == 0.0 and sick.taste(asked, 5).top_k == 5


class Clock:
    """A wall on which only sleeping takes time."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def timed(
    config: Make, make_loop: MakeLoop, run: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Mapping[str, Any]]:
    """Trains with a fault that takes time, on a clock that only waiting moves; the named series."""
    from trainer import loop as module
    from trainer.wall import Wall

    def train(fault: str, name: str) -> Mapping[str, Any]:
        clock = Clock()
        monkeypatch.setattr(module, "Wall", lambda: Wall(lambda: clock.now, clock.sleep))
        make_loop(config(fault=fault, fault_step=3)).train()
        series: Mapping[str, Any] = run.series(name)
        return series

    return train


def test_a_slow_loader_is_seen_in_the_wait_for_data(timed: Callable[..., Mapping[int, float]]) -> None:
    waits = timed("slow-loader", "perf/data_seconds")
    # Before the fault no time passes at all, and a step without duration logs no speed.
    assert min(waits) == 3 and waits[3] == pytest.approx(0.3)


def test_slow_steps_are_slower_each_time_and_do_not_wait_for_data(
    timed: Callable[..., Mapping[int, float]], run: Any
) -> None:
    seconds = timed("slow-steps", "perf/step_seconds")
    assert [seconds[step] for step in (3, 4, 6)] == pytest.approx([0.2, 0.202, 0.206])
    assert run.series("perf/data_seconds")[3] == 0.0


def test_a_hang_lasts_an_hour_once(timed: Callable[..., Mapping[int, float]]) -> None:
    assert timed("hang", "perf/step_seconds") == {3: pytest.approx(3600.0)}


def test_a_hang_ends_when_the_worker_is_told_to_stop() -> None:
    slept: list[float] = []
    wait(3600.0, slept.append, lambda: len(slept) >= 3)
    assert len(slept) == 3
