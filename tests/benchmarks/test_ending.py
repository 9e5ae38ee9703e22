"""A benchmark that is told to end takes with it what it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SERVER = "import os, time; os.write(1, f'{os.getpid()}\\n'.encode()); time.sleep(600)"  # one write: two share the pipe
DRIVER = f"""
import os, subprocess, sys
from benchmarks.ending import end_on_sigterm
end_on_sigterm()
child = subprocess.Popen([sys.executable, "-c", {SERVER!r}])
try:
    own = subprocess.Popen([sys.executable, "-c", {SERVER!r}], start_new_session=True, stdout=subprocess.PIPE, text=True)
    os.write(1, own.stdout.readline().encode())
    child.wait()
finally:
    own.terminate()
    own.wait()
"""
BENCH = f"""
import os, sys
from pathlib import Path
from benchmarks.ending import end_on_sigterm, group
end_on_sigterm()
with group([sys.executable, "-c", {DRIVER!r}], cwd=Path("."), env=os.environ) as process:
    for line in process.stdout:
        print(line.strip(), flush=True)
"""


@pytest.mark.slow
def test_sigterm_ends_the_driver_its_children_and_the_servers_in_sessions_of_their_own() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    bench = subprocess.Popen([sys.executable, "-c", BENCH], stdout=subprocess.PIPE, text=True, env=environment)
    assert bench.stdout is not None
    started = [psutil.Process(int(bench.stdout.readline())) for _ in range(2)]
    while psutil.Process(bench.pid).status() != psutil.STATUS_SLEEPING:
        pass  # a signal between the last byte code and the read is not seen until the read returns
    bench.send_signal(signal.SIGTERM)
    assert bench.wait(60) == 128 + signal.SIGTERM
    bench.stdout.close()
    assert psutil.wait_procs(started, timeout=30)[1] == []
