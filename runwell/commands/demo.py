"""`runwell demo`: launch four short runs on the CPU, one healthy and three sick, and show each finding as it comes.

Uses the server that answers at RUNWELL_URL; when none does, starts one and leaves it running until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ENDED = {"finished", "stopped", "crashed", "cancelled"}
PATIENCE_SECONDS = 600.0
"""On a machine that is busy with other work the four runs may take longer than the three minutes they should."""

TINY: dict[str, Any] = {
    "project": "demo", "device": "cpu", "tokenizer": "char", "n_layer": 2, "n_head": 2, "n_embd": 64, "n_ff": 256,
    "context_length": 64, "batch_size": 8, "data_limit_characters": 400_000, "max_steps": 1200, "eval_interval": 50,
    "eval_batches": 8, "sample_interval": 200, "sample_tokens": 80, "checkpoint_interval": 300, "log_interval": 2,
}  # fmt: skip


@dataclass(frozen=True)
class DemoRun:
    """One run of the demo: its settings, and the rules of which one must be found (none: it must stay healthy)."""

    name: str
    story: str
    changes: Mapping[str, Any]
    expected: frozenset[str]


DEMO = (
    DemoRun("demo NaN", "a log(0) in the loss from step 150", {"fault": "log-zero", "fault_step": 150, "max_steps": 600}, frozenset({"non-finite-loss"})),
    DemoRun(
        "demo rate far too high", "a learning rate 1,000 times the usual", {"learning_rate": 1.0, "min_learning_rate": 0.1, "max_steps": 800},
        frozenset({"learning-rate-too-high", "divergence", "exploding-gradients", "non-finite-loss"}),
    ),
    DemoRun(
        "demo overfitting", "20,000 characters, seen again and again",
        {"data_limit_characters": 20_000, "n_embd": 128, "n_ff": 512, "learning_rate": 2e-3, "max_steps": 1500, "weight_decay": 0.0},
        frozenset({"overfitting"}),
    ),
    DemoRun("demo healthy", "nothing is wrong with it", {}, frozenset()),
)  # fmt: skip


@dataclass
class Watched:
    """A launched run of the demo and what was seen of it so far."""

    plan: DemoRun
    id: str
    state: str = "queued"
    found: dict[str, float] = field(default_factory=dict)
    """Seconds from the launch of the demo to each finding at warning or critical, by rule."""

    @property
    def as_expected(self) -> bool:
        """The sick one has its finding, the healthy one has none."""
        return bool(self.plan.expected & self.found.keys()) if self.plan.expected else not self.found

    @property
    def done(self) -> bool:
        """Nothing more is to be waited for: it ended."""
        return self.state in ENDED


def add_parser(subparsers: Any) -> None:
    """`runwell demo` takes no settings: it is the same for everybody."""
    parser = subparsers.add_parser("demo", help="launch one healthy and three sick runs, and watch the diagnosis")
    parser.add_argument(
        "--exit", action="store_true", help="end when the runs have ended, also if this started the server"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Launch, follow, sum up. 0 when every sick run got its finding and the healthy one none."""
    from runwell.client import Client, ServerError
    from runwell.home import read_environment

    client = Client(read_environment())
    try:
        with server(client) as own:
            ok = follow(client)
            if own is not None and not args.exit:
                print(f"\nThe page stays at {client.url} until you press Ctrl-C.", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    own.wait()
            return 0 if ok else 1
    except ServerError as error:
        print(f"runwell demo: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def server(client: Any) -> Iterator[subprocess.Popen[bytes] | None]:
    """The server that answers already (None), or one of our own that ends with us."""
    from urllib.parse import urlsplit

    from runwell.client import ServerError

    if client.alive():
        print(f"Using the server at {client.url}")
        yield None
        return
    address = urlsplit(client.url)
    if address.hostname not in {"127.0.0.1", "localhost", "::1"}:
        raise ServerError(f"no Runwell server answers at {client.url}, and one elsewhere cannot be started from here")
    command = [sys.executable, "-m", "runwell.cli", "up", "--no-first-run", "--port", str(address.port or 80)]
    child = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while not client.alive():
            if child.poll() is not None:
                raise ServerError(
                    f"the server did not start (exit status {child.returncode}); its message stands above"
                )
            if time.monotonic() > deadline:
                raise ServerError("the server did not answer within 60 seconds")
            time.sleep(0.2)
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(timeout=30)


def follow(client: Any) -> bool:
    """Launch the four and print what happens to them until all have ended."""
    began = time.monotonic()
    runs = []
    for plan in DEMO:
        settings = {"preset": "minimal", **TINY, **plan.changes, "name": plan.name}
        runs.append(Watched(plan, client.post("/api/v1/launches", settings)["id"]))
        print(f"  {plan.name:24} {plan.story}\n  {'':24} {client.url}/run/{runs[-1].id}", flush=True)
    while not all(watched.done for watched in runs):
        seconds = time.monotonic() - began
        if seconds > PATIENCE_SECONDS:
            print(f"Giving up after {PATIENCE_SECONDS:.0f} s; the runs go on. See {client.url}")
            break
        for watched in runs:
            look(client, watched, seconds)
        time.sleep(0.5)
    print("\n" + "\n".join(line(watched) for watched in runs), flush=True)
    return all(watched.as_expected for watched in runs)


def look(client: Any, watched: Watched, seconds: float) -> None:
    """Ask for one run's state and findings; print what is new."""
    if watched.done:
        return
    watched.state, before = client.get(f"/api/v1/runs/{watched.id}")["state"], watched.state
    if watched.state != before:
        print(f"[{seconds:5.0f} s] {watched.plan.name}: {watched.state}", flush=True)
    for finding in client.get(f"/api/v1/runs/{watched.id}/findings")["findings"]:
        if finding["severity"] != "info" and not finding.get("because") and finding["rule"] not in watched.found:
            watched.found[finding["rule"]] = seconds
            print(f"[{seconds:5.0f} s] {watched.plan.name}: {finding['severity']}: {finding['title']}", flush=True)


def line(watched: Watched) -> str:
    """One run's row of the summary."""
    found = ", ".join(f"{rule} after {seconds:.0f} s" for rule, seconds in watched.found.items()) or "no finding"
    return f"  {'as expected' if watched.as_expected else 'UNEXPECTED':12} {watched.plan.name:24} {found}"
