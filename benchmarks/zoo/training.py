"""From a case to its events: trains the case's small model in this process with the product's own loop. No files are kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.zoo import modular, texts
from benchmarks.zoo.feeds import FEEDS
from benchmarks.zoo.reporter import FastWall, MemoryCheckpoints, Recording
from benchmarks.zoo.shapes import SHAPES
from benchmarks.zoo.spec import Case
from trainer.config import TrainConfig
from trainer.control import StopSignal
from trainer.data import Corpus, prepare
from trainer.loop import Loop
from trainer.precision import choose
from trainer.progress import Progress
from trainer.session import Session, new_session, restore

PRETRAINING_STEPS = 400
EARLIER = ("finetune", "continued")
"""Starts from weights that have learned before."""
PRETRAINING_TEXT = {"docs": "code", "code": "docs"}


def train(case: Case, cache: Path) -> list[dict[str, Any]]:
    """The run log of the case. `cache` holds texts and tokens that several cases share."""
    return _add(case) if case.start == "modular" else _learn(case, cache)


def _add(case: Case) -> list[dict[str, Any]]:
    run = Recording(FastWall().clock)
    run.update_config(modular.config(case.settings))
    modular.train(case.settings, run)
    return run.events


def _learn(case: Case, cache: Path) -> list[dict[str, Any]]:
    config = TrainConfig(**case.settings)
    corpus = _corpus(case, config, cache)
    config = dataclasses.replace(config, vocab_size=corpus.tokenizer.size)
    wall = FastWall()
    run = Recording(wall.clock, _factor(case, config))
    run.smooth, run.only = case.log.get("smooth", 0.0), frozenset(case.log.get("only", ()))
    run.update_config(declared(case, config))
    session = new_session(config, corpus.tokenizer, choose(config))
    if case.start in EARLIER:
        _pretrain(session, PRETRAINING_TEXT[case.text] if case.start == "finetune" else case.text, cache)
    checkpoints = MemoryCheckpoints(config.checkpoint_interval)
    if case.start == "resume":
        # Killed some steps after its checkpoint: what it logged in between is logged again.
        run.stop_at = config.checkpoint_interval + config.checkpoint_interval // 2
    loop = _loop(session, corpus, run, checkpoints, wall)
    if case.feed:
        loop.batches = FEEDS[case.feed](corpus.train, config)
    ending = loop.train()
    if case.start == "resume":
        session = _resumed(session, checkpoints, run)
        ending = _loop(session, corpus, run, MemoryCheckpoints(0), wall).train()
    run.finish(ending.state, ending.reason)
    return run.events


def data_events(case: Case, cache: Path) -> list[dict[str, Any]]:
    """What the case's run tells of its data before it begins, without training it; nothing for one that reads no text."""
    if case.start == "modular":
        return []
    config = TrainConfig(**case.settings)
    corpus = _corpus(case, config, cache)
    config = dataclasses.replace(config, vocab_size=corpus.tokenizer.size)
    wall, stopped = FastWall(), StopSignal()
    stopped.name = "before it begins"
    run = Recording(wall.clock)
    session = new_session(config, corpus.tokenizer, choose(config))
    _loop(session, corpus, run, MemoryCheckpoints(0), wall, stopped).train()
    return [event for event in run.events if event["type"] == "data"]


def declared(case: Case, config: TrainConfig) -> dict[str, Any]:
    """The config as the run declares it: its illness is not in it, and a fine-tune says what it started from."""
    told = {**config.to_mapping(), "actual_vocab_size": config.vocab_size, "dataset": case.text}
    told |= {"resume": "an-earlier-run"} if case.start in EARLIER else {}
    return {
        name: value for name, value in told.items() if name not in ("fault", "fault_step", "name", "project", "preset")
    }


def _corpus(case: Case, config: TrainConfig, cache: Path) -> Corpus:
    text = texts.text(case.text, cache)[: config.data_limit_characters or None]
    return prepare(config, text, cache)


def _factor(case: Case, config: TrainConfig) -> Callable[[int], float] | None:
    if not case.shape:
        return None
    shape = SHAPES[case.shape]
    return lambda step: shape(step / config.max_steps)


def _loop(
    session: Session,
    corpus: Corpus,
    run: Recording,
    checkpoints: MemoryCheckpoints,
    wall: FastWall,
    signal: StopSignal | None = None,
) -> Loop:
    quiet = Progress(session.config.max_steps, write=lambda line: None)
    return Loop(session, corpus, run, checkpoints, signal or StopSignal(), quiet, wall.wall())


def _pretrain(session: Session, text: str, cache: Path) -> None:
    """Weights that learned that text first, with an optimizer that then knows nothing of it."""
    config = dataclasses.replace(
        session.config, max_steps=PRETRAINING_STEPS, learning_rate=3e-3, min_learning_rate=3e-4, eval_interval=1000
    )
    corpus = prepare(config, texts.text(text, cache), cache)
    teacher = new_session(config, corpus.tokenizer, session.precision)
    wall = FastWall()
    _loop(teacher, corpus, Recording(wall.clock), MemoryCheckpoints(0), wall).train()
    session.model.load_state_dict(teacher.model.state_dict())


def _resumed(session: Session, checkpoints: MemoryCheckpoints, run: Recording) -> Session:
    kept = checkpoints.kept
    fresh = new_session(session.config, session.tokenizer, session.precision)
    restore(fresh, kept)
    run.rewind(kept.step)
    return fresh
