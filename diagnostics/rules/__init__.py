"""The table of rules: every rule that exists, by hand, so that reading this file is knowing what is judged."""

from __future__ import annotations

from diagnostics.rule import Rule
from diagnostics.rules.crashed_run import crashed_run
from diagnostics.rules.data_starved import data_starved
from diagnostics.rules.divergence import divergence
from diagnostics.rules.duplicate_data import duplicate_data
from diagnostics.rules.exploding_gradients import exploding_gradients
from diagnostics.rules.garbage_output import garbage_output
from diagnostics.rules.gpu_memory_pressure import gpu_memory_pressure
from diagnostics.rules.gradient_clip_saturation import gradient_clip_saturation
from diagnostics.rules.initial_loss import initial_loss
from diagnostics.rules.learning_rate_schedule import learning_rate_schedule
from diagnostics.rules.learning_rate_too_high import learning_rate_too_high
from diagnostics.rules.learning_rate_too_low import learning_rate_too_low
from diagnostics.rules.loss_not_decreasing import loss_not_decreasing
from diagnostics.rules.loss_spike import loss_spike
from diagnostics.rules.masked_non_finite import masked_non_finite
from diagnostics.rules.memorized_output import memorized_output
from diagnostics.rules.non_finite_gradient import non_finite_gradient
from diagnostics.rules.non_finite_loss import non_finite_loss
from diagnostics.rules.overfitting import overfitting
from diagnostics.rules.plateau import plateau
from diagnostics.rules.poor_data import poor_data
from diagnostics.rules.repetitive_output import repetitive_output
from diagnostics.rules.slow_training import slow_training
from diagnostics.rules.stalled_run import stalled_run
from diagnostics.rules.suspicious_loss import suspicious_loss
from diagnostics.rules.train_val_overlap import train_val_overlap
from diagnostics.rules.underfitting import underfitting
from diagnostics.rules.update_ratio import update_ratio
from diagnostics.rules.vanishing_gradients import vanishing_gradients

RULES: tuple[Rule, ...] = (
    non_finite_loss,
    masked_non_finite,
    non_finite_gradient,
    gradient_clip_saturation,
    update_ratio,
    loss_not_decreasing,
    learning_rate_too_low,
    learning_rate_too_high,
    learning_rate_schedule,
    divergence,
    loss_spike,
    plateau,
    overfitting,
    underfitting,
    suspicious_loss,
    exploding_gradients,
    vanishing_gradients,
    slow_training,
    data_starved,
    gpu_memory_pressure,
    initial_loss,
    garbage_output,
    repetitive_output,
    memorized_output,
    train_val_overlap,
    duplicate_data,
    poor_data,
    stalled_run,
    crashed_run,
)

BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}
