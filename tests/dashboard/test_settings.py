"""Settings: flags over environment over defaults, and one sentence for what is not allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.settings import Settings, SettingsError


def read(tmp_path: Path, environ: dict[str, str] | None = None, **flags: object) -> Settings:
    return Settings.from_environment({"RUNWELL_HOME": str(tmp_path), **(environ or {})}, **flags)  # type: ignore[arg-type]


def test_defaults(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.host, found.port, found.home, found.data) == ("127.0.0.1", 8420, tmp_path, tmp_path / "data")
    assert found.database_url == str(tmp_path / "runwell.db") and found.token is None and found.first_run
    assert found.url == "http://127.0.0.1:8420" and found.loopback


def test_the_environment_is_heard(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "RUNWELL_DATA": "/texts", "RUNWELL_DATABASE_URL": "postgresql://u@h/d", "RUNWELL_TOKEN": "long enough", "FIRST_RUN": "0",
            "RUNWELL_MAX_ACTIVE_RUNS": "5", "RUNWELL_ALLOWED_HOSTS": "server, box.lan",
            "RUNWELL_PORT": "8499",
        },
    )  # fmt: skip
    assert (found.data, found.database_url, found.token) == (Path("/texts"), "postgresql://u@h/d", "long enough")
    assert (found.first_run, found.max_active_runs, found.allowed_hosts) == (False, 5, ("server", "box.lan"))
    assert found.port == 8499 and read(tmp_path, {"RUNWELL_PORT": "8499"}, port=1).port == 1


def test_flags_win(tmp_path: Path) -> None:
    found = read(tmp_path, {"FIRST_RUN": "0"}, host="localhost", port=0, home=tmp_path / "other", first_run=True)
    assert (found.host, found.port, found.home, found.first_run) == ("localhost", 0, tmp_path / "other", True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "box.lan"])
def test_an_address_that_others_reach_needs_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match=r"a token is needed: set RUNWELL_TOKEN"):
        read(tmp_path, host=host)
    assert not read(tmp_path, {"RUNWELL_TOKEN": "a long secret"}, host=host).loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback_needs_none(tmp_path: Path, host: str) -> None:
    assert read(tmp_path, host=host).loopback


@pytest.mark.parametrize(
    ("environ", "flags", "said"),
    [
        ({}, {"port": 70000}, "--port 70000"),
        ({}, {"host": "a b"}, "--host 'a b'"),
        ({}, {"host": ""}, "--host"),
        (
            {"RUNWELL_MAX_ACTIVE_RUNS": "many"},
            {},
            "RUNWELL_MAX_ACTIVE_RUNS = 'many' is not allowed; it takes a whole number, 1",
        ),
        (
            {"RUNWELL_MAX_ACTIVE_RUNS": "-1"},
            {},
            "RUNWELL_MAX_ACTIVE_RUNS = -1 is not allowed; it takes a number from 1 to",
        ),
        (
            {"RUNWELL_MAX_NEW_RUNS": "9999999"},
            {},
            "RUNWELL_MAX_NEW_RUNS = 9999999 is not allowed; it takes a number from",
        ),
        ({"RUNWELL_MAX_ACTIVE_RUNS": "0"}, {}, "from 1 to 1000"),
        (
            {"RUNWELL_MAX_NEW_RUNS": "0"},
            {},
            "RUNWELL_MAX_NEW_RUNS = 0 is not allowed; it takes a number from 1 to 999999",
        ),
        ({"RUNWELL_ALLOWED_HOSTS": "http://x"}, {}, "RUNWELL_ALLOWED_HOSTS"),
        ({"RUNWELL_TOKEN": "short"}, {}, "at least 8"),
        ({"RUNWELL_TOKEN": "a\nb"}, {}, "RUNWELL_TOKEN"),
        ({"FIRST_RUN": "no"}, {}, "FIRST_RUN"),
        ({"RUNWELL_PORT": "http"}, {}, "RUNWELL_PORT = 'http' is not allowed; it takes a number from 1 to 65535"),
        ({"RUNWELL_URL": "nonsense"}, {}, "RUNWELL_URL"),
    ],
)
def test_what_is_not_allowed_is_named(
    tmp_path: Path, environ: dict[str, str], flags: dict[str, object], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read(tmp_path, environ, **flags)


def test_addresses_to_open(tmp_path: Path) -> None:
    assert read(tmp_path, host="::1", port=80).url == "http://[::1]:80"
    assert read(tmp_path, {"RUNWELL_TOKEN": "a long secret"}, host="0.0.0.0").url == "http://127.0.0.1:8420"
