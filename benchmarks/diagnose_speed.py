"""How long `runwell diagnose` takes for one long log, by form: start of the program, reading, judging, report.

    python benchmarks/diagnose_speed.py                  a million steps; prints the table that docs/benchmarks.md holds

Each row is the whole command in a process of its own, the best of a few because the machine may be busy; "CPU" is what the
process used of a core, which other work on the machine hardly changes.
"""

from __future__ import annotations

import argparse
import gzip
import math
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from runwell.tfevents import masked_crc

NAMES = ("train/loss", "train/grad_norm", "train/learning_rate")


class Row(NamedTuple):
    """One line of the table."""

    form: str
    megabytes: float
    wall: float
    cpu: float


def values(steps: int) -> list[tuple[float, float, float]]:
    """A healthy run: a loss that falls with noise, a gradient norm, a cosine."""
    rng = random.Random(1)
    return [
        (2 + 3 * math.exp(-20 * n / steps) + rng.gauss(0, 0.05), abs(rng.gauss(1, 0.1)), 3e-4 * (1 + math.cos(math.pi * n / steps)) / 2)
        for n in range(steps)
    ]  # fmt: skip


def json_lines(points: list[tuple[float, float, float]]) -> bytes:
    """Runwell's own run log."""
    row = '{"type":"metrics","step":%d,"train/loss":%.5f,"train/grad_norm":%.4f,"train/learning_rate":%.4g}\n'
    return "".join(row % (n, *point) for n, point in enumerate(points)).encode()


def csv(points: list[tuple[float, float, float]]) -> bytes:
    """A table with a header row."""
    rows = [f"{n},{loss:.5f},{norm:.4f},{rate:.4g}\n" for n, (loss, norm, rate) in enumerate(points)]
    return (f"step,{','.join(NAMES)}\n" + "".join(rows)).encode()


def event_file(points: list[tuple[float, float, float]]) -> bytes:
    """A TensorBoard event file with one record a number, as training loops write it."""
    parts = [_framed(b"\x09" + struct.pack("<d", 1e9) + b"\x1a\x0dbrain.Event:2")]
    for step, point in enumerate(points):
        head = b"\x09" + struct.pack("<d", 1e9 + step) + b"\x10" + _varint(step)
        for name, value in zip(NAMES, point, strict=True):
            inner = b"\x0a" + bytes([len(name)]) + name.encode() + b"\x15" + struct.pack("<f", value)
            summary = b"\x0a" + bytes([len(inner)]) + inner
            parts.append(_framed(head + b"\x2a" + bytes([len(summary)]) + summary))
    return b"".join(parts)


def _framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", masked_crc(length)) + record + struct.pack("<I", masked_crc(record))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def measure(path: Path, form: str, times: int) -> Row:
    """The best of some runs of the whole command. Raises `RuntimeError` when it does not judge the file healthy."""
    best = Row(form, path.stat().st_size / 1e6, math.inf, math.inf)
    for _ in range(times):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = [sys.executable, "-m", "runwell.cli", "diagnose", str(path), "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise RuntimeError(f"diagnose ended with {done.returncode}: {done.stderr or done.stdout}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = best._replace(wall=min(best.wall, wall), cpu=min(best.cpu, cpu))
    return best


def main() -> None:
    """Write the logs, time the command on each, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=3, help="runs of which the best is shown")
    parser.add_argument("--event-file", action="store_true", help="also an event file, which takes a while to make")
    args = parser.parse_args()
    points = values(args.steps)
    forms: dict[str, Callable[[list[tuple[float, float, float]]], bytes]] = {
        "JSON lines": json_lines,
        "JSON lines, gzip": lambda points: gzip.compress(json_lines(points), 6),
        "CSV": csv,
    }
    if args.event_file:
        forms["event file"] = event_file
    print("| form | MB | wall s | CPU s |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for form, make in forms.items():
            path = Path(folder, "log")
            path.write_bytes(make(points))
            row = measure(path, form, args.times)
            print(f"| {row.form} | {row.megabytes:.1f} | {row.wall:.2f} | {row.cpu:.2f} |", flush=True)


if __name__ == "__main__":
    main()
