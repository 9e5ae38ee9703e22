"""What logging costs a training loop on a GPU: the call, and the steps a second.

    python benchmarks/on_a_gpu.py            prints the tables that docs/benchmarks.md holds; needs a CUDA GPU

The same small GPT is trained again and again, its loss logged at every step in several ways that take turns. A loop that
reads its loss (`loss.item()`, and so every tracker that wants a float) waits until the GPU has done the step; one that
hands over the tensor may ask for the next step meanwhile. The server is away in all rows: what is logged waits in the spool.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Log = Callable[[Any, int], None]

SIZES: tuple[tuple[str, int], ...] = (("minimal", 16), ("char-gpt", 64), ("medium", 128))
"""Presets and sequences a batch: two so small that the GPU waits for the process, one so large that it is the other way round."""


class Row(NamedTuple):
    """One way of logging; the call's times in microseconds."""

    name: str
    p50: float
    p99: float
    steps_per_second: float


def ways(folder: Path) -> dict[str, Log]:
    """Ways to log a loss that lies on the GPU, with five plain numbers beside it."""
    import runwell

    os.environ |= {"RUNWELL_HOME": str(folder / "home"), "RUNWELL_URL": "http://127.0.0.1:9"}
    run = runwell.init("benchmark")
    plain = {f"train/metric_{number}": 0.5 for number in range(5)}

    def each(read: Callable[[Any], Any]) -> Log:
        return lambda loss, step: run.log({"train/loss": read(loss), **plain}, step=step)

    found: dict[str, Log] = {
        "nothing logged": lambda loss, step: None,
        "loss.item() alone": lambda loss, step: loss.item(),
        "run.log(loss.item())": each(lambda loss: loss.item()),
        "run.log(loss)": each(lambda loss: loss.detach()),
    }
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return found
    writer = SummaryWriter(str(folder / "tensorboard"))

    def in_tensorboard(loss: Any, step: int) -> None:
        for name, value in {"train/loss": loss, **plain}.items():
            writer.add_scalar(name, value, step)

    return found | {"TensorBoard add_scalar(loss)": in_tensorboard}


class Trainer:
    """A small GPT and a batch that never changes: nothing but the step takes time."""

    def __init__(self, preset: str, batch_size: int) -> None:
        import torch

        from trainer.model import GPT, Shape
        from trainer.optim import make_optimizer
        from trainer.presets import build

        config = build({"preset": preset, "batch_size": batch_size})
        torch.manual_seed(0)
        self.model = GPT(Shape.of(config, vocab_size=config.vocab_size if config.tokenizer == "bpe" else 65)).cuda()
        self.optimizer = make_optimizer(self.model, config)
        size = (config.batch_size, config.context_length)
        self.ids = torch.randint(self.model.shape.vocab_size, size, device="cuda")
        self.step = 0

    def steps(self, count: int, log: Log) -> tuple[float, list[int]]:
        """(seconds until the GPU has done them all, nanoseconds of each call)."""
        import torch

        from trainer.model import next_token_loss

        torch.cuda.synchronize()
        taken, clock = [], time.perf_counter_ns
        began = clock()
        for _ in range(count):
            self.step += 1
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = next_token_loss(self.model(self.ids), self.ids)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            before = clock()
            log(loss, self.step)
            taken.append(clock() - before)
        torch.cuda.synchronize()
        return (clock() - began) / 1e9, taken


def measure(preset: str, batch_size: int, rounds: int, steps: int, folder: Path) -> list[Row]:
    """Every way in turns, so that all of them meet the machine in the same states."""
    trainer, logs = Trainer(preset, batch_size), ways(folder)
    trainer.steps(50, logs["run.log(loss)"])
    seconds: dict[str, list[float]] = {name: [] for name in logs}
    taken: dict[str, list[int]] = {name: [] for name in logs}
    for _ in range(rounds):
        for name, log in logs.items():
            spent, calls = trainer.steps(steps, log)
            seconds[name].append(spent)
            taken[name].extend(calls)

    def rank(times: list[int], share: float) -> float:
        return sorted(times)[int(len(times) * share)] / 1000

    return [
        Row(name, rank(taken[name], 0.5), rank(taken[name], 0.99), steps / statistics.median(seconds[name]))
        for name in logs
    ]


def table(name: str, rows: list[Row]) -> str:
    """The rows as Markdown, speeds beside that of logging nothing."""
    lines = [
        f"| {name} | call p50 µs | p99 µs | steps/s | of logging nothing |",
        "|---|---:|---:|---:|---:|",
    ]
    free = rows[0].steps_per_second
    for row in rows:
        calls = f"{row.p50:,.1f} | {row.p99:,.1f}" if row is not rows[0] else "– | –"
        lines.append(f"| {row.name} | {calls} | {row.steps_per_second:,.1f} | {row.steps_per_second / free:.1%} |")
    return "\n".join(lines)


def main() -> int:
    """Print a table for each preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="turns of every way (default 9)")
    parser.add_argument("--steps", type=int, default=100, help="steps a turn (default 100)")
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print(f"this benchmark needs a CUDA GPU, and torch {torch.__version__} sees none", file=sys.stderr)
        return 2
    logging.getLogger("runwell").setLevel(logging.ERROR)  # that records wait while the server is away is the point
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    for preset, batch_size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(preset, batch_size, args.rounds, args.steps, Path(folder))
        print(f"\n{table(f'preset `{preset}`, batch {batch_size}', rows)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
