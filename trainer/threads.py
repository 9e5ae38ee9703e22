"""How the CPU threads of torch wait for each other. Must run before torch is loaded; standard library only.

By default they spin. That is a little faster on an idle machine and ruinous on a busy one: two trainers on two cores took
3,400 ms a step spinning and 57 ms sleeping, because a spinning thread keeps its core from the one it waits for.
A launched worker has a server, a browser and perhaps another run beside it.
"""

from __future__ import annotations

from collections.abc import MutableMapping

_SAID_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_politely(environ: MutableMapping[str, str]) -> None:
    """Make waiting threads sleep, unless the user has said in `environ` how they are to wait."""
    if not any(name in environ for name in _SAID_BY_USER):
        environ["OMP_WAIT_POLICY"] = "PASSIVE"
