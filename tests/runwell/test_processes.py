"""Real processes: killed in the middle, forked, ended in every way. What `log` returned for is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwell.frames import decode_frames
from runwell.transport import Answer

pytestmark = pytest.mark.slow

THREADED = """
import threading
run = runwell.init()
def dies():
    run.log({'loss': 1.0})
    raise ValueError("no more data")
def train():
    thread = threading.Thread(target=dies, name="training"); thread.start(); thread.join()
"""

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script(home: Path, tmp_path: Path) -> Script:
    """Runs a script in a process of its own; `server` is where it sends to."""

    def run(
        source: str, server: str = "http://127.0.0.1:9", *options: str, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "RUNWELL_HOME": str(home), "RUNWELL_URL": server, "RUNWELL_RUN_ID": "r1", **environ}
        command = [sys.executable, *options, "-c", "import runwell, os, sys\n" + source]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


def events_on_disk(home: Path, run_id: str = "r1") -> dict[str, list[dict[str, Any]]]:
    """What each writer left, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((home / "spool" / run_id).glob("*/*.seg")):
        batch = decode_frames(path.read_bytes(), torn=True).batch
        assert batch.first_seq == len(found.setdefault(batch.writer, [])) + 1
        found[batch.writer].extend(batch.events)
    return found


def test_after_sigkill_every_step_whose_log_returned_is_there(
    home: Path, make_server: Any, collector: Any, tmp_path: Path
) -> None:
    source = """
import os, runwell
run = runwell.init()
step = 0
while True:
    run.log({"loss": float("nan"), "a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}, step=step)
    os.write(1, b"%d\\n" % step)
    step += 1
"""
    server = make_server()
    env = {**os.environ, "RUNWELL_HOME": str(home), "RUNWELL_URL": server.url, "RUNWELL_RUN_ID": "r1"}
    seen: set[tuple[str, str]] = set()
    for round_number in range(3):
        collector.away = round_number == 0  # once without a server, twice in the middle of sending
        process = subprocess.Popen([sys.executable, "-c", source], env=env, cwd=tmp_path, stdout=subprocess.PIPE)
        assert process.stdout is not None
        returned = [process.stdout.readline() for _ in range(20_000)]
        process.send_signal(signal.SIGKILL)
        returned += process.stdout.readlines()
        process.stdout.close()
        process.wait()
        last = max(int(line) for line in returned if line.endswith(b"\n"))
        collector.away = False
        synced = subprocess.run(
            [sys.executable, "-m", "runwell.cli", "sync"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert synced.returncode == 0, synced.stderr
        (writer,) = collector.events.keys() - seen
        seen.add(writer)
        steps = [event["step"] for event in collector.events[writer] if event["type"] == "metrics"]
        assert steps == list(range(len(steps))), "each once, in order, none torn"
        assert len(steps) > last, f"log() returned for step {last}, {len(steps)} are stored"
        assert not (home / "spool" / "r1").exists(), "sync leaves nothing behind"


@pytest.mark.parametrize(
    ("source", "status", "state", "reason"),
    [
        ("runwell.init().log({'a': 1})", 0, "finished", ""),
        ("runwell.init(); raise TypeError('no such thing')", 1, "crashed", "TypeError: no such thing"),
        ("runwell.init(); raise KeyboardInterrupt", None, "stopped", "interrupted from the keyboard"),
        ("run = runwell.init(); run.finish('stopped', 'asked to'); sys.exit(3)", 3, "stopped", "asked to"),
        (
            "import threading; run = runwell.init()\n"
            "threading.Timer(0.2, run.log, [{'a': 1}]).start(); raise TypeError('no such thing')",
            1,
            "crashed",
            "TypeError: no such thing",
        ),
        (
            "import threading; run = runwell.init()\ndef go_on():\n  while True: run.log({'a': 1})\n"
            "threading.Thread(target=go_on, daemon=True).start()\nwhile run._step < 100: pass",
            0,
            "finished",
            "",
        ),
        ("runwell.init(); sys.exit(3)", 3, "crashed", "SystemExit: 3"),
        ("runwell.init(); exit(3)", 3, "crashed", "SystemExit: 3"),
        (
            "runwell.init()\ntry: 1 / 0\nexcept ArithmeticError: sys.exit(1)",
            1,
            "crashed",
            "SystemExit: 1, after ZeroDivisionError: division by zero",
        ),
        (
            "import threading; runwell.init()\nt = threading.Thread(target=sys.exit, args=(1,)); t.start(); t.join()",
            0,
            "finished",
            "",
        ),
        (THREADED + "train()", 0, "crashed", "ValueError: no more data, in the thread 'training'"),
        (THREADED + "train(); run.log({'loss': 2.0})", 0, "finished", ""),
        (THREADED + "run.log({'accuracy': 0.5}); train()", 0, "finished", ""),
        (THREADED + "train(); train(); sys.exit(3)", 3, "crashed", "SystemExit: 3"),
        (THREADED + "with run: train()", 0, "crashed", "ValueError: no more data, in the thread 'training'"),
        (THREADED + "train(); run.finish()", 0, "finished", ""),
        (THREADED.replace("run.log({'loss': 1.0})", "pass") + "train()", 0, "finished", ""),
        ("runwell.init(); sys.excepthook = lambda *_: None; raise TypeError('x')", 1, "crashed", "TypeError: x"),
        ("runwell.init(); os._exit(0)", 0, "finished", ""),
        ("runwell.init(); os._exit(3)", 3, "crashed", "left by os._exit(3)"),
        ("run = runwell.init(); run.finish('stopped', 'enough'); os._exit(3)", 3, "stopped", "enough"),
        ("runwell.init(); sys.exit('no data')", 1, "crashed", "SystemExit: 'no data'"),
        ("runwell.init(); sys.exit()", 0, "finished", ""),
        (
            "import contextlib; run = runwell.init()\n"
            "with contextlib.suppress(SystemExit): sys.exit(2)\n"
            "run.log({'a': 1})",
            0,
            "finished",
            "",
        ),
        ("with runwell.init(): 1 / 0", 1, "crashed", "ZeroDivisionError: division by zero"),
        (
            "import threading; run = runwell.init()\n"
            "t = threading.Thread(target=lambda: [run.log({'a': 1}) for _ in range(1000)]); t.start()",
            0,
            "finished",
            "",
        ),
    ],
)
def test_however_python_ends_the_run_says_so(
    home: Path, script: Script, source: str, status: int | None, state: str, reason: str
) -> None:
    done = script(source)
    assert status is None or done.returncode == status, done.stderr
    (events,) = events_on_disk(home).values()
    assert (events[-1]["type"], events[-1].get("state"), events[-1].get("reason")) == ("state", state, reason)
    assert sum(event["type"] == "state" for event in events) == 1


def test_the_traceback_is_still_printed(script: Script) -> None:
    done = script("runwell.init(); raise TypeError('no such thing')")
    assert "TypeError: no such thing" in done.stderr and "Traceback" in done.stderr


def test_warnings_as_errors_do_not_turn_ours_into_a_crash(script: Script) -> None:
    done = script(
        "run = runwell.init(); run.log({'a': None}); run.log(5); run.finish(); print('alive')",
        "http://127.0.0.1:9",
        "-W",
        "error",
    )
    assert done.stdout == "alive\n", done.stderr


def test_what_ends_a_run_in_the_middle_of_a_record_has_the_last_word(home: Path, script: Script) -> None:
    source = """
run = runwell.init()
run.log({"a": 1.0}, step=0)
class Interrupted:
    def __float__(self):
        run.output("asked to end")
        run.finish("stopped", "SIGTERM", timeout=0)
        os._exit(0)
run.log({"a": Interrupted()}, step=1)
"""
    assert script(source).returncode == 0
    (events,) = events_on_disk(home).values()
    assert [event["type"] for event in events] == ["run", "metrics", "log", "state"]
    assert events[-1]["state"] == "stopped"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_run_that_a_process_of_multiprocessing_begins_says_how_it_ended(
    home: Path, script: Script, tmp_path: Path, method: str
) -> None:
    """None of Python's hooks is called there, and most of them leave by `os._exit`."""
    (tmp_path / "work.py").write_text("""
import runwell
def train(name):
    run = runwell.init(name, resume=name)
    run.log({"a": 1.0})
    if name == "sick":
        raise ValueError("a bad batch")
""")
    source = f"""
import multiprocessing, work
runwell.init("mine")
context = multiprocessing.get_context("{method}")
processes = [context.Process(target=work.train, args=(name,)) for name in ("well", "sick")]
for process in processes: process.start()
for process in processes: process.join()
"""
    done = script(source, PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}")
    assert done.returncode == 0, done.stderr
    ends = {}
    for run_id in ("well", "sick", "r1"):
        (events,) = events_on_disk(home, run_id).values()
        ends[run_id] = events[-1].get("state"), events[-1].get("reason")
    assert ends == {"well": ("finished", ""), "sick": ("crashed", "ValueError: a bad batch"), "r1": ("finished", "")}


def test_a_signal_handler_may_end_the_run_while_it_logs(home: Path, script: Script) -> None:
    source = """
import signal, threading
run = runwell.init()
def handler(*_):
    run.finish("stopped", "SIGTERM")
    os._exit(0)
signal.signal(signal.SIGTERM, handler)
step = 0
while True:
    run.log({"a": 1.0, "b": 2.0}, step=step)
    step += 1
    if step == 5000:
        threading.Timer(0, os.kill, (os.getpid(), signal.SIGTERM)).start()
"""
    assert script(source).returncode == 0
    (events,) = events_on_disk(home).values()
    steps = [event["step"] for event in events if event["type"] == "metrics"]
    assert steps == list(range(len(steps))) and len(steps) >= 5000
    assert events[-1]["state"] == "stopped"


def test_a_forked_child_does_not_hold_what_others_left(script: Script) -> None:
    """Workers of a data loader live as long as the training, and were forked while an older run's records waited here."""
    done = script(
        """
import fcntl, time
from pathlib import Path
runwell.init(resume="older").finish(timeout=0)
run = runwell.init()
while not run._writer.sender._left:
    time.sleep(0.01)
reader, writer = os.pipe()
forked, told = os.pipe()
child = os.fork()
if child == 0:
    os.close(writer)
    os.write(told, b".")
    os.read(reader, 1)
    os._exit(0)
os.read(forked, 1)  # what a child does first of all, it has done
run.finish(timeout=0)
(path,) = Path(os.environ["RUNWELL_HOME"]).glob("spool/older/*/lock")
try:
    fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except OSError:
    print("held")
os.close(writer)
os.waitpid(child, 0)
"""
    )
    assert done.stdout == "free\n", done.stderr


def test_a_forked_child_has_a_writer_of_its_own(home: Path, script: Script) -> None:
    source = """
run = runwell.init()
run.log({"parent": 1.0}, step=0)
children = []
for number in range(3):
    pid = os.fork()
    if pid == 0:
        if number < 2:
            for step in range(100):
                run.log({"child": float(number)}, step=step)
        sys.exit(0)
    children.append(pid)
for step in range(1, 100):
    run.log({"parent": 1.0}, step=step)
for pid in children:
    os.waitpid(pid, 0)
"""
    done = script(source)
    assert done.returncode == 0, done.stderr
    written = list(events_on_disk(home).values())
    assert len(written) == 3, "a child that logs nothing writes nothing"
    parent = next(events for events in written if any("parent" in event for event in events))
    children = [events for events in written if events is not parent]
    assert [event["step"] for event in parent if event["type"] == "metrics"] == list(range(100))
    for events in children:
        assert [event["type"] for event in events] == ["run"] + ["metrics"] * 100, "the child does not end the run"
        assert events[0]["forked"] is True, "and the run does not wait for its end"
    assert sorted(events[1]["child"] for events in children) == [0.0, 1.0]
    assert parent[-1]["state"] == "finished" and "forked" not in parent[0]


def test_what_multiprocessing_children_log_arrives(
    home: Path, script: Script, make_server: Any, collector: Any
) -> None:
    source = """
import multiprocessing
run = runwell.init()
def work(number):
    for step in range(50):
        run.log({f"rank{number}": 1.0}, step=step)
context = multiprocessing.get_context("fork")
processes = [context.Process(target=work, args=(number,)) for number in range(2)]
for process in processes: process.start()
for process in processes: process.join()
run.finish()
"""
    done = script(source, make_server().url)
    assert done.returncode == 0, done.stderr
    for number in range(2):
        mine = [event["step"] for event in collector.of("r1") if f"rank{number}" in event]
        assert mine == list(range(50))
    assert not (home / "spool" / "r1").exists()


def test_a_full_disk_while_running(home: Path, script: Script) -> None:
    source = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = runwell.init()
resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, 512 * 1024))
for step in range(40_000):
    run.log({"a": 1.0, "b": 2.0}, step=step)
