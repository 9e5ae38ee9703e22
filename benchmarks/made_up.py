"""Synthetic runs, healthy and sick, as varied as real ones; what each should be told. Knows no rule.

Curves are drawn from what real logs look like (power-law decay, noise of every batch size, heavy tails, schedules,
evaluations of few batches, moving averages, epochs, fine-tunes), not from the rules: thresholds are not chosen here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Generator = np.random.Generator
FEW, MANY = (10, 80), (200, 3000)


@dataclass(slots=True)
class Curve:
    """A made-up run: its kind, what it should be told (empty: nothing above info), its config and its series."""

    kind: str
    expected: tuple[str, ...]
    config: dict[str, Any]
    steps: np.ndarray
    series: dict[str, np.ndarray]
    onset: int = 0
    """Step at which the illness begins."""
    evaluations: dict[int, float] = field(default_factory=dict)
    """Validation losses by step."""

    def events(self) -> Iterator[dict[str, Any]]:
        """The run as events, in order."""
        for at, step in enumerate(self.steps.tolist()):
            event: dict[str, Any] = {"type": "metrics", "step": step}
            event.update({name: float(row[at]) for name, row in self.series.items()})
            if step in self.evaluations:
                event["val/loss"] = self.evaluations[step]
            yield event


# -- healthy ---------------------------------------------------------------------------------------------------------


def scratch(rng: Generator) -> Curve:
    """From scratch: power-law decay from ln V to a floor, noise of any batch size, any schedule."""
    vocab = int(rng.choice([65, 96, 256, 4096, 8192, 32000, 50257]))
    n = int(np.exp(rng.uniform(np.log(100), np.log(4000))))
    every = int(rng.choice([1, 1, 5, 10, 50]))
    steps = np.arange(n) * every + (0 if rng.random() < 0.5 else every)
    total = steps[-1] + 1
    uniform = math.log(vocab)
    floor = uniform * rng.uniform(0.12, 0.45)
    scale, power = rng.uniform(15, 150), rng.uniform(0.35, 0.9)
    warmup = int(rng.choice([0, 20, 100, 200])) if total > 800 else int(0.05 * total)
    rate = schedule(rng, steps, total, warmup)
    effective = np.cumsum(np.concatenate([[0], np.diff(steps) * np.minimum(1, rate[1:] / rate.max() * 1.5)]))
    mean = floor + (uniform - floor) * (1 + effective / scale) ** -power
    # A model that knows nothing loses nearly the same on every token: noise comes with learning.
    learned = np.minimum(1.0, 0.15 + 2 * (1 - mean / uniform))
    noise = mean + (noisy(rng, mean, rng.choice([0.003, 0.01, 0.03, 0.08, 0.15])) - mean) * learned
    series = {"train/loss": noise, "train/learning_rate": rate, "train/grad_norm": gradients(rng, n)}
    for name in ("train/learning_rate", "train/grad_norm"):
        if rng.random() < 0.35:
            del series[name]
    config: dict[str, Any] = {"vocab_size": vocab} if rng.random() < 0.6 else {}
    if rng.random() < 0.5:
        config["max_steps"] = int(total)
    gap = np.maximum(0, (mean[0] - mean) / mean[0] - 0.5) * rng.uniform(0, 0.3)
    return Curve("scratch", (), config, steps, series, evaluations=evaluate(rng, steps, mean + gap))


def finetune(rng: Generator) -> Curve:
    """A fine-tune: starts low or drops at once, then saturates; batches of one to 64; clipping all the time."""
    n = int(np.exp(rng.uniform(np.log(30), np.log(3000))))
    every = int(rng.choice([1, 5, 10, 25]))
    steps = (np.arange(n) + 1) * every
    floor = rng.uniform(0.4, 2.8)
    drop = floor * rng.choice([0.02, 0.1, 0.3, 0.8, 2.0])
    mean = floor + drop * np.exp(-np.arange(n) / rng.uniform(2, n / 5 + 3)) - 0.03 * floor * np.arange(n) / n
    noise = noisy(rng, mean, rng.choice([0.02, 0.06, 0.15, 0.3]))
    rate = schedule(
        rng, steps, steps[-1] + 1, int(rng.choice([0, 0.03 * n * every])), peak=10 ** rng.uniform(-5.5, -3.5)
    )
    series = {"loss": noise, "learning_rate": rate, "grad_norm": gradients(rng, n, level=rng.choice([0.5, 3, 30]))}
    return Curve("finetune", (), {}, steps, series, evaluations=evaluate(rng, steps, mean * rng.uniform(0.97, 1.2)))


def epochs(rng: Generator) -> Curve:
    """One point an epoch, 3 to 20 of them, often without anything but two losses."""
    n = int(rng.integers(3, 21))
    steps = np.arange(n) * int(rng.choice([1, 1, 100])) + int(rng.random() < 0.5)
    start, floor = rng.uniform(1.5, 10), rng.uniform(0.4, 1.4)
    mean = floor + start * np.exp(-np.arange(n) / rng.uniform(1.5, 8))
    series = {"train_loss": mean * (1 + rng.normal(0, 0.01, n))}
    val = (mean + 0.05 + 0.01 * np.arange(n)) * (1 + rng.normal(0, 0.006, n))
    val = np.minimum(val, np.minimum.accumulate(val) * 1.025)
    return Curve("epochs", (), {}, steps, series, evaluations=dict(zip(steps.tolist(), val.tolist(), strict=True)))


def stairs(rng: Generator) -> Curve:
    """Several epochs over one text: the loss drops at each border and rises a little inside an epoch."""
    n, count = int(rng.integers(200, 1500)), int(rng.integers(2, 8))
    epoch = np.arange(n) * count // n
    inside = (np.arange(n) % (n / count)) / (n / count)
    mean = rng.uniform(1.5, 3) * (1 - 0.09 * epoch) + 0.06 * inside * (epoch > 0) + 1.2 * np.exp(-np.arange(n) / 15)
    return Curve("stairs", (), {}, np.arange(n) * 5, {"loss": noisy(rng, mean, 0.02)})


def pockets(rng: Generator) -> Curve:
    """A healthy run whose single points jump by up to 2.7 nats and whose gradient norms reach 55 times their median."""
    curve = scratch(rng)
    loss = curve.series["train/loss"]
    where = rng.choice(loss.size, size=max(1, loss.size // 100), replace=False)
    loss[where] += rng.uniform(0.5, 2.7, where.size)
    if "train/grad_norm" in curve.series:
        norms = curve.series["train/grad_norm"]
        norms[rng.choice(norms.size, 3)] *= rng.uniform(10, 55, 3)
        norms[rng.choice(norms.size, 2)] = math.inf
    curve.kind = "pockets"
    return curve


def averaged(rng: Generator) -> Curve:
    """A moving average is logged: no noise between points, slow waves instead."""
    curve = scratch(rng)
    loss, decay = curve.series["train/loss"], rng.uniform(0.8, 0.99)
    for at in range(1, loss.size):
        loss[at] = decay * loss[at - 1] + (1 - decay) * loss[at]
    curve.kind = "averaged"
    return curve


def restarts(rng: Generator) -> Curve:
    """Warm restarts of the schedule lift the loss each time."""
    n = int(rng.integers(300, 2000))
    cycle = n // int(rng.integers(2, 5))
    rate = 1e-3 * 0.5 * (1 + np.cos(np.pi * (np.arange(n) % cycle) / cycle)) + 1e-5
    mean = 2.2 + 5 * (1 + np.arange(n) / 20) ** -0.7 + rng.uniform(0.05, 0.35) * (rate / 1e-3)
    return Curve(
        "restarts",
        (),
        {},
        np.arange(n) * 10,
        {"loss": noisy(rng, mean, 0.02), "lr": rate, "grad_norm": gradients(rng, n)},
    )


def policy(rng: Generator) -> Curve:
    """A policy-gradient loss: near zero, of both signs, without a trend; zero at the start."""
    n = int(rng.integers(50, 800))
    loss = rng.normal(0, rng.choice([0.005, 0.05]), n)
    loss[: int(rng.integers(0, 6))] = 0.0
    series = {"loss": loss, "grad_norm": gradients(rng, n, level=0.3), "reward": np.linspace(0, 1, n)}
    return Curve("policy", (), {}, np.arange(n) + 1, series)


def evaluations_only(rng: Generator) -> Curve:
    """Nothing but evaluations."""
    n = int(rng.integers(4, 60))
    steps = (np.arange(n) + 1) * 100
    mean = 1.8 + 2 * np.exp(-np.arange(n) / 6)
    values = noisy(rng, mean, 0.01)
    return Curve(
        "evaluations_only", (), {}, steps, {}, evaluations=dict(zip(steps.tolist(), values.tolist(), strict=True))
    )


# -- sick ------------------------------------------------------------------------------------------------------------


def not_a_number(rng: Generator) -> Curve:
    """NaN from some point on."""
    curve = scratch(rng)
    at = int(rng.integers(1, curve.steps.size))
    curve.series["train/loss"][at:] = rng.choice([math.nan, math.inf])
    return _sick(curve, "nan", ("non-finite-loss",), at)


def overfit(rng: Generator) -> Curve:
    """Validation turns while training goes on falling."""
    curve = scratch(rng)
    count = int(rng.integers(10, 60))
    n = curve.steps.size
    marks = np.unique(np.linspace(0, n - 1, count).astype(int))
    turn = marks.size * rng.uniform(0.25, 0.6)
    base = np.interp(np.arange(marks.size), [0, turn], [curve.series["train/loss"][0], 2.0])
    climb = np.maximum(0, np.arange(marks.size) - turn) * 2.0 / marks.size * rng.uniform(0.6, 2)
    values = noisy(rng, base + climb, rng.choice([0.003, 0.01]))
    curve.series["train/loss"] = noisy(rng, curve.series["train/loss"][0] * np.exp(-3 * np.arange(n) / n), 0.03)
    curve.evaluations = dict(zip(curve.steps[marks].tolist(), values.tolist(), strict=True))
    return _sick(curve, "overfit", ("overfitting",), int(marks[int(turn)]))


def diverge(rng: Generator) -> Curve:
    """Climbs away and stays."""
    curve = scratch(rng)
    n = curve.steps.size
    at = int(n * rng.uniform(0.2, 0.7))
    loss = curve.series["train/loss"]
    target = loss[0] * rng.uniform(0.8, 1.2)
    length = max(3, int(min(n * 0.1, 60)))
    ramp = np.clip((np.arange(n) - at) / length, 0, 1)
    curve.series["train/loss"] = loss * (1 - ramp) + ramp * noisy(rng, np.full(n, target), 0.03)
    return _sick(curve, "diverge", ("divergence", "loss-spike", "learning-rate-too-high"), at)


def spike(rng: Generator) -> Curve:
    """A burst that lasts: still up when the log ends, or three of them."""
    curve = scratch(rng)
    loss = curve.series["train/loss"]
    n = loss.size
    width = int(rng.integers(8, 25))
    height = loss[n // 2] * rng.uniform(0.6, 1.5) + 10 * np.std(np.diff(loss[n // 2 :]))
    starts = np.linspace(0.45, 0.9, 4)[:-1] * n
    for start in starts.astype(int):
        loss[start : start + width] += height * np.exp(-np.arange(width) / width)[: max(0, n - start)]
    return _sick(curve, "spike", ("loss-spike", "divergence"), int(starts[0]))


def stuck(rng: Generator) -> Curve:
    """Never leaves ln V."""
    curve = _flat(rng, 0.0)
    return _sick(curve, "stuck", ("loss-not-decreasing", "learning-rate-too-low", "vanishing-gradients", "plateau"), 0)


def crawl(rng: Generator) -> Curve:
    """Falls a hundred times too slowly."""
    curve = _flat(rng, rng.uniform(0.005, 0.02))
    return _sick(curve, "crawl", ("loss-not-decreasing", "learning-rate-too-low"), 0)


def settled(rng: Generator) -> Curve:
    """A rate far too high: comes to rest where only the commonest tokens are known."""
    curve = _flat(rng, 0.0)
    n = curve.steps.size
    level = math.log(curve.config["vocab_size"]) * rng.uniform(0.72, 0.85)
    mean = level + (math.log(curve.config["vocab_size"]) - level) * np.exp(-np.arange(n) / 10)
    curve.series["train/loss"] = noisy(rng, mean, 0.02)
    curve.series["lr"] = np.full(n, 0.03)
    return _sick(curve, "settled", ("learning-rate-too-high", "plateau"), 0)


def explode(rng: Generator) -> Curve:
    """Gradient norms grow by orders of magnitude."""
    curve = scratch(rng)
    n = curve.steps.size
    at = int(n * rng.uniform(0.3, 0.6))
    growth = np.where(np.arange(n) < at, 1.0, np.minimum(1e4, 1.3 ** np.maximum(0, np.arange(n) - at)))
    curve.series["train/grad_norm"] = gradients(rng, n) * growth
    curve.series["train/loss"] = curve.series["train/loss"] + 0.5 * np.log10(growth)
    return _sick(curve, "explode", ("exploding-gradients", "divergence", "loss-spike"), at)


def vanish(rng: Generator) -> Curve:
    """Gradient norms shrink to nothing and the loss stands."""
    curve = _flat(rng, 0.0)
    n = curve.steps.size
    curve.series["grad_norm"] = np.maximum(1e-9, 10.0 ** (-1 - np.arange(n) / 5)) * np.exp(rng.normal(0, 0.2, n))
    return _sick(curve, "vanish", ("vanishing-gradients", "loss-not-decreasing", "learning-rate-too-low"), 0)


def masked(rng: Generator) -> Curve:
    """A logger that writes 0.0 for NaN."""
    curve = scratch(rng)
    at = int(rng.integers(0, curve.steps.size - 4))
    curve.series["train/loss"][at:] = 0.0
    curve.series["train/grad_norm"] = gradients(rng, curve.steps.size)
    curve.series["train/grad_norm"][at:] = math.nan
    return _sick(curve, "masked", ("masked-non-finite",), at)


HEALTHY: tuple[Callable[[Generator], Curve], ...] = (
    scratch, scratch, finetune, finetune, epochs, stairs, pockets, averaged, restarts, policy, evaluations_only,
)  # fmt: skip
SICK: tuple[Callable[[Generator], Curve], ...] = (
    not_a_number, overfit, diverge, spike, stuck, crawl, settled, explode, vanish, masked,
)  # fmt: skip


# -- parts of curves -------------------------------------------------------------------------------------------------


def schedule(rng: Generator, steps: np.ndarray, total: int, warmup: int, peak: float = 1e-3) -> np.ndarray:
    """A learning rate: constant, cosine, linear or warm-up-stable-decay, with a linear warm-up."""
    share = steps / total
    kind = rng.choice(["constant", "cosine", "linear", "wsd"])
    shapes = {
        "constant": np.ones(steps.size),
        "cosine": 0.1 + 0.45 * (1 + np.cos(np.pi * share)),
        "linear": 1 - 0.99 * share,
        "wsd": np.where(share < 0.8, 1.0, np.maximum(0.01, (1 - share) / 0.2)),
    }
    return np.asarray(peak * shapes[str(kind)] * np.minimum(1.0, (steps + 1) / max(1, warmup)))


def noisy(rng: Generator, mean: np.ndarray, relative: float) -> np.ndarray:
    """Values with noise of some share of their size, sometimes with heavy tails."""
    heavy = rng.random() < 0.3
    raw = rng.standard_t(4, mean.size) / math.sqrt(2) if heavy else rng.normal(0, 1, mean.size)
    return np.asarray(np.maximum(mean * 0.2, mean * (1 + relative * raw)))


def gradients(rng: Generator, n: int, level: float = 1.0) -> np.ndarray:
    """Gradient norms: high at first, then log-normal about a slowly changing level."""
    at = np.arange(n)
    return np.asarray(
        level * (1 + 4 * np.exp(-at / (n / 20 + 1)) + rng.uniform(0, 1.5) * at / n) * np.exp(rng.normal(0, 0.35, n))
    )


def evaluate(rng: Generator, steps: np.ndarray, mean: np.ndarray) -> dict[int, float]:
    """Validation losses of 0 to 40 evaluations with the noise of few or many batches."""
    count = int(rng.choice([0, 4, 10, 40]))
    if not count:
        return {}
    marks = np.unique(np.linspace(0, steps.size - 1, count).astype(int))
    values = noisy(rng, mean[marks], rng.choice([0.002, 0.01, 0.03]))
    return dict(zip(steps[marks].tolist(), values.tolist(), strict=True))


def _flat(rng: Generator, fall: float) -> Curve:
    vocab = int(rng.choice([65, 256, 4096, 50257]))
    n = int(rng.integers(80, 1500))
    every = int(rng.choice([5, 10]))
    steps = np.arange(n) * every
    mean = math.log(vocab) * (1 + 0.002 - fall * np.arange(n) / n)
    config = {"vocab_size": vocab, "max_steps": int(steps[-1])}
    return Curve("flat", (), config, steps, {"train/loss": noisy(rng, mean, 0.004)})


def _sick(curve: Curve, kind: str, expected: tuple[str, ...], at: int) -> Curve:
    curve.kind, curve.expected, curve.onset = kind, expected, at
    return curve
