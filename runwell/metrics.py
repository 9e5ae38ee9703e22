"""The one table of metrics: name, unit, meaning and when each is measured. Standard library only.

The trainer logs these names, the pages label them, the docs list them. Rules ask for roles, which
`diagnostics.roles` maps from these names and from those that other trainers use.
"""

from __future__ import annotations

from dataclasses import dataclass

END_OF_TRAINING = "train_runtime"
"""Stands in the row that Hugging Face writes at the end, whose `train_loss` is the mean of the whole run."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric that Runwell's own trainer logs. `role` is what the rules call it."""

    name: str
    label: str
    """What a chart of it is called."""
    role: str
    unit: str
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("train/loss", "Training loss", "train_loss", "nats/token", "cross-entropy, mean over the micro-batches since the last logged step"),
    Metric("val/loss", "Validation loss", "val_loss", "nats/token", "cross-entropy on held-out text, mean over eval_batches, in eval mode"),
    Metric("train/grad_norm", "Gradient norm", "grad_norm", "", "total L2 norm of the gradients, before clipping"),
    Metric("train/grad_norm_first", "First block", "grad_norm_first", "", "L2 norm of the first block's gradients, before clipping"),
    Metric("train/grad_norm_last", "Last block", "grad_norm_last", "", "L2 norm of the last block's gradients, before clipping"),
    Metric("train/learning_rate", "Learning rate", "learning_rate", "", "rate used for this optimizer step"),
    Metric("train/update_ratio", "Update ÷ weight", "update_ratio", "", "norm of the weight update ÷ norm of the weights, matrices only"),
    Metric("train/loss_scale", "Loss scale", "loss_scale", "", "fp16 loss scaler's factor; logged only with the scaler on"),
    Metric("train/tokens", "Tokens", "tokens", "tokens", "tokens trained on since the start of the run"),
    Metric("train/epoch", "Epoch", "epoch", "epochs", "tokens trained on ÷ tokens in the training part"),
    Metric("perf/tokens_per_second", "Tokens per second", "tokens_per_second", "tokens/s", "training throughput since the last logged step, evaluation excluded"),
    Metric("perf/step_seconds", "Seconds a step", "step_seconds", "s", "median wall time of an optimizer step since the last logged step"),
    Metric("perf/data_seconds", "Seconds waiting for data", "data_seconds", "s", "wall time a step waited for its batch"),
    Metric("gpu/memory_gib", "GPU memory", "gpu_memory_gib", "GiB", "GPU memory allocated, peak since the last logged step"),
    Metric("gpu/memory_total_gib", "GPU memory in all", "gpu_memory_total_gib", "GiB", "memory of the GPU"),
    Metric("gpu/utilization", "GPU utilisation", "gpu_utilization", "%", "GPU utilisation, sampled when logged"),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}
