"""Where Runwell keeps its things and whom it talks to: the one place in the SDK that reads the environment.

Standard library only. Nothing is created here; whoever writes makes the folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from runwell.wire import WireError, check_run_id, shorten

DEFAULT_PORT = 8420
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_SPOOL_MIB = 1024


class SettingError(ValueError):
    """An environment variable has a value that is not allowed. The message names it and says what is."""

    def __init__(self, variable: str, message: str) -> None:
        super().__init__(message)
        self.variable = variable


class Environment(NamedTuple):
    """What the environment says."""

    home: Path
    """Store, spool and checkpoints lie under it (`RUNWELL_HOME`, else the platform's data folder)."""
    data: Path
    """Training texts (`RUNWELL_DATA`, else `home/data`)."""
    port: int
    """Where a server on this machine listens (`RUNWELL_PORT`)."""
    url: str
    """The server's address without a slash at the end (`RUNWELL_URL`, else this machine's at `port`)."""
    token: str
    """Sent as a bearer token when not empty (`RUNWELL_TOKEN`)."""
    run_id: str
    """The run to adopt, or empty (`RUNWELL_RUN_ID`)."""
    spool_bytes: int
    """Bound of the whole spool folder (`RUNWELL_SPOOL_MIB`)."""

    @property
    def spool(self) -> Path:
        """The folder of records that wait for the server: one folder a run, one in it a writer."""
        return self.home / "spool"


def read_environment(environ: Mapping[str, str] | None = None) -> Environment:
    """Read the environment. Raises `SettingError` with the variable, the value seen and what is allowed."""
    environ = os.environ if environ is None else environ
    home = Path(environ.get("RUNWELL_HOME") or default_home(environ)).expanduser().absolute()
    port = _port(environ.get("RUNWELL_PORT") or str(DEFAULT_PORT))
    return Environment(
        home=home,
        data=Path(environ.get("RUNWELL_DATA") or home / "data").expanduser().absolute(),
        port=port,
        url=check_url(environ.get("RUNWELL_URL") or f"http://127.0.0.1:{port}"),
        token=_token(environ.get("RUNWELL_TOKEN", "")),
        run_id=_run_id(environ.get("RUNWELL_RUN_ID", "")),
        spool_bytes=_mebibytes(environ.get("RUNWELL_SPOOL_MIB") or str(DEFAULT_SPOOL_MIB)),
    )


def read_what_is_sound(environ: Mapping[str, str] | None = None) -> tuple[Environment, list[SettingError]]:
    """Like `read_environment`, but a bad value is told instead of raised, and its default taken.

    A bad address has no default: `url` is empty then, because records must not go where nobody meant them to.
    """
    left = dict(os.environ if environ is None else environ)
    problems: list[SettingError] = []
    while True:
        try:
            sound = read_environment(left)
        except SettingError as problem:
            problems.append(problem)
            del left[problem.variable]
            continue
        bad = {problem.variable for problem in problems}
        lost = "RUNWELL_URL" in bad or ("RUNWELL_PORT" in bad and not left.get("RUNWELL_URL"))
        return (sound._replace(url="") if lost else sound), problems


def default_home(environ: Mapping[str, str], platform: str = sys.platform) -> Path:
    """The platform's folder for application data, `runwell` in it."""
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "runwell"
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "runwell"
    return Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "runwell"


def check_url(url: str) -> str:
    """The address without a slash at the end. Raises `SettingError` unless it is http(s)://host[:port][/prefix]."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingError(
            "RUNWELL_URL", f"RUNWELL_URL = {shorten(url)} is not allowed; it takes an address such as {DEFAULT_URL}"
        )
    if parts.username or parts.query or parts.fragment:
        raise SettingError(
            "RUNWELL_URL", "RUNWELL_URL must be a plain address without user, query or fragment; use RUNWELL_TOKEN"
        )
    return url.rstrip("/")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        raise SettingError(
            "RUNWELL_PORT", f"RUNWELL_PORT = {shorten(text)} is not allowed; it takes a number from 1 to 65535"
        )
    return int(text)


def _token(token: str) -> str:
    # a line break in a header would let the token write headers of its own; the value itself is never shown
    if not token.isascii() or not token.isprintable():
        raise SettingError("RUNWELL_TOKEN", "RUNWELL_TOKEN is not allowed; it takes printable ASCII characters")
    return token.strip()


def _run_id(run_id: str) -> str:
    try:
        return check_run_id(run_id) if run_id else ""
    except WireError as error:
        raise SettingError("RUNWELL_RUN_ID", f"RUNWELL_RUN_ID: {error}") from None


def _mebibytes(text: str) -> int:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 4 <= size <= 2**20:
        raise SettingError(
            "RUNWELL_SPOOL_MIB",
            f"RUNWELL_SPOOL_MIB = {shorten(text)} is not allowed; it takes a number from 4 to 1048576",
        )
    return int(size * 2**20)
