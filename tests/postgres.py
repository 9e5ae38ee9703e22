"""A PostgreSQL server of the tests' own: the binaries of the package `pgserver`, on a socket in a folder of their own.

Only the binaries are used. PostgreSQL refuses to run as root, so there it runs as `nobody`, from a copy that `nobody` may
read: the environment may lie in a folder that only root can enter.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NOBODY = 65534
START_SECONDS = 60


@contextmanager
def postgres() -> Iterator[str]:
    """A running server; a URL of its first database. All of it is gone after."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of a socket is bounded
    demoted: dict[str, Any] = {}
    try:
        binaries = _binaries()
        if os.geteuid() == 0:
            demoted = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            binaries = _copy(binaries, folder)
            os.chown(folder, NOBODY, NOBODY)
        _run(
            [
                binaries / "initdb",
                "-D",
                folder / "data",
                "-A",
                "trust",
                "-U",
                "runwell",
                "-E",
                "UTF8",
                "--no-locale",
                "--no-sync",
            ],
            demoted,
        )
        control = [binaries / "pg_ctl", "-D", folder / "data", "-w", "-t", str(START_SECONDS)]
        # Nothing here outlives the tests, so nothing is flushed to the disk.
        options = f"-c listen_addresses= -k {folder} -c fsync=off -c max_connections=200"
        _run([*control, "-l", folder / "log", "-o", options, "start"], demoted)
        try:
            yield f"postgresql+psycopg://runwell@/postgres?host={folder}"
        finally:
            _run([*control, "-m", "immediate", "stop"], demoted)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    found = importlib.util.find_spec("pgserver")  # not imported: it complains about the session it runs in
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the tests need the package pgserver: pip install -e '.[test]'")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _copy(binaries: Path, folder: Path) -> Path:
    """The installation and the libraries beside it, which the binaries look for by where they lie themselves."""
    package = binaries.parents[1]
    shutil.copytree(package / "pginstall", folder / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return folder / package.name / "pginstall" / "bin"


def _run(command: list[Any], demoted: dict[str, Any]) -> None:
    done = subprocess.run(
        [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, cwd="/", timeout=2 * START_SECONDS, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, **demoted,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}")
