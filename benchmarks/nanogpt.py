"""Training quality and speed: preset `nanogpt-cpu` on a text, beside nanoGPT itself with its published CPU settings.

    python benchmarks/nanogpt.py --text tinyshakespeare.txt --peer path/to/nanoGPT
    python benchmarks/nanogpt.py --text tinyshakespeare.txt --peer path/to/nanoGPT --gpu

With `--gpu` it is preset `char-gpt` beside nanoGPT's settings for one GPU, which compile the model. Both run as their users run them, one after the other on the same machine: ours is the real worker with everything that it
monitors, logs and samples, its spool filling because no server listens. nanoGPT is never imported, only started. With a peer
on the CPU ours also runs at nanoGPT's learning rate, so that the trainers can be told from the setting. On a machine that is busy set
OMP_WAIT_POLICY=PASSIVE for both: threads that spin (torch's default, not our worker's) lose far more there than ours.
Exit status 1 when the validation loss misses the bar.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One published setting of nanoGPT for tiny Shakespeare, and the preset of ours that is it."""

    preset: str
    device: str
    steps: int
    tokens_per_step: int
    bar: float
    """Validation loss that nanoGPT's README publishes for it after that many steps: its best."""
    flags: tuple[str, ...]
    """What nanoGPT is told beside its config `train_shakespeare_char.py`."""


