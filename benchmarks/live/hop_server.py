"""The server with a stopwatch: `python -m benchmarks.live.hop_server FILE up …` is `runwell up …` and writes to FILE when each point passed by.

A line a batch: `{"steps": […], "read": …, "stored": …, "told": …}`, in seconds since 1970.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def watch(file: Path) -> None:
    """Put the stopwatch around the server's own functions."""
    from dashboard.api import events
    from dashboard.collector import Collector
    from dashboard.live import Hub
    from dashboard.store import Store

    batch = threading.local()
    out = file.open("a", buffering=1)

    def stamped(name: str, call: Callable[..., Any], *, before: bool = False) -> Callable[..., Any]:
        def stamp(*args: Any, **kwargs: Any) -> Any:
            if before:
                setattr(batch, name, time.time())
            found = call(*args, **kwargs)
            if not before:
                setattr(batch, name, time.time())
            return found

        return stamp

    def accept(self: Collector, run_id: str, delivery: Any, *rest: Any) -> Any:
        receipt = take_in(self, run_id, delivery, *rest)
        steps = [int(step) for table in getattr(delivery, "tables", ()) for step in table.steps]
        if steps:
            times = {name: getattr(batch, name, None) for name in ("read", "stored", "told")}
            out.write(json.dumps({"steps": steps, **times}) + "\n")
        return receipt

    take_in, Collector.accept = Collector.accept, accept  # type: ignore[method-assign, assignment]
    events._store = stamped("read", events._store, before=True)
    Store.append = stamped("stored", Store.append)  # type: ignore[method-assign]
    Hub.publish_points = stamped("told", Hub.publish_points)  # type: ignore[method-assign]


if __name__ == "__main__":
    from runwell.cli import main

    watch(Path(sys.argv.pop(1)))
    main()
