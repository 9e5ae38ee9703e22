"""One worker from settings to exit status: builds what a run needs, trains, and ends the run in its true state.

`main` has read the command line; this module is the first that loads torch.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import traceback
from pathlib import Path

import torch

import runwell
from trainer.catalog import resolve
from trainer.checkpoint import Checkpoint, CheckpointFolder, parse_reference
from trainer.config import ConfigError, TrainConfig
from trainer.control import StopSignal
from trainer.data import Corpus, prepare
from trainer.errors import CheckpointError, TrainerError
from trainer.loop import Ending, Loop
from trainer.precision import Precision, choose
from trainer.progress import Progress
from trainer.reporter import Reporter
from trainer.room import check_room
from trainer.session import Session, new_session, restore
from trainer.sources import load_source
from trainer.tokenizer import from_json

BAD_INPUT, CRASHED = 2, 1


def work(config: TrainConfig, home: Path, data_dir: Path, stop: StopSignal) -> int:
    """Train; the exit status: 0 finished or stopped, 2 for input that cannot be used, 1 for a crash.

    `home` holds caches and checkpoints, `data_dir` the data sets.
    """
    run: Reporter | None = None
    try:
        resolve(config.dataset, data_dir)  # a mistyped name should not leave a run behind
        precision = choose(config)
        loaded = _checkpoint(config, home)
        if loaded is None:
            run = _announce(config)  # before the data: preparing it can take long, and is then seen
        corpus = _corpus(config, home, data_dir, loaded)
        config = dataclasses.replace(config, vocab_size=corpus.tokenizer.size)
        session = _session(config, corpus, precision, loaded)
        if loaded is not None:
            run = _resume(session, loaded)  # only now: a checkpoint that does not fit must not touch the run it is of
        assert run is not None
        _describe(session, corpus, run)
        folder = CheckpointFolder(home / "runs" / run.id / "checkpoints")
        ending = Loop(session, corpus, run, folder, stop, Progress(config.max_steps)).train()
    except (TrainerError, ConfigError) as error:
        return _end(run, Ending("crashed", str(error)), BAD_INPUT)
    except Exception as error:
        traceback.print_exc()
        return _end(run, Ending("crashed", explain(error, config)), CRASHED)
    return _end(run, ending, 0)


def explain(error: Exception, config: TrainConfig) -> str:
    """One sentence for an exception that nobody foresaw; for memory that ran out, what to change."""
    text = " ".join(str(error).split())
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in text:
        return (
            f"out of memory with batch_size = {config.batch_size} and context_length = {config.context_length}; "
            "halve batch_size and double accumulation_steps, or take a smaller model"
        )
    return f"{type(error).__name__}: {text[:300]}"


def _checkpoint(config: TrainConfig, home: Path) -> Checkpoint | None:
    if not config.resume:
        return None
    run_id, which = parse_reference(config.resume)
    try:
        checkpoint = CheckpointFolder(home / "runs" / run_id / "checkpoints").load(which)
    except CheckpointError as error:
        raise CheckpointError(f"resume = {config.resume!r}: {error}") from None
    if checkpoint.step >= config.max_steps:
        raise ConfigError(
            "max_steps",
            f"resume = {config.resume!r} is at step {checkpoint.step}, max_steps = {config.max_steps}: "
            "nothing is left to train; raise max_steps (--max-steps)",
        )
    return checkpoint


def _corpus(config: TrainConfig, home: Path, data_dir: Path, loaded: Checkpoint | None) -> Corpus:
    cache = home / "cache"
    _say(f"preparing the data set {config.dataset}")
    source = load_source(config.dataset, data_dir, cache, config.data_limit_characters, _say)
    tokenizer = from_json(loaded.tokenizer) if loaded else None
    return prepare(config, source.text, cache, tokenizer, _say, source.documents)


def _session(config: TrainConfig, corpus: Corpus, precision: Precision, loaded: Checkpoint | None) -> Session:
    check_room(config, corpus.tokenizer.size, precision.device)
    session = new_session(config, corpus.tokenizer, precision)
    for line in config.prompts.splitlines():
        corpus.tokenizer.encode(line)  # a prompt that cannot be encoded is better refused now than at the first sample
    if loaded:
        restore(session, loaded)
    return session


def _announce(config: TrainConfig) -> Reporter:
    name = config.name or f"{config.preset} on {config.dataset}"
    run: Reporter = runwell.init(config.project, name=name, config=config.to_mapping())
    return run


def _resume(session: Session, loaded: Checkpoint) -> Reporter:
    run = _announce(session.config)
    if parse_reference(session.config.resume)[0] == run.id:
        run.rewind(loaded.step)
    else:
        # The other run's best checkpoint is in the other run's folder: this one keeps a best of its own.
        session.best_loss, session.best_step = math.inf, None
    return run


def _describe(session: Session, corpus: Corpus, run: Reporter) -> None:
    config, precision = session.config, session.precision
    # What only the worker can know: rules compare the loss with ln of the vocabulary that the data really has.
    size, parameters = corpus.tokenizer.size, session.model.parameter_count()
    run.update_config({"vocab_size": size, "actual_vocab_size": size, "parameters": parameters})
    tokens = config.batch_size * config.accumulation_steps * config.context_length
    epochs = tokens * config.max_steps / len(corpus.train)
    lines = [
        f"model: {parameters:,} parameters, {config.n_layer} layers, {config.n_head} heads, "
        f"width {config.n_embd}, context {config.context_length}",
        f"data: {config.dataset}, {corpus.characters:,} characters, {len(corpus.train):,} tokens to train on, "
        f"{len(corpus.val):,} to validate",
        f"tokenizer: {corpus.tokenizer.kind}, {corpus.tokenizer.size:,} tokens, gives the text back exactly",
        f"device: {precision.device.type}, {precision.name} ({precision.reason})",
        f"plan: {config.max_steps:,} steps of {tokens:,} tokens, {epochs:.1f} epochs"
        + (f", from step {session.step:,}" if session.step else ""),
    ]
    _say("\n".join(lines))


def _say(text: str) -> None:
    print(text, flush=True)


def _end(run: Reporter | None, ending: Ending, status: int) -> int:
    print(f"{ending.state}: {ending.reason}", file=sys.stderr if status else sys.stdout, flush=True)
    if run is not None:
        run.finish(state=ending.state, reason=ending.reason)
    return status
