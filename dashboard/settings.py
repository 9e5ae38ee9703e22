"""What the server is told: one frozen dataclass, and the one function of the server that reads the environment.

Addresses that other machines can reach need a token; that is checked here, so that no way of starting goes around it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dashboard.errors import SettingsError
from runwell.home import DEFAULT_PORT, SettingError, read_environment

__all__ = ["Settings", "SettingsError"]

DEFAULT_HOST = "127.0.0.1"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the server runs. Raises SettingsError when a value is not allowed."""

    host: str = DEFAULT_HOST
    """Address to listen on (`--host`). Any but a loopback address needs `token`."""
    port: int = DEFAULT_PORT
    """Port to listen on (`--port`); 0 takes a free one."""
    home: Path
    """Where store, spool, runs and checkpoints lie (`--home`, `RUNWELL_HOME`)."""
    data: Path
    """Where training texts lie (`RUNWELL_DATA`; default `data` under home)."""
    database_url: str
    """The store: a database URL or a SQLite file (`RUNWELL_DATABASE_URL`; default `runwell.db` under home)."""
    token: str | None = None
    """What pages, API and WebSocket ask for (`RUNWELL_TOKEN`); None: nothing, on loopback only."""
    max_active_runs: int = 2
    """Launched runs at once (`RUNWELL_MAX_ACTIVE_RUNS`); the others wait."""
    max_new_runs: int = 600
    """Runs that one machine may begin in a minute (`RUNWELL_MAX_NEW_RUNS`); its senders wait with what is more."""
    first_run: bool = True
    """Whether an empty store gets one healthy run at the start (`--no-first-run`, `FIRST_RUN=0`)."""
    allowed_hosts: tuple[str, ...] = ()
    """More names under which the server may be addressed (`RUNWELL_ALLOWED_HOSTS`, separated by commas)."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"--port {self.port} is not allowed; it takes a number from 0 to 65535")
        if not 1 <= self.max_active_runs <= 1000:
            raise SettingsError(
                f"RUNWELL_MAX_ACTIVE_RUNS = {self.max_active_runs} is not allowed; it takes a number from 1 to 1000"
            )
        if not 1 <= self.max_new_runs <= 999_999:
            raise SettingsError(
                f"RUNWELL_MAX_NEW_RUNS = {self.max_new_runs} is not allowed; it takes a number from 1 to 999999"
            )
        if not self.host or not (_NAME.fullmatch(self.host) or _address(self.host)):
            raise SettingsError(
                f"--host {self.host!r} is not allowed; it takes an address or a name, such as 127.0.0.1"
            )
        for name in self.allowed_hosts:
            if not _NAME.fullmatch(name):
                raise SettingsError(
                    f"RUNWELL_ALLOWED_HOSTS: {name!r} is not allowed; it takes names or addresses without port, separated by commas"
                )
        if not self.token and not self.loopback:
            raise SettingsError(
                f"--host {self.host} can be reached from other machines, so a token is needed: set RUNWELL_TOKEN to a long "
                "secret (python -c 'import secrets; print(secrets.token_urlsafe(24))' makes one), or listen on 127.0.0.1"
            )
        if self.token is not None and len(self.token) < 8:
            raise SettingsError("RUNWELL_TOKEN is too short to be a secret; it takes at least 8 characters")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        address = _address(self.host)
        return address.is_loopback if address else self.host == "localhost"

    @property
    def url(self) -> str:
        """The address to open on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def lock_file(self) -> Path:
        """Held by the server that uses this home."""
        return self.home / "server.lock"

    @classmethod
    def read(
        cls,
        *,
        host: str | None = None,
        port: int | None = None,
        home: str | Path | None = None,
        first_run: bool | None = None,
    ) -> Settings:
        """From the flags given and this process's environment. Raises SettingsError."""
        return cls.from_environment(os.environ, host=host, port=port, home=home, first_run=first_run)

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        host: str | None = None,
        port: int | None = None,
        home: str | Path | None = None,
        first_run: bool | None = None,
    ) -> Settings:
        """From flags and a given environment; a flag that is None is not given. Raises SettingsError."""
        given = dict(environ) | ({"RUNWELL_HOME": str(home)} if home is not None else {})
        try:
            read = read_environment(given)
        except SettingError as error:
            raise SettingsError(str(error)) from None
        return cls(
            host=DEFAULT_HOST if host is None else host,
            port=read.port if port is None else port,
            home=read.home,
            data=read.data,
            database_url=given.get("RUNWELL_DATABASE_URL") or str(read.home / "runwell.db"),
            token=read.token or None,
            max_active_runs=_whole_number(given, "RUNWELL_MAX_ACTIVE_RUNS", 2),
            max_new_runs=_whole_number(given, "RUNWELL_MAX_NEW_RUNS", 600),
            first_run=_switch(given, "FIRST_RUN") if first_run is None else first_run,
            allowed_hosts=tuple(
                name.strip() for name in given.get("RUNWELL_ALLOWED_HOSTS", "").split(",") if name.strip()
            ),
        )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise SettingsError(f"{name} = {text[:40]!r} is not allowed; it takes a whole number, 1 or more")
    return int(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "")
    if text not in ("", "0", "1"):
        raise SettingsError(f"{name} = {text[:40]!r} is not allowed; it takes 0 or 1")
    return text != "0"
