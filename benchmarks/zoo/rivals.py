"""Other tools as judges of the same runs: what their words stand for, and marks made of them. Pure, but for asking the peers.

`trainproof` and `training-doctor` are asked themselves, in an interpreter of their own (`benchmarks.zoo.peer_driver`); SageMaker
Debugger's and Lightning's rules as `benchmarks.zoo.baselines` writes them down. Each word of theirs stands for the rules of ours
that it could mean, read in its favour.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.zoo.baselines import LIGHTNING, SAGEMAKER, Rule
from benchmarks.zoo.harm import Outcome, Pair
from benchmarks.zoo.judging import NON_FINITE, Clock, Mark, Word, label_of
from benchmarks.zoo.spec import Case

Events = Sequence[Mapping[str, Any]]
Said = Sequence[tuple[str, int]]
"""Words, and the index of the event after which each was first said."""

PEERS = ("trainproof", "training-doctor")
COLUMNS: Mapping[str, str] = {
    "train/loss": "loss", "val/loss": "eval_loss", "train/learning_rate": "lr", "train/grad_norm": "grad_norm", "time": "time",
    "perf/step_seconds": "step_time", "perf/data_seconds": "loader_time",
}  # fmt: skip
"""Our series → the column names that both peers know."""

_HIGH = ("learning-rate-too-high", "divergence", "loss-spike", "exploding-gradients", "poor-data")
_STUCK = (
    "loss-not-decreasing", "plateau", "learning-rate-too-low", "underfitting", "update-ratio", "vanishing-gradients",
    "learning-rate-schedule",
)  # fmt: skip
_MEMORY = ("overfitting", "memorized-output", "duplicate-data", "poor-data")
_SLOW = ("slow-training", "data-starved", "stalled-run")
_MEANINGS: Mapping[str, Sequence[str]] = {
    "TP-NAN": NON_FINITE, "TP-NAN-GRAD": NON_FINITE, "TP-ZERO-LOSS": (*NON_FINITE, "suspicious-loss"),
    "TP-ZERO-LOSS-ONSET": (*NON_FINITE, "suspicious-loss"), "TP-ZERO-GRAD": (*_STUCK, *NON_FINITE), "TP-FLAT": _STUCK,
    "TP-DEAD-RUN": _STUCK, "TP-DIVERGE": _HIGH, "TP-GRAD-SPIKE": _HIGH, "TP-ZERO-LR": ("learning-rate-schedule", "learning-rate-too-low"),
    "TP-ZERO-LR-PARTIAL": ("learning-rate-schedule", "learning-rate-too-low"), "TP-OVERFIT": _MEMORY, "TP-STEP-CLIFF": _SLOW,
    "TP-LOADER-BOUND": _SLOW,
    "lr_too_high": (*_HIGH, *NON_FINITE), "lr_too_low": _STUCK, "plateau": _STUCK, "overfitting": _MEMORY,
    "gradient_instability": (*_HIGH, *NON_FINITE, "vanishing-gradients"),
    "LossNotDecreasing": (*_STUCK, "divergence", "loss-spike"), "Overfit": _MEMORY, "Overtraining": (*_MEMORY, *_STUCK),
    "ExplodingTensor": (*NON_FINITE, "exploding-gradients"), "VanishingGradient": _STUCK, "WeightUpdateRatio": ("update-ratio", *_STUCK, *_HIGH),
    "StalledTrainingRule": _SLOW,
    "EarlyStopping": (*_MEMORY, *_STUCK, "divergence", *NON_FINITE), "SpikeDetection": (*_HIGH, *NON_FINITE),
}  # fmt: skip
ANSWERS: Mapping[str, frozenset[str]] = {word: frozenset(rules) for word, rules in _MEANINGS.items()}


class PeerError(RuntimeError):
    """The peers could not be asked. The message says what to install where."""


def rows(events: Events) -> list[dict[str, float]]:
    """The metric events as the rows that other tools read."""
    return [
        {"step": int(event["step"])} | {column: float(event[name]) for name, column in COLUMNS.items() if name in event}
        for event in metrics(events)
    ]


def metrics(events: Events) -> list[Mapping[str, Any]]:
    """The events that are rows of numbers."""
    return [event for event in events if event.get("type") == "metrics"]


def baseline(rules: Mapping[str, Rule], events: Events) -> Said:
    """What the rules say of the run."""
    lines = metrics(events)
    fired = [(word, rule(lines)) for word, rule in rules.items()]
    return [(word, at) for word, at in fired if at is not None]


def ask_peers(python: Path, runs: Iterable[tuple[str, Events]]) -> Mapping[str, Mapping[str, Said]]:
    """What both peers say of each run: peer → run → words. Raises `PeerError`."""
    driver = Path(__file__).with_name("peer_driver.py")
    told = "\n".join(json.dumps({"name": name, "rows": rows(events)}) for name, events in runs)
    try:
        done = subprocess.run([python, "-P", driver], input=told, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise PeerError(f"there is no interpreter {python}") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerError(
            f"{python} could not ask them ({last}); make an environment for them with "
            "python -m venv DIR && DIR/bin/pip install trainproof==0.22.0 training-doctor==0.1.0"
        ) from None
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {peer: {answer["name"]: [(w, at) for w, at in answer[peer]] for answer in answers} for peer in PEERS}


def mark(case: Case, events: Events, said: Said, ended: Pair | Outcome | None) -> Mark:
    """The mark of a tool that said this of the case. What it says first is what it would have one act on first."""
    clock, words = Clock(case, events), dict[str, Word]()
    for at, event in enumerate(metrics(events)):
        clock.tick(event)
        words |= {word: clock.word(word) for word, when in said if when == at}
    first = next((word for word, _ in sorted(said, key=lambda pair: pair[1])), "")
    return Mark(case=case, label=label_of(case, ended), said=words, first=first, primary=first, answers=ANSWERS)


def sagemaker(events: Events) -> Said:
    """SageMaker Debugger's rules."""
    return baseline(SAGEMAKER, events)


def lightning(events: Events) -> Said:
    """Lightning's two callbacks."""
    return baseline(LIGHTNING, events)
