"""What the trainer's tests share: a tiny config, a tiny text, a run that remembers what it was told, a loop made of them."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer.checkpoint import CheckpointFolder
from trainer.config import TrainConfig
from trainer.control import StopSignal
from trainer.data import Corpus, prepare
from trainer.loop import Loop
from trainer.precision import choose
from trainer.progress import Progress
from trainer.session import Session, new_session

TINY: dict[str, Any] = {
    "tokenizer": "char", "n_layer": 2, "n_head": 2, "n_embd": 16, "n_ff": 32, "context_length": 16, "batch_size": 4,
    "max_steps": 6, "warmup_steps": 2, "eval_interval": 3, "eval_batches": 2, "sample_interval": 0, "sample_tokens": 8,
    "checkpoint_interval": 0, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors are faster on one thread, and sums come out in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class RecordingRun:
    """A `Reporter` that remembers. Commands put into `inbox` are given out once."""

    def __init__(self) -> None:
        self.id = "r-test"
        self.points: list[tuple[int, dict[str, float]]] = []
        self.samples: list[tuple[int, str, str]] = []
        self.measures: list[dict[str, float]] = []
        """What came with each sample."""
        self.checkpoints: list[tuple[int, str, float | None, bool]] = []
        self.answers: list[tuple[int, bool, str, int]] = []
        self.inbox: list[dict[str, Any]] = []
        self.before_step: dict[int, dict[str, Any]] = {}
        """Commands that come before the step of that number."""
        self.on_flush: list[dict[str, Any]] = []
        """Commands that come with the answer to what a flush sends."""
        self.rewinds: list[int] = []
        self.config: dict[str, Any] = {}
        self.told_data: list[tuple[int, dict[str, Any]]] = []
        self.alerts: list[tuple[int, str, str]] = []
        self.ended: tuple[str, str] | None = None

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.points.append((step, dict(values)))
        if "train/loss" in values and step + 1 in self.before_step:
            self.inbox.append(self.before_step.pop(step + 1))

    def update_config(self, settings: Mapping[str, Any]) -> None:
        self.config |= settings

    def data(self, facts: Mapping[str, Any], step: int) -> None:
        self.told_data.append((step, dict(facts)))

    def sample(self, prompt: str, text: str, step: int, **measures: float) -> None:
        self.samples.append((step, prompt, text))
        self.measures.append(measures)

    def checkpoint(self, path: str, step: int, val_loss: float | None = None, best: bool = False) -> None:
        self.checkpoints.append((step, path, val_loss, best))

    def alert(self, title: str, text: str, level: str, step: int) -> None:
        self.alerts.append((step, title, text))

    def commands(self) -> Sequence[Mapping[str, Any]]:
        given, self.inbox = self.inbox, []
        return given

    def acknowledge(self, command_id: int, ok: bool, text: str, step: int) -> None:
        self.answers.append((command_id, ok, text, step))

    def flush(self, timeout: float) -> int:
        self.inbox += self.on_flush
        return 0

    def rewind(self, step: int) -> None:
        self.rewinds.append(step)

    def finish(self, state: str = "finished", reason: str = "") -> None:
        self.ended = (state, reason)

    def series(self, name: str) -> dict[int, float]:
        """Values of one metric by step."""
        return {step: values[name] for step, values in self.points if name in values}


@pytest.fixture
def run() -> RecordingRun:
    return RecordingRun()


@pytest.fixture
def config() -> Callable[..., TrainConfig]:
    """Makes a tiny config with changes."""
    return lambda **changes: TrainConfig(**{**TINY, **changes})


@pytest.fixture(scope="session")
def text() -> str:
    """About 6,000 characters of words in no order: enough to train on, impossible to finish learning."""
    sentence = "the quick brown fox jumps over a lazy dog while seven wise owls watch from an old oak tree"
    picks = random.Random(7).choices(sentence.split(), k=1200)
    return "\n".join(" ".join(picks[i : i + 12]) for i in range(0, len(picks), 12))


@pytest.fixture
def corpus(tmp_path: Path, text: str) -> Callable[[TrainConfig], Corpus]:
    """Prepares the shared text for a config."""
    return lambda config: prepare(config, text, tmp_path / "cache")


MakeLoop = Callable[..., Loop]


@pytest.fixture
def make_loop(tmp_path: Path, corpus: Callable[[TrainConfig], Corpus], run: RecordingRun) -> MakeLoop:
    """A loop over a config: fresh, or over a given session or data; reports to `run`."""

    def make(config: TrainConfig, session: Session | None = None, data: Corpus | None = None) -> Loop:
        data = data or corpus(config)
        session = session or new_session(config, data.tokenizer, choose(config))
        folder = CheckpointFolder(tmp_path / "checkpoints")
        progress = Progress(config.max_steps, write=lambda line: None)
        return Loop(session, data, run, folder, StopSignal(), progress)

    return make


@pytest.fixture
def undisturbed_signals() -> Iterator[None]:
    """Puts the signal handlers back that a worker's `main` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
