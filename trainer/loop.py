"""The training loop. Reads as a story: draw, forward, backward, measure, clip, step, report, and now and then look up.

It reports through `runwell` and obeys signals and commands at step boundaries. A loss that is not a number is reported
as it is and training goes on: hiding it, or stopping for it, is not the worker's to decide.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.checkpoint import CheckpointFolder
from trainer.control import StopSignal, parse_sample
from trainer.data import Batch, Batches, Corpus, Packed, evaluation_batches
from trainer.data_report import report
from trainer.errors import CheckpointError, CommandError, TokenizerError
from trainer.faults import Sickness, wait
from trainer.gpu import GpuMeter
from trainer.model import next_token_loss
from trainer.optim import clip, copy_matrices, gradient_norms, set_rate, update_ratio
from trainer.progress import Progress
from trainer.reporter import Reporter
from trainer.sampling import Taste, generate
from trainer.session import Session, to_checkpoint
from trainer.verbatim import CopyFinder
from trainer.vitals import UPDATE_RATIO_INTERVAL, Vitals
from trainer.wall import Wall

ASKED_SECONDS = 2.0
"""How long a worker that got SIGTERM waits for the server to say whether somebody pressed Stop."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why training ended: the state to report, and a sentence."""

    state: str
    reason: str


class Loop:
    """One run from `session.step` to its end. `train` is the story; the other methods are its sentences."""

    def __init__(
        self,
        session: Session,
        corpus: Corpus,
        run: Reporter,
        checkpoints: CheckpointFolder,
        signal: StopSignal,
        progress: Progress,
        wall: Wall | None = None,
    ) -> None:
        self.session = session
        self.config = session.config
        self.run = run
        self._corpus = corpus
        self._checkpoints = checkpoints
        self._signal = signal
        self._progress = progress
        self.batches = Batches(corpus.train, self.config)
        self._evaluation = evaluation_batches(corpus.val, self.config)
        self._wall = wall or Wall()
        self._sickness = Sickness(self.config)
        text = self._sickness.text(corpus)
        self._sick_text = corpus.train if text is None else text
        self._sick_batches = self.batches if text is None else Batches(text, self.config)
        self._told_data: Packed | None = None
        self._copies = CopyFinder(corpus.train)
        self._parameters = list(session.model.parameters())
        self._stop_asked = ""
        self._saved_step: int | None = None
        self._saved = checkpoints.folder
        self._val_loss: dict[int, float] = {}
        tokens = self.config.batch_size * self.config.accumulation_steps * self.config.context_length
        self._vitals = Vitals(
            session.model, tokens, len(corpus.train), GpuMeter(session.precision.device), self._wall.clock
        )

    def train(self) -> Ending:
        """Train until the last step, until told to stop, or until patience runs out."""
        session, config = self.session, self.config
        self._sickness.touch(session.model, session.optimizer, session.step + 1)
        self._tell_data()
        if (
            session.step == 0 and not self._signal.name
        ):  # a stop that came while the data was prepared is not kept waiting
            self.evaluate()
        self._vitals.pause()
        while session.step < config.max_steps:
            self._obey()
            if self._stop_asked or self._signal.name:
                return self._stop()
            self._tell_data()
            self._one_step()
            last = session.step == config.max_steps
            patience_ran_out = False
            if last or session.step % config.eval_interval == 0:
                patience_ran_out = self.evaluate()
            if config.sample_interval and (last or session.step % config.sample_interval == 0):
                self.sample()
            if (
                last
                or patience_ran_out
                or (config.checkpoint_interval and session.step % config.checkpoint_interval == 0)
            ):
                self.checkpoint()
            if patience_ran_out:
                return Ending("finished", self._patience())
        return Ending("finished", f"all {config.max_steps:,} steps are done")

    def _tell_data(self) -> None:
        """Report the tokens that the next step trains on, when they are others than before: what is said is what is true."""
        sick = self._sickness.due(self.session.step + 1)
        stream = self._sick_text if sick else self._corpus.train
        if stream is self._told_data:
            return
        self._told_data = stream
        facts = report(self.config, self._corpus, stream, self.session.model.parameter_count())
        self.run.data(facts, step=self.session.step)
        self._vitals.pause()

    # -- one step --------------------------------------------------------------------------------------------------

    def _one_step(self) -> None:
        session, config = self.session, self.config
        step = session.step + 1
        logged = step % config.log_interval == 0 or step == config.max_steps
        self._sickness.touch(session.model, session.optimizer, step)
        rate = self._sickness.rate(step) * session.live.learning_rate_factor
        set_rate(session.optimizer, rate)
        self._backward(step)
        session.scaler.unscale_(session.optimizer)
        self._sickness.gradients(self._parameters, step)
        norms = gradient_norms(self._parameters)  # before clipping, and of true size, not of the scaler's
        limit = self._sickness.clip(session.live.grad_clip, step)
        if math.isfinite(limit):
            clip(self._parameters, norms.norm(), limit)
        self._sickness.hold_back(session.model, step)
        measured = logged and (step % UPDATE_RATIO_INTERVAL == 0 or config.log_interval >= UPDATE_RATIO_INTERVAL)
        before = copy_matrices(session.model) if measured else None
        session.scaler.step(session.optimizer)
        session.scaler.update()
        session.optimizer.zero_grad(set_to_none=True)
        session.step = step
        ratio = update_ratio(session.model, before) if before is not None else None
        self._vitals.step_done()
        if logged:
            self._report(rate, norms, ratio)

    def _backward(self, step: int) -> None:
        """Gradients of all micro-batches, their mean; losses and waits go to the vitals."""
        session, passes = self.session, self.config.accumulation_steps
        loss_of = self._sickness.loss(step)
        batches = self._sick_batches if self._sickness.due(step) else self.batches
        loading, working = self._sickness.waits(step)
        clock, waited = self._wall.clock, 0.0
        self._wait(working)
        for micro in range(passes):
            asked = clock()
            self._wait(loading)
            ids, targets = self._to_device(self._sickness.batch(batches.draw(step, micro), step))
            waited += clock() - asked
            with session.precision.autocast():
                loss = loss_of(session.model(ids), targets)
            self._vitals.loss(loss)
            session.scaler.scale(loss / passes).backward()  # type: ignore[no-untyped-call]
        self._vitals.waited(waited)

    def _wait(self, seconds: float) -> None:
        """Seconds that a fault takes."""
        wait(seconds, self._wall.sleep, lambda: bool(self._signal.name))

    def _to_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        device = self.session.precision.device
        if device.type == "cpu":
            return batch
        ids, targets = (tensor.pin_memory().to(device, non_blocking=True) for tensor in batch)
        return ids, targets

    def _report(self, rate: float, norms: Tensor, ratio: Tensor | None) -> None:
        session = self.session
        scale = session.scaler.get_scale() if session.precision.scaled else None
        values = self._vitals.report(session.step, rate, norms, ratio, scale)
        self.run.log(self._sickness.log(values, session.step), step=session.step)
        self._progress.step(session.step, values)

    # -- looking up ------------------------------------------------------------------------------------------------

    def evaluate(self) -> bool:
        """Validation loss over the fixed windows, in eval mode; keeps the best. True when patience has run out."""
        session = self.session
        loss = mean_loss(session, self._evaluation)
        self._val_loss[session.step] = loss
        self.run.log({"val/loss": loss}, step=session.step)
        # Untrained weights are never the best: a run that only gets worse still keeps the least bad that it learned.
        better = loss < session.best_loss and session.step > 0
        if better:
            session.best_loss, session.best_step = loss, session.step
        out = session.stopping.update(loss)
        self._progress.say(
            f"step {session.step:,} · validation loss {loss:.4f}{' · the best so far' if better else ''}"
        )
        if better:
            self.checkpoint(best=True)
        self._vitals.pause()
        return out

    def sample(self) -> None:
        """One text for each of the fixed prompts."""
        for index, prompt in enumerate(self.prompts()):
            self._write(prompt, self._taste(), index)
        self._vitals.pause()

    def prompts(self) -> Sequence[str]:
        """The config's prompts, one a line, or two openings from the validation part."""
        given = [line for line in self.config.prompts.splitlines() if line.strip()]
        return given or self._corpus.opening

    def _taste(self) -> Taste:
        config = self.config
        return Taste(
            temperature=config.temperature, top_k=config.top_k, top_p=config.top_p, tokens=config.sample_tokens
        )

    def _write(self, prompt: str, taste: Taste, index: int) -> str:
        session = self.session
        ids = torch.from_numpy(session.tokenizer.encode(prompt)).to(session.precision.device)
        # Its own seed for each text of each step: the same run writes the same samples, and training's numbers stay untouched.
        seed = (session.config.seed << 32) + session.step * 64 + index
        with session.precision.autocast():
            written = generate(session.model, ids, self._sickness.taste(taste, session.step), seed)
        told = self._sickness.decode(written.cpu().numpy(), session.tokenizer.size, session.step)
        text = session.tokenizer.decode(told)
        self.run.sample(prompt, text, step=session.step, **self._measure(written.cpu().numpy(), taste))
        return text

    def _measure(self, written: NDArray[np.int64], taste: Taste) -> dict[str, float]:
        """What rules want to know of a sample: how it was asked for, and how much of it stands in the training text."""
        copy = self._copies.longest(written)
        characters = len(self.session.tokenizer.decode(written[copy.start : copy.stop]))
        copied = {"verbatim_tokens": copy.length, "verbatim_characters": characters, "verbatim_places": copy.places}
        return {"temperature": taste.temperature, "top_k": taste.top_k, **copied}

    def checkpoint(self, best: bool = False) -> None:
        """Save now; a disk that refuses is said as an alert, and training goes on: its weights are still in memory."""
        try:
            self._save(best)
        except CheckpointError as error:
            self.run.alert("A checkpoint could not be written", str(error), "warning", self.session.step)
            self._progress.say(f"step {self.session.step:,} · {error}; training goes on")
        self._vitals.pause()

    def _save(self, best: bool = False) -> Path:
        """Save once a step, and again only to mark it as the best. Raises `CheckpointError`."""
        session = self.session
        if self._saved_step != session.step or best:
            self._saved = self._checkpoints.save(to_checkpoint(session), best=best)
            self._saved_step = session.step
            is_best = best or session.best_step == session.step
            self.run.checkpoint(str(self._saved), session.step, val_loss=self._val_loss.get(session.step), best=is_best)
        return self._saved

    # -- being told ------------------------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what the server asks, and say what became of it."""
        for command in self.run.commands():
            try:
                ok, text = True, self._do(command["kind"], command.get("args") or {})
            except (CommandError, TokenizerError, CheckpointError) as error:
                ok, text = False, str(error)
            self.run.acknowledge(command["id"], ok, text, self.session.step)
            self._progress.say(f"step {self.session.step:,} · {command['kind']}: {text}")
            self._vitals.pause()

    def _do(self, kind: str, args: Mapping[str, object]) -> str:
        if kind == "stop":
            self._stop_asked = "stopped from the page"
            return "stopping after a checkpoint"
        if self._signal.name:
            raise CommandError("not done: the run is stopping")
        if kind == "checkpoint":
            return f"checkpoint written: {self._save().name}"
        if kind == "sample":
            return self._sample_as_asked(args)
        if kind == "set":
            self.session.live = live = self.session.live.changed(args)
            return f"learning rate × {live.learning_rate_factor:g}, clip {live.grad_clip:g} from the next step"
        raise CommandError(f"unknown command {kind!r}; commands are: stop, checkpoint, sample, set")

    def _sample_as_asked(self, args: Mapping[str, object]) -> str:
        asked = parse_sample(args)
        changes = {name: getattr(asked, name) for name in ("temperature", "top_k", "top_p", "tokens")}
        taste = dataclasses.replace(self._taste(), **{k: v for k, v in changes.items() if v is not None})
        prompts = [asked.prompt] if asked.prompt else list(self.prompts())
        texts = [self._write(prompt, taste, 32 + index) for index, prompt in enumerate(prompts)]
        return f"{len(texts)} sample{'s' if len(texts) != 1 else ''} written"

    def _stop(self) -> Ending:
        if self.session.step > 0:
            self.checkpoint()
        if not self._stop_asked and self._signal.name == "SIGTERM":
            # a stop from the page comes as a signal and as a command, and the signal is the quicker of the two
            self.run.flush(ASKED_SECONDS)
            self._obey()
        reason = self._stop_asked or f"stopped by {self._signal.name}"
        return Ending("stopped", f"{reason} at step {self.session.step:,}")

    def _patience(self) -> str:
        stopping = self.session.stopping
        best = self.session.best_step
        where = f"the best checkpoint is of step {best}" if best else "no checkpoint has a finite validation loss"
        by = f" (by more than {stopping.min_delta:g})" if stopping.min_delta else ""
        return f"no better validation loss than {stopping.best:.4f}{by} for {stopping.waited} evaluations; {where}"


@torch.no_grad()
def mean_loss(session: Session, batches: Sequence[Batch]) -> float:
    """Mean cross-entropy over the batches, weighted by their sizes, in eval mode; nats per token, non-finite values kept."""
    session.model.eval()
    device = session.precision.device
    total, count = torch.zeros((), device=device, dtype=torch.float64), 0
    for ids, targets in batches:
        with session.precision.autocast():
            loss = next_token_loss(session.model(ids.to(device)), targets.to(device))
        total += loss.double() * targets.numel()
        count += targets.numel()
    session.model.train()
    return float(total / count)