print("alive")
run.finish()
"""
    done = script(source)
    assert done.stdout == "alive\n", done.stderr
    assert done.stderr.count("cannot be written") == 1
    assert "records are kept in memory" in done.stderr


def test_the_import_is_light(script: Script) -> None:
    done = script(
        "print(*sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))",
        "x",
        "-S",
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    assert set(done.stdout.split()) <= {"runwell", "__main__", "sitecustomize"}, "the standard library alone"
    heavy = script("print('http.client' in sys.modules, 'asyncio' in sys.modules, 'dataclasses' in sys.modules)")
    assert heavy.stdout.split() == ["False", "False", "False"]


def test_sync_says_what_it_does(home: Path, script: Script, make_server: Any, collector: Any, tmp_path: Path) -> None:
    script("run = runwell.init()\nfor step in range(10): run.log({'a': 1}, step=step)")

    def sync(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "RUNWELL_HOME": str(home)}
        command = [sys.executable, "-m", "runwell.cli", "sync", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    away = sync()
    assert away.returncode == 1
    assert away.stdout.startswith("r1: 0 of 12 records sent (it does not answer")
    assert away.stderr == f"12 records still wait in {home / 'spool'}; is the server at http://127.0.0.1:9 up?\n"
    bad = sync("--url", "nowhere")
    assert bad.returncode == 2 and "RUNWELL_URL = 'nowhere' is not allowed" in bad.stderr
    url = make_server().url
    other = sync("--url", url, "r2")
    assert (other.returncode, other.stdout) == (0, f"r2: nothing waits in {home / 'spool'}\n")
    script("run = runwell.init()\nrun.log({'a': 1})", RUNWELL_URL="http://127.0.0.1:9", RUNWELL_RUN_ID="gone")
    (lock,) = (home / "spool" / "gone").glob("*/lock")
    lock.unlink()
    lock.mkdir()  # as closed to this user as a file of another one's is
    shut = sync("--url", url, "gone")
    assert shut.returncode == 1 and shut.stdout.startswith("gone: its spool cannot be used: ")
    lock.rmdir()
    collector.script = [Answer(410, {"detail": "run 'gone' was deleted", "deleted": "gone"})]
    gone = sync("--url", url, "gone")
    assert (gone.returncode, gone.stdout) == (0, "gone: 0 of 3 records sent, 3 removed because the run was deleted\n")
    assert not (home / "spool" / "gone").exists()
    there = sync("--url", url)
    assert (there.returncode, there.stdout) == (0, "r1: 12 of 12 records sent\n")
    assert collector.steps("r1") == list(range(10))
    again = sync("--url", url)
    assert (again.returncode, again.stdout) == (0, f"nothing waits in {home / 'spool'}\n")


def test_the_meta_file_tells_whose_spool_it_is(home: Path, script: Script) -> None:
    script("runwell.init('p', config={'password': 's3cr3t'})", RUNWELL_TOKEN="t0ken")
    (path,) = (home / "spool" / "r1").glob("*/writer.json")
    meta = json.loads(path.read_text())
    assert meta["url"] == "http://127.0.0.1:9" and meta["pid"] > 0 and meta["run_event"]["project"] == "p"
    assert "s3cr3t" not in path.read_text() and "t0ken" not in path.read_text()
