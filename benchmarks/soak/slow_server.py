"""The server as `runwell up` starts it, with a disk as slow as asked for: `slow_server HOME PORT SECONDS`.

Each commit takes so many seconds longer, as one to a disk that is slow to flush does.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import sqlalchemy as sa

from dashboard.server import serve
from dashboard.settings import Settings


def main(home: str, port: str, seconds: str) -> int:
    """Serve until it is ended."""
    delay = float(seconds)

    def flush_slowly(connection: Any) -> None:
        if connection.get_execution_options().get("writes"):
            time.sleep(delay)

    if delay:
        sa.event.listen(sa.Engine, "commit", flush_slowly)
    return serve(Settings.read(home=home, port=int(port), first_run=False))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
