"""Rules of Amazon SageMaker Debugger and of Lightning, written down from their documentation, at their documented defaults.

Each takes a run's metric events and says at which of them it would first have fired, or None. They judge what a log holds;
rules that read every tensor of the model (activations, weight variances) cannot be asked here. Where a description leaves room,
the reading that alarms less was taken. Pure.

- https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html
- https://lightning.ai/docs/pytorch/stable/api/lightning.pytorch.callbacks.EarlyStopping.html
- https://lightning.ai/docs/fabric/stable/api/generated/lightning.fabric.utilities.spike.SpikeDetection.html
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Events = Sequence[Mapping[str, Any]]
Rule = Callable[[Events], int | None]


def loss_not_decreasing(
    events: Events, num_steps: int = 10, diff_percent: float = 0.1, increase_threshold_percent: float = 5.0
) -> int | None:
    """Every `num_steps`: the loss fell by less than `diff_percent`, or rose by more than `increase_threshold_percent`."""
    before: tuple[int, float] | None = None
    for at, event in enumerate(events):
        if "train/loss" not in event:
            continue
        step, loss = int(event["step"]), float(event["train/loss"])
        if before is None or step < before[0]:
            before = (step, loss)
        elif step - before[0] >= num_steps:
            change = 100.0 * (loss - before[1]) / abs(before[1]) if before[1] else 0.0
            if -diff_percent < change <= 0.0 or change > increase_threshold_percent:
                return at
            before = (step, loss)
    return None


def overfit(events: Events, patience: int = 1, ratio_threshold: float = 0.1) -> int | None:
    """The mean validation loss lies above the mean training loss (since the last evaluation) by that share of it."""
    losses: list[float] = []
    above = 0
    for at, event in enumerate(events):
        losses += [float(event["train/loss"])] if "train/loss" in event else []
        if "val/loss" in event and losses:
            mean = statistics.fmean(losses)
            above = above + 1 if mean and (float(event["val/loss"]) - mean) / abs(mean) > ratio_threshold else 0
            losses = []
            if above >= patience:
                return at
    return None


def overtraining(
    events: Events, patience_train: int = 5, patience_validation: int = 10, delta: float = 0.01
) -> int | None:
    """Neither loss has become lower by `delta` for longer than its patience."""
    best, waited = {"train/loss": math.inf, "val/loss": math.inf}, {"train/loss": 0, "val/loss": 0}
    for at, event in enumerate(events):
        for name in best:
            if name in event:
                better = float(event[name]) < best[name] - delta
                best[name] = float(event[name]) if better else best[name]
                waited[name] = 0 if better else waited[name] + 1
        if waited["train/loss"] > patience_train and waited["val/loss"] > patience_validation:
            return at
    return None


def exploding_tensor(events: Events) -> int | None:
    """A loss or a gradient is NaN or infinite."""
    watched = ("train/loss", "val/loss", "train/grad_norm")
    return _first(events, lambda event: not all(math.isfinite(float(event[n])) for n in watched if n in event))


def vanishing_gradient(events: Events, threshold: float = 1e-7) -> int | None:
    """The gradients are smaller than the threshold."""
    return _first(events, lambda event: float(event.get("train/grad_norm", math.inf)) < threshold)


def weight_update_ratio(events: Events, large_threshold: float = 10.0, small_threshold: float = 1e-8) -> int | None:
    """The update is larger or smaller than these shares of the weights."""
    ratios = [
        (at, float(event["train/update_ratio"])) for at, event in enumerate(events) if "train/update_ratio" in event
    ]
    return next((at for at, ratio in ratios if ratio > large_threshold or ratio < small_threshold), None)


def stalled_training(events: Events, threshold: float = 1800.0) -> int | None:
    """Nothing came for that many seconds."""
    before = math.inf
    for at, event in enumerate(events):
        if "time" in event:
            if float(event["time"]) - before > threshold:
                return at
            before = float(event["time"])
    return None


def early_stopping(events: Events, patience: int = 3, min_delta: float = 0.0) -> int | None:
    """Validation loss is not finite, or has not become lower for `patience` evaluations running."""
    best, waited = math.inf, 0
    for at, event in enumerate(events):
        if "val/loss" in event:
            loss = float(event["val/loss"])
            waited = 0 if loss < best - min_delta else waited + 1
            best = min(best, loss)
            if not math.isfinite(loss) or waited >= patience:
                return at
    return None


def spike_detection(events: Events, window: int = 10, warmup: int = 1, rtol: float = 2.0) -> int | None:
    """A loss is not finite, or is no better than the last and off the running mean by `rtol` times that mean."""
    recent: deque[float] = deque(maxlen=window)
    seen = 0
    for at, event in enumerate(events):
        if "train/loss" not in event:
            continue
        loss = float(event["train/loss"])
        if seen >= warmup and recent:
            mean = statistics.fmean(recent)
            if not math.isfinite(loss) or (loss > recent[-1] and abs(loss - mean) >= abs(rtol * mean)):
                return at
        recent.append(loss)
        seen += 1
    return None


def _first(events: Events, wanted: Callable[[Mapping[str, Any]], bool]) -> int | None:
    return next((at for at, event in enumerate(events) if wanted(event)), None)


SAGEMAKER: Mapping[str, Rule] = {
    "LossNotDecreasing": loss_not_decreasing, "Overfit": overfit, "Overtraining": overtraining, "ExplodingTensor": exploding_tensor,
    "VanishingGradient": vanishing_gradient, "WeightUpdateRatio": weight_update_ratio, "StalledTrainingRule": stalled_training,
}  # fmt: skip
LIGHTNING: Mapping[str, Rule] = {"EarlyStopping": early_stopping, "SpikeDetection": spike_detection}
