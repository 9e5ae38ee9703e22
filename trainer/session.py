"""The state of one training run: model, optimizer, counters; how it becomes a checkpoint and comes back from one.

Everything that the next step depends on is in here, so that a resumed run equals an uninterrupted one, bit for bit on a CPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.control import LiveSettings
from trainer.errors import CheckpointError
from trainer.model import GPT, Shape
from trainer.optim import make_optimizer
from trainer.precision import Precision
from trainer.stopping import EarlyStopping
from trainer.tokenizer import Tokenizer


@dataclass(kw_only=True)
class Session:
    """One training run in memory. `step` counts the optimizer steps that are done."""

    config: TrainConfig
    tokenizer: Tokenizer
    precision: Precision
    model: GPT
    optimizer: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    stopping: EarlyStopping
    live: LiveSettings
    step: int = 0
    best_loss: float = math.inf
    """Lowest validation loss so far, nats per token."""
    best_step: int | None = None


def new_session(config: TrainConfig, tokenizer: Tokenizer, precision: Precision) -> Session:
    """A fresh model with weights from the seed, on its device, and an optimizer that knows nothing yet."""
    torch.manual_seed(config.seed)
    model = GPT(Shape.of(config, tokenizer.size), config.dropout).to(precision.device)
    return Session(
        config=config,
        tokenizer=tokenizer,
        precision=precision,
        model=model,
        optimizer=make_optimizer(model, config),
        scaler=torch.amp.GradScaler(precision.device.type, enabled=precision.scaled),
        stopping=EarlyStopping(config.early_stopping_patience, config.early_stopping_min_delta),
        live=LiveSettings(grad_clip=config.grad_clip),
    )


def to_checkpoint(session: Session) -> Checkpoint:
    """Everything of the session, as tensors and JSON values; nothing is shared with the running model's later steps."""
    weights = {name: value.detach().cpu().contiguous() for name, value in session.model.state_dict().items()}
    state = {
        "config": session.config.to_mapping(),
        "shape": dataclasses.asdict(session.model.shape),
        "live": dataclasses.asdict(session.live),
        "best_loss": session.best_loss if math.isfinite(session.best_loss) else None,
        "best_step": session.best_step,
        "stopping": [session.stopping.best if math.isfinite(session.stopping.best) else None, session.stopping.waited],
        "scaler": session.scaler.state_dict(),
    }
    return Checkpoint(
        step=session.step,
        weights=weights,
        optimizer={**_moments(session), **_random_states(session.precision.device)},
        tokenizer=session.tokenizer.to_json(),
        state=state,
    )


def restore(session: Session, checkpoint: Checkpoint) -> None:
    """Put a checkpoint into a fresh session. Raises `CheckpointError` naming the setting when the model is another.

    The session's own settings decide what comes next (rate, data, clip), except live changes, which are kept when the
    clip that they took the place of is still the declared one.
    """
    _check_shape(session.model.shape, checkpoint)
    session.model.load_state_dict(dict(checkpoint.weights))
    state = checkpoint.state
    _restore_moments(session, checkpoint.optimizer)
    _restore_random(session.precision.device, checkpoint.optimizer)
    if session.precision.scaled and state["scaler"]:
        session.scaler.load_state_dict(state["scaler"])
    session.step = checkpoint.step
    session.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
    session.best_step = state["best_step"]
    best, waited = state["stopping"]
    session.stopping.best, session.stopping.waited = math.inf if best is None else float(best), int(waited)
    if state["config"]["grad_clip"] == session.config.grad_clip:
        session.live = LiveSettings(**state["live"])


def _check_shape(shape: Shape, checkpoint: Checkpoint) -> None:
    saved: Mapping[str, Any] = checkpoint.state["shape"]
    differing = [
        f"{name} = {saved.get(name)} there, {value} here"
        for name, value in dataclasses.asdict(shape).items()
        if saved.get(name) != value
    ]
    if differing:
        raise CheckpointError(
            f"the checkpoint of step {checkpoint.step} is of another model ({'; '.join(differing)}); "
            "resume with the settings of the run that wrote it"
        )


def _moments(session: Session) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, parameter in session.model.named_parameters():
        for key, value in session.optimizer.state.get(parameter, {}).items():
            found[f"{key}.{name}"] = value.detach().cpu().contiguous()
    return found


def _restore_moments(session: Session, tensors: Mapping[str, Tensor]) -> None:
    for name, parameter in session.model.named_parameters():
        keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in tensors]
        if keys:
            session.optimizer.state[parameter] = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in keys}


def _random_states(device: torch.device) -> dict[str, Tensor]:
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_random(device: torch.device, tensors: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda" and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
