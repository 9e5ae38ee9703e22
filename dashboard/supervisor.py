"""Starts one worker, waits for it, and writes down how it ended: `python -P -m dashboard.supervisor FOLDER COMMAND …`.

The worker must outlive the server, and the server must still learn its exit status after a restart. Only a parent can
know an exit status, so each worker gets this small parent of its own: it outlives the server too, and leaves
`exit.json` in the run's folder. It knows nothing of stores, runs or training.

Files in FOLDER (each appears whole or not at all):
`supervisor.json` claims the run (the first supervisor wins, so a run can never be started twice), `worker.json` says
which process the worker is, `exit.json` how it ended (`returncode` as in `subprocess`: -9 is SIGKILL), and
`output.log` takes what the worker prints.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

CLAIM_FILE, WORKER_FILE, EXIT_FILE, OUTPUT_FILE = "supervisor.json", "worker.json", "exit.json", "output.log"


def main(argv: Sequence[str]) -> int:
    """Supervise one worker until it ends. 0 when its end was written down, 1 when the run was claimed already."""
    folder, command = Path(argv[0]), list(argv[1:])
    if not claim(folder):
        return 1
    workers: list[subprocess.Popen[bytes]] = []

    def pass_on(*_: object) -> None:
        for worker in workers:
            worker.terminate()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # Whoever ends the supervisor means the worker; and it must still be there to write down how that went.
        signal.signal(number, pass_on)
    try:
        worker = _start(folder, command)
    except OSError as error:
        write_json(
            folder / EXIT_FILE, {"returncode": 127, "ended_at": time.time(), "error": f"could not start: {error}"}
        )
        return 0
    workers.append(worker)
    write_json(folder / WORKER_FILE, identity(worker.pid))
    returncode = worker.wait()
    write_json(folder / EXIT_FILE, {"returncode": returncode, "ended_at": time.time()})
    return 0


def claim(folder: Path) -> bool:
    """Take the run of `folder` for this process; False when another supervisor has, or ever had, it."""
    own = folder / f".{CLAIM_FILE}.{os.getpid()}"
    own.write_text(json.dumps(identity(os.getpid())))
    try:
        # A hard link appears at once, with its content, and only if nothing is there: no lock to leave behind.
        os.link(own, folder / CLAIM_FILE)
        return True
    except FileExistsError:
        return False
    except OSError:
        return _claim_without_links(folder / CLAIM_FILE, own.read_text())
    finally:
        own.unlink()


def _claim_without_links(path: Path, content: str) -> bool:
    # FAT and some network shares have no hard links: exclusive all the same, if not whole in the same instant.
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
        return True
    except FileExistsError:
        return False


def identity(pid: int) -> dict[str, Any]:
    """A process as it can be found again: its pid, and when it started (seconds since 1970; a pid alone is reused)."""
    try:
        return {"pid": pid, "started_at": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"pid": pid, "started_at": time.time()}  # it has ended already; exit.json will follow


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that readers see the old file or the whole new one, also after a power cut."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _start(folder: Path, command: list[str]) -> subprocess.Popen[bytes]:
    # The worker writes to the file itself: a pipe through here would break it when this process is killed.
    with (folder / OUTPUT_FILE).open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own group: a signal to it and its children does not hit the supervisor
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
