"""Ours beside other trackers, one after the other on one machine: one table, as docs/benchmarks.md holds it; then how ours grows.

    python benchmarks/bench.py --peers-python PEERS/bin/python        some minutes; without it the peers' rows say how to get them
    make bench PEERS_PYTHON=PEERS/bin/python
    make bench PEERS_PYTHON=PEERS/bin/python ARGS=--pages         only how long their pages take to a drawn chart

The peers live in an environment of their own; `benchmarks/peers/` says what each is asked. No network is used.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from benchmarks import growth  # noqa: E402 (the repository's root is not on the path of a script)
from benchmarks.ending import end_on_sigterm, group  # noqa: E402
from benchmarks.peers.pages import POINTS, charts  # noqa: E402
from benchmarks.peers.tool import SPIKES, TOOLS  # noqa: E402

OURS = ("runwell", "sqlite")
INSTALL = "python -m venv PEERS && PEERS/bin/pip install trackio tensorboard tensorboardX mlflow wandb"
NOTHING = "–"
HEADERS = (
    "", "log() flat out p50 µs", "p99 µs", "at 1,000/s p50 µs", "p99 µs", "calls timed",
    "steps lost when SIGKILLed", "points/s until kept", "bytes a point",
    f"spikes drawn, of {SPIKES}",
)  # fmt: skip
PAGE_HEADERS = (
    *(f"page to drawn chart, {points:,} points, s (opened again)" for points in POINTS), f"spikes that it got, of {SPIKES}",
)  # fmt: skip
Found = Mapping[str, Any]


def ask(name: str, python: str | None, scale: float) -> Found:
    """What the driver says of a tracker; `{"missing": why}` when it is not there, `{"failed": why}` when it broke."""
    if python is None:
        return {"missing": "no interpreter was named"}
    command = [python, "-m", "benchmarks.peers.driver", name, "--scale", str(scale)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    try:
        with group(command, cwd=ROOT, env=environment) as process:
            out, said = process.communicate()
    except OSError as error:
        return {"missing": str(error)}
    return parsed(process.returncode, out, said)


def parsed(code: int, out: str, said: str) -> Found:
    """The driver's last line, or what went wrong."""
    if code == 0:
        found: Found = json.loads(out.splitlines()[-1])
        return found
    last = (said.strip().splitlines() or ["no message"])[-1]
    missing = "ModuleNotFoundError" in last or "PackageNotFoundError" in last
    return {"missing" if missing else "failed": last}


def row(name: str, found: Found, *, pages: bool = False) -> str:
    """A line of the table, or of the one that has the pages alone."""
    title = TOOLS[name] + "".join(f", {package} {version}" for package, version in found.get("versions", {}).items())
    for key, words in (("missing", "not installed"), ("failed", "failed")):
        if key in found:
            return _line(title, words, *[NOTHING] * (len(headers(pages=pages)) - 2))
    return _line(title, *([] if pages else _measured(found)), *map(_drawn, found["charts"]), _given(found))


def _measured(found: Found) -> list[str]:
    lost = f"{found['logged'] - found['kept']:,} of {found['logged']:,}" if "kept" in found else "failed"
    return [
        _number(found, "flat_p50", "calls", 1), _number(found, "flat_p99", "calls", 1),
        _number(found, "p50", "calls", 1), _number(found, "p99", "calls", 1), _number(found, "calls", "calls"), lost,
        _number(found, "points_per_second", "poured"), _number(found, "bytes_a_point", "poured", 1), _number(found, "spikes", "spikes"),
    ]  # fmt: skip


def _number(found: Found, key: str, part: str, digits: int = 0) -> str:
    if f"{part}_failed" in found:
        return "failed"
    return NOTHING if found.get(key) is None else f"{found[key]:,.{digits}f}"


def _drawn(chart: Found) -> str:
    if "failed" in chart:
        return "failed"
    if "unfilled" in chart:
        return f"not filled in {chart['unfilled']:g} s"
    if "late" in chart:
        return f"> {chart['late']:g}"
    return f"{chart['first'] / 1000:.2f} ({chart['again'] / 1000:.2f})" if chart else NOTHING


def _given(found: Found) -> str:
    spikes = found["charts"][-1].get("spikes")
    return NOTHING if spikes is None else f"{spikes}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def headers(*, pages: bool = False) -> tuple[str, ...]:
    """What stands above the columns."""
    return ("", *PAGE_HEADERS) if pages else (*HEADERS, *PAGE_HEADERS)


def heading(*, pages: bool = False) -> str:
    """The first two lines of the table."""
    names = headers(pages=pages)
    return "\n".join([_line(*names), f"|{'---|' + '---:|' * (len(names) - 1)}"])


def remarks(found: Mapping[str, Found]) -> Sequence[str]:
    """What the table has no room for: why a row is empty, and how to fill it."""
    lines = [
        f"{TOOLS[name]}: {key.replace('_', ' ')}: {words}"
        for name, values in found.items()
        for key, words in values.items()
        if key == "missing" or key.endswith("failed")
    ]
    lines += [
        f"{TOOLS[name]}: page of {points:,} points: {chart['failed']}"
        for name, values in found.items()
        for points, chart in zip(POINTS, values.get("charts", []), strict=False)
        if "failed" in chart
    ]
    if any("missing" in values for values in found.values()):
        lines.append(f"Get the peers with: {INSTALL}; then: make bench PEERS_PYTHON=PEERS/bin/python")
    return lines


def main() -> None:
    """Print the table line by line, the remarks, and how ours grows (which a part of the table does without)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", metavar="PATH", help="interpreter of the environment that has the peers")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the seconds and steps (0.2: a quick look)")
    parser.add_argument("--pages", action="store_true", help="only how long their pages take")
    parser.add_argument("--only", nargs="+", choices=TOOLS, default=list(TOOLS))
    given = parser.parse_args()
    end_on_sigterm()
    print(f"Runwell {importlib.metadata.version('runwell')}, load {os.getloadavg()[0]:.1f} before", flush=True)
    print(f"\n{heading(pages=given.pages)}", flush=True)
    found: dict[str, Found] = {}
    for name in given.only:
        python = sys.executable if name in OURS else given.peers_python or None
        found[name] = {} if given.pages and python else ask(name, python, given.scale)
        if python and not {"missing", "failed"} & set(found[name]):
            found[name] = {**found[name], "charts": charts(name, python, given.scale)}
        print(row(name, found[name], pages=given.pages), flush=True)
    print("\n" + "\n".join([*remarks(found), f"load {os.getloadavg()[0]:.1f} after"]), flush=True)
    if not given.pages and given.only == list(TOOLS):
        print()
        growth.tables(given.scale)


if __name__ == "__main__":
    main()
