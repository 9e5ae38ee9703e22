"""Puts one tracker through the measurements, under an interpreter that has it; prints one JSON object.

    PYTHONPATH=. PEER/bin/python -m benchmarks.peers.driver NAME --scale 1

Every measurement has a folder, a server and a process of its own. Nothing of ours is imported, but by `in_runwell`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.ending import end_on_sigterm
from benchmarks.peers import tool as tools
from benchmarks.peers.tool import Tool

CALL_SECONDS, STREAM_SECONDS = 5.0, 4.0
POUR_STEPS, SPIKED_STEPS = 20_000, 100_000
STEP_SECONDS = 0.001
PATIENCE_SECONDS, FILL_SECONDS = 240.0, 300.0


class Late(RuntimeError):
    """A part of a measurement took longer than it may."""


def measured(name: str, scale: float) -> dict[str, Any]:
    """All that the table says of a tracker; `scale` shortens what is counted in steps and seconds, but not the spikes."""
    found: dict[str, Any] = {"versions": {package: version(package) for package in tools.tool(name).PACKAGES}}
    for part in (calls, killed, poured, spikes):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                found |= part(name, Path(folder), scale)
            except (RuntimeError, subprocess.SubprocessError) as error:
                print(f"{name}: {part.__name__}: {error}", file=sys.stderr)
                found[f"{part.__name__}_failed"] = str(error)
    return found


# -- the four measurements -------------------------------------------------------------------------------------------


def calls(name: str, folder: Path, scale: float) -> dict[str, Any]:
    """log() of six numbers flat out, and a thousand times a second or as often as it comes back."""
    with tools.tool(name).serving(folder) as url:
        return told(child(name, "call", folder, url, CALL_SECONDS * scale))


def killed(name: str, folder: Path, scale: float) -> dict[str, Any]:
    """SIGKILL in a stream of a thousand steps a second: what of the calls that had returned can be read back."""
    with tools.tool(name).serving(folder) as url:
        process = child(name, "endless", folder, url)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(STREAM_SECONDS * scale)
        process.kill()
        rest = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.communicate()
        if not rest:
            raise RuntimeError("nothing was logged before the kill")
        logged = int(rest[-1]) + 1
        return {"logged": logged, **told(child(name, "kept", folder, url, logged))}


def poured(name: str, folder: Path, scale: float) -> dict[str, Any]:
    """Six series as fast as can be, until all of it is kept; and the bytes that it takes."""
    steps = int(POUR_STEPS * scale)
    with tools.tool(name).serving(folder) as url:
        seconds = told(child(name, "pour", folder, url, steps))["seconds"]
        stored = told(child(name, "kept", folder, url, steps))["kept"]
    points = steps * len(tools.NAMES)
    if stored != steps:
        raise RuntimeError(f"{stored} of {steps} steps were kept")
    return {"points_per_second": points / seconds, "bytes_a_point": tools.tool(name).size(folder) / points}


def spikes(name: str, folder: Path, scale: float) -> dict[str, Any]:
    """Single steps that stand out of a long series: which of them its page is given to draw."""
    if tools.tool(name).drawn is None:
        return {"spikes": None}
    with tools.tool(name).serving(folder) as url:
        told(child(name, "spiked", folder, url, SPIKED_STEPS))
        return told(child(name, "drawn", folder, url))


# -- its page, for a browser of somebody else ------------------------------------------------------------------------


def show(name: str, folder: Path, points: int) -> None:
    """Fill a run, say where its page is, and serve it until standard input ends. Raises RuntimeError."""
    tool = tools.tool(name)
    if tool.page is None:
        say({"address": ""})
        return
    with tool.serving(folder) as url:
        try:
            seconds = told(child(name, "spiked", folder, url, points), FILL_SECONDS)["seconds"]
        except Late:
            say({"unfilled": FILL_SECONDS})
            return
        with tool.page(folder, url, points) as address:
            say({"address": address, "line": tool.LINE, "fill_seconds": seconds})
            sys.stdin.read()


def say(found: dict[str, Any]) -> None:
    """One line on standard output, which trackers cannot write to."""
    os.write(1, json.dumps(found).encode() + b"\n")


# -- processes -------------------------------------------------------------------------------------------------------


def child(name: str, part: str, folder: Path, url: str, amount: float = 0.0) -> subprocess.Popen[str]:
    """One part of a measurement in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers.driver", name, "--part", part, str(folder), url, str(amount)]
    with (folder / f"{part}.err").open("w") as said:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, stdin=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(folder)},
        )  # fmt: skip


