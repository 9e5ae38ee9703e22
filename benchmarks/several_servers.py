"""Two servers on one PostgreSQL: how long a point that one stored takes to a page of the other, and who judges after a kill.

    python benchmarks/several_servers.py            prints what docs/benchmarks.md holds, half a minute

PostgreSQL is the one that the tests bring (package `pgserver`). A process logs ten times a second to the first server; a client
listens to the live stream of each, and counts what it got. Then the first server is killed with SIGKILL, and a last point
goes to the other: the run must be judged there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import urllib.request
from pathlib import Path

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)] if str(ROOT) not in sys.path else []

from benchmarks.ending import end_on_sigterm  # noqa: E402 (the repository's root is not on the path of a script)
from benchmarks.live.latency import percentiles  # noqa: E402
from benchmarks.live.source import SIX, Served, logging, serving  # noqa: E402
from tests.postgres import postgres  # noqa: E402

SECONDS = 15.0
LIMIT_SECONDS = 60.0


def listen(served: Served, run_id: str, found: dict[int, float]) -> None:
    """Note when each step came over the live stream, until the server is gone."""
    address = f"{served.url.replace('http', 'ws')}/api/v1/live?run={run_id}"
    with contextlib.suppress(ConnectionClosed), connect(address, proxy=None) as socket:
        for text in socket:
            message = json.loads(text)
            if message["type"] == "points":
                for step in message["series"][SIX[0]]["step"]:
                    found.setdefault(int(step), time.time())


def get(served: Served, path: str) -> dict:  # type: ignore[type-arg]
    """JSON of the API."""
    with urllib.request.urlopen(f"{served.url}/api/v1{path}", timeout=30) as answer:
        return dict(json.loads(answer.read()))


def judged_through(served: Served, run_id: str) -> int:
    """The last event that any server judged."""
    return int(get(served, f"/runs/{run_id}/findings")["coverage"].get("judged_through", 0))


def main() -> None:
    """Print the table, and what happened after the kill."""
    end_on_sigterm()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres())
        os.environ["RUNWELL_DATABASE_URL"] = url
        first, second = (stack.enter_context(serving()) for _ in range(2))
        seen: list[dict[int, float]] = [{}, {}]
        with logging(first, SIX, SECONDS) as (run_id, process):
            threads = [
                threading.Thread(target=listen, args=(served, run_id, found), daemon=True)
                for served, found in zip((first, second), seen, strict=True)
            ]
            for thread in threads:
                thread.start()
            time.sleep(1.0)
            assert process.stdin and process.stdout
            process.stdin.write("\n")
            process.stdin.flush()
            logged = json.loads(process.stdout.readline())
            time.sleep(1.0)
            print("| a client of | steps | came | p50 ms | p95 ms | worst ms |\n|---|---:|---:|---:|---:|---:|")
            for name, found in zip(("the server that stored them", "the other server"), seen, strict=True):
                late = [1000 * (found[step] - logged[step - 1]) for step in found if step > 20]
                times = " | ".join(f"{one:,.0f}" for one in percentiles(late))
                print(f"| {name} | {len(logged) - 20} | {len(late)} | {times} |")
            before = judged_through(second, run_id)
            first.process.kill()
            killed = time.monotonic()
            told = {
                "writer": "w-more",
                "first_seq": 1,
                "events": [{"type": "metrics", "step": 10**6, "train/loss": 1.0}],
            }
            request = urllib.request.Request(f"{second.url}/api/v1/runs/{run_id}/events", json.dumps(told).encode())
            request.add_header("Content-Type", "application/json")
            urllib.request.urlopen(request, timeout=30).close()
            while judged_through(second, run_id) <= before and time.monotonic() - killed < LIMIT_SECONDS:
                time.sleep(0.05)
            print(f"\nJudged by the other server {time.monotonic() - killed:.1f} s after the first one was killed.")
            process.kill()


if __name__ == "__main__":
    main()
