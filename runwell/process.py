"""Facts about this process that a server needs to tell it from a later one with the same number."""

from __future__ import annotations

import os
from pathlib import Path


def started_at(pid: int | None = None) -> float | None:
    """When the process started, in seconds since 1970, as psutil's `create_time` gives it; None where unknown."""
    try:
        stat = Path(f"/proc/{pid or os.getpid()}/stat").read_text(encoding="utf-8", errors="replace")
        # the program's name is in parentheses and may hold spaces and parentheses itself
        ticks = float(stat.rpartition(")")[2].split()[19])
        boot = next(
            line for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines() if line.startswith("btime")
        )
        return float(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return None
