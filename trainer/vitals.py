"""What is measured while training, under the names of `runwell.metrics`. Measures and averages; reports nothing itself.

Losses stay tensors until a step is logged, so that a GPU is waited for then and not before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from trainer.gpu import GpuMeter
from trainer.model import GPT

UPDATE_RATIO_INTERVAL = 20
"""Steps between measurements of the update ratio: it copies the matrices, about 5 % of a small model's step."""


class Vitals:
    """Collects from step to step; `report` gives the means since the last report and starts afresh.

    `clock` gives seconds. `pause` takes time out of the throughput: evaluations, samples and checkpoints are not training.
    """

    def __init__(
        self,
        model: GPT,
        tokens_per_step: int,
        training_tokens: int,
        gpu: GpuMeter,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._tokens_per_step = tokens_per_step
        self._training_tokens = training_tokens
        self._gpu = gpu
        self._clock = clock
        self._blocks = _block_indices(model)
        self._mark = clock()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._losses: list[Tensor] = []
        self._durations: list[float] = []
        self._waits: list[float] = []

    def pause(self) -> None:
        """What happened since the last step was not training: leave it out of the time."""
        self._mark = self._clock()

    def loss(self, loss: Tensor) -> None:
        """One micro-batch's loss, shape (), before any scaling."""
        self._losses.append(loss.detach())

    def waited(self, seconds: float) -> None:
        """One step waited this long for its batches."""
        self._waits.append(seconds)

    def step_done(self) -> None:
        """One optimizer step is done."""
        now = self._clock()
        self._durations.append(now - self._mark)
        self._mark = now

    def report(
        self, step: int, rate: float, norms: Tensor, ratio: Tensor | None = None, loss_scale: float | None = None
    ) -> Mapping[str, float]:
        """Everything to log at `step`. `norms` (n,): gradient norm of each parameter before clipping. Non-finite values stay."""
        first, last = (norms[list(index)] for index in self._blocks)
        parts = [torch.stack(self._losses).mean(), norms.norm(), first.norm(), last.norm()]
        # One transfer for all of them: each .item() would wait for the GPU again.
        loss, total, first_norm, last_norm, *ratios = torch.stack(
            [*parts, *([ratio] if ratio is not None else [])]
        ).tolist()
        seconds = sum(self._durations)
        tokens = self._tokens_per_step * step
        values = {
            "train/loss": loss,
            "train/grad_norm": total,
            "train/grad_norm_first": first_norm,
            "train/grad_norm_last": last_norm,
            "train/learning_rate": rate,
            "train/tokens": float(tokens),
            "train/epoch": tokens / self._training_tokens,
        }
        if seconds > 0:
            values["perf/tokens_per_second"] = self._tokens_per_step * len(self._durations) / seconds
            values["perf/step_seconds"] = self._typical(self._durations)
            values["perf/data_seconds"] = statistics.fmean(self._waits)
        values |= {"train/update_ratio": ratios[0]} if ratios else {}
        values |= {"train/loss_scale": loss_scale} if loss_scale is not None else {}
        values |= self._gpu.read()
        self._start_afresh()
        return values

    def _typical(self, durations: Sequence[float]) -> float:
        # A GPU runs behind the steps that are not logged, so that only their sum is true there.
        return statistics.fmean(durations) if self._gpu.present else statistics.median(durations)


def _block_indices(model: GPT) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the first and the last block's parameters stand among `model.parameters()`."""
    names = [name for name, _ in model.named_parameters()]

    def of(block: nn.Module) -> tuple[int, ...]:
        prefix = f"blocks.{list(model.blocks).index(block)}."
        return tuple(i for i, name in enumerate(names) if name.startswith(prefix))

    return of(model.blocks[0]), of(model.blocks[-1])