def told(process: subprocess.Popen[str], patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
    """The JSON object that it printed last. Raises RuntimeError."""
    try:
        out, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Late(f"not done after {patience:g} s") from None
    if process.returncode:
        folder, part = Path(str(process.args[6])), str(process.args[5])  # type: ignore[index]
        raise RuntimeError(f"ended with {process.returncode}: {(folder / f'{part}.err').read_text()[-1500:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def one_part(tool: Tool, part: str, folder: Path, url: str, amount: float) -> dict[str, Any]:
    """What a child does."""
    if part == "kept":
        return {"kept": kept_of(tool.kept(folder, url), int(amount))}
    if part == "drawn":
        assert tool.drawn is not None
        shown = tool.drawn(folder, url)
        return {"spikes": tools.spikes_in(shown), "drawn": len(shown)}
    log = tool.begin(folder, url)
    if part == "endless":
        endless(log)
    if part == "call":
        return timed(log, amount)
    rows = list((tools.stream if part == "pour" else tools.spiked)(int(amount)))
    began = time.perf_counter()
    log.pour(rows)
    log.finish()
    return {"seconds": time.perf_counter() - began}


def kept_of(steps: set[int], logged: int) -> int:
    """How many of the steps whose call had returned are kept; one in flight at the kill, kept or not, does not count."""
    return len(steps.intersection(range(logged)))


def timed(log: tools.Log, seconds: float) -> dict[str, float]:
    """Microseconds of a call, flat out and then paced; each goes on for so many steps or seconds, whichever ends first."""
    rows = list(tools.stream(2 * int(seconds / STEP_SECONDS)))
    half = len(rows) // 2
    flat = timed_calls(log, rows[:half], seconds, 0.0)
    time.sleep(1.0)
    paced = timed_calls(log, rows[half:], 2 * seconds, STEP_SECONDS)
    log.finish()
    return {f"flat_{key}": value for key, value in percentiles(flat).items()} | percentiles(paced)


def timed_calls(log: tools.Log, rows: list[tools.Row], seconds: float, step_seconds: float) -> list[int]:
    """Nanoseconds of each call; the first ten are left out."""
    took = []
    began = due = time.perf_counter()
    for step, values in rows:
        before = time.perf_counter_ns()
        log.log(values, step)
        took.append(time.perf_counter_ns() - before)
        if time.perf_counter() - began > seconds:
            break
        due = pace(due, step_seconds)
    return took[10:]


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """In microseconds."""
    ordered = sorted(nanoseconds)
    return {
        "calls": len(ordered),
        "p50": ordered[len(ordered) // 2] / 1e3,
        "p99": ordered[len(ordered) * 99 // 100] / 1e3,
    }


def endless(log: tools.Log) -> None:
    """Log until killed; print each step once its call has returned."""
    due = time.perf_counter()
    for step in count():
        log.log(dict.fromkeys(tools.NAMES, 1 / (step + 1)), step)
        os.write(1, b"%d\n" % step)
        due = pace(due, STEP_SECONDS)


def pace(due: float, step_seconds: float) -> float:
    """Wait for the next step; what was late is not caught up."""
    due = max(due + step_seconds, time.perf_counter())
    if (wait := due - time.perf_counter()) > 0:
        time.sleep(wait)
    return due


def main() -> None:
    """Measure, or be one part of a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tools.TOOLS)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument(
        "--show", type=int, metavar="POINTS", help="serve its page over so many, until standard input ends"
    )
    parser.add_argument("--part", nargs=4, metavar=("PART", "FOLDER", "URL", "AMOUNT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    sys.stdout = sys.stderr  # trackers talk
    if given.part:
        part, folder, url, amount = given.part
        say(one_part(tools.tool(given.name), part, Path(folder), url, float(amount)))
        return
    end_on_sigterm()
    if given.show is None:
        say(measured(given.name, given.scale))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            show(given.name, Path(folder), given.show)
        except RuntimeError as error:
            say({"failed": str(error)})


if __name__ == "__main__":
    main()