ON_A_CPU = Setting(
    preset="nanogpt-cpu", device="cpu", steps=2000, tokens_per_step=12 * 64, bar=1.88,
    flags=(
        "--device=cpu", "--compile=False", "--eval_iters=20", "--log_interval=1", "--block_size=64", "--batch_size=12",
        "--n_layer=4", "--n_head=4", "--n_embd=128", "--dropout=0.0",
    ),
)  # fmt: skip
ON_A_GPU = Setting(
    preset="char-gpt", device="cuda", steps=5000, tokens_per_step=64 * 256, bar=1.4697, flags=("--log_interval=1",)
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one trainer reached. Losses in nats per character."""

    name: str
    steps: int
    best: float
    final: float
    whole: float
    """Loss over the whole validation part (nanoGPT: over so many random batches that it is as good as whole)."""
    tokens_per_second: float
    """From the median wall time of a step, as the trainer itself measures it; evaluations are not in it."""
    wall_seconds: float
    """Start of the process to its end, evaluations, samples and checkpoints included."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the table, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--text", type=Path, required=True, help="a text file; the published value is for tiny Shakespeare"
    )
    parser.add_argument("--peer", type=Path, help="a checkout of karpathy/nanoGPT, to be run beside ours")
    parser.add_argument("--gpu", action="store_true", help="the setting for one GPU: preset char-gpt, 5,000 steps")
    parser.add_argument("--steps", type=int, help="optimizer steps (default: as published, 2000 or 5000)")
    args = parser.parse_args(argv)
    setting = ON_A_GPU if args.gpu else ON_A_CPU
    steps = args.steps or setting.steps
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        results = [run_ours(f"Runwell {setting.preset}", setting, args.text, steps, home / "ours")]
        if args.peer and not args.gpu:  # on a GPU the preset has nanoGPT's rate
            same = ("--learning-rate", "1e-3", "--min-learning-rate", "1e-4")
            results.append(run_ours("the same at nanoGPT's rate", setting, args.text, steps, home / "same", same))
        if args.peer:
            results.append(run_nanogpt(setting, args.peer, args.text, steps, home / "nanoGPT"))
    print(table(results))
    met = results[0].best <= setting.bar
    print(f"\nvalidation loss {results[0].best:.4f}, bar {setting.bar}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


def run_ours(name: str, setting: Setting, text: Path, steps: int, home: Path, flags: Sequence[str] = ()) -> Result:
    """The real worker in its own process; figures come from what it logged and from its checkpoints."""
    (home / "data").mkdir(parents=True)
    shutil.copy(text, home / "data" / "text.txt")
    # Port 9 is nobody's: the worker must do without a server, as it would if one were away.
    environment = os.environ | {
        "RUNWELL_HOME": str(home),
        "RUNWELL_URL": "http://127.0.0.1:9",
        "RUNWELL_RUN_ID": "bench",
    }
    environment.pop("RUNWELL_DATA", None)
    command = [sys.executable, "-P", "-m", "trainer", "--preset", setting.preset, "--dataset", "text.txt"]
    command += ["--max-steps", str(steps), "--device", setting.device, *flags]
    began = time.monotonic()
    subprocess.run(command, env=environment, check=True)
    wall = time.monotonic() - began
    points = logged(home)
    losses = [point["val/loss"] for point in points if "val/loss" in point]
    return Result(
        name=name,
        steps=steps,
        best=min(losses),
        final=losses[-1],
        whole=whole_loss(home),
        tokens_per_second=setting.tokens_per_step
        / statistics.median(point["perf/step_seconds"] for point in points if "perf/step_seconds" in point),
        wall_seconds=wall,
    )


def logged(home: Path) -> list[dict[str, Any]]:
    """The metrics that the worker logged, in order, read from its spool."""
    from runwell.frames import decode_frames

    segments = sorted((home / "spool").rglob("*.seg"))
    events = [event for path in segments for event in decode_frames(path.read_bytes(), torn=True).batch.events]
    return [event for event in events if event["type"] == "metrics"]


def whole_loss(home: Path) -> float:
    """The best checkpoint's loss over every window of the validation part."""
    from trainer.checkpoint import CheckpointFolder
    from trainer.config import TrainConfig
    from trainer.data import evaluation_batches, prepare
    from trainer.loop import mean_loss
    from trainer.precision import choose
    from trainer.session import new_session, restore
    from trainer.sources import load_text
    from trainer.tokenizer import from_json

    checkpoint = CheckpointFolder(home / "runs" / "bench" / "checkpoints").load("best")
    config = TrainConfig.from_mapping(checkpoint.state["config"])
    text = load_text(config.dataset, home / "data", home / "cache")
    corpus = prepare(config, text, home / "cache", from_json(checkpoint.tokenizer))
    session = new_session(config, corpus.tokenizer, choose(config))
    restore(session, checkpoint)
    return mean_loss(session, evaluation_batches(corpus.val, config, batches=len(corpus.val)))


def run_nanogpt(setting: Setting, peer: Path, text: Path, steps: int, folder: Path) -> Result:
    """nanoGPT's train.py in a copy of its checkout, on the same text, with its published settings."""
    shutil.copytree(peer, folder, ignore=shutil.ignore_patterns(".git", "out*"))
    data = folder / "data" / "shakespeare_char"
    shutil.copy(text, data / "input.txt")
    subprocess.run([sys.executable, "prepare.py"], cwd=data, check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *setting.flags]
    command += [f"--max_iters={steps}", f"--lr_decay_iters={steps}"]
    began = time.monotonic()
    output = _output(command, folder)
    wall = time.monotonic() - began
    losses = [float(loss) for loss in re.findall(r"step \d+: train loss [\d.]+, val loss ([\d.]+)", output)]
    times = [float(ms) for ms in re.findall(r"iter \d+: loss [\d.]+, time ([\d.]+)ms", output)]
    again = _output([*command, "--init_from=resume", "--eval_only=True", "--eval_iters=500"], folder)
    whole = re.findall(r"val loss ([\d.]+)", again)
    return Result(
        name="nanoGPT",
        steps=steps,
        best=min(losses),
        final=losses[-1],
        whole=float(whole[-1]),
        tokens_per_second=setting.tokens_per_step / (statistics.median(times) / 1000),
        wall_seconds=wall,
    )


def _output(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"nanoGPT failed:\n{done.stderr[-2000:]}")
    return done.stdout


def table(results: Sequence[Result]) -> str:
    """A Markdown table; with a peer, the ratio of ours to it below."""
    rows = [
        "| | steps | best val loss | final val loss | whole validation part | tokens/s | wall seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        losses = f"{r.best:.4f} | {r.final:.4f} | {r.whole:.4f}"
        rows.append(f"| {r.name} | {r.steps:,} | {losses} | {r.tokens_per_second:,.0f} | {r.wall_seconds:.0f} |")
    if len(results) > 1:
        ours, peer = results[0], results[-1]
        speed, wall = ours.tokens_per_second / peer.tokens_per_second, ours.wall_seconds / peer.wall_seconds
        losses = f"{ours.best / peer.best:.3f} | {ours.final / peer.final:.3f} | {ours.whole / peer.whole:.3f}"
        rows.append(f"| ours ÷ nanoGPT | | {losses} | {speed:.2f} | {wall:.2f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
