"""The environment is read in one place, and a bad value gets a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from runwell.home import SettingError, default_home, read_environment, read_what_is_sound


def test_defaults() -> None:
    environment = read_environment({"RUNWELL_HOME": "/h"})
    assert (
        environment.home == Path("/h") and environment.data == Path("/h/data") and environment.spool == Path("/h/spool")
    )
    assert environment.url == "http://127.0.0.1:8420"
    assert (environment.token, environment.run_id, environment.spool_bytes) == ("", "", 2**30)


def test_every_variable() -> None:
    environment = read_environment(
        {
            "RUNWELL_HOME": "~/x",
            "RUNWELL_DATA": "/d",
            "RUNWELL_PORT": "8499",
            "RUNWELL_URL": "https://host:1/prefix/",
            "RUNWELL_TOKEN": " t ",
            "RUNWELL_RUN_ID": "r-1",
            "RUNWELL_SPOOL_MIB": "8",
        }
    )
    assert environment == (Path.home() / "x", Path("/d"), 8499, "https://host:1/prefix", "t", "r-1", 8 * 2**20)


def test_the_port_is_where_a_server_on_this_machine_is_looked_for() -> None:
    assert read_environment({"RUNWELL_PORT": "8499"}).url == "http://127.0.0.1:8499"
    assert read_environment({"RUNWELL_PORT": "8499", "RUNWELL_URL": "http://box:1"}).url == "http://box:1"
    for bad in ("0", "65536", "-1", "84 20", "x", "٣"):
        with pytest.raises(SettingError, match="RUNWELL_PORT"):
            read_environment({"RUNWELL_PORT": bad})
        sound, problems = read_what_is_sound({"RUNWELL_PORT": bad})
        assert sound.url == "" and [problem.variable for problem in problems] == ["RUNWELL_PORT"]
    assert read_what_is_sound({"RUNWELL_PORT": "x", "RUNWELL_URL": "http://box:1"})[0].url == "http://box:1"


def test_the_platforms_folder() -> None:
    assert default_home({"XDG_DATA_HOME": "/x"}, "linux") == Path("/x/runwell")
    assert default_home({}, "linux") == Path.home() / ".local/share/runwell"
    assert default_home({}, "darwin") == Path.home() / "Library/Application Support/runwell"
    assert default_home({"LOCALAPPDATA": "/l"}, "win32") == Path("/l/runwell")


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "RUNWELL_URL",
            "ftp://x",
            "RUNWELL_URL = 'ftp://x' is not allowed; it takes an address such as http://127.0.0.1:8420",
        ),
        ("RUNWELL_URL", "localhost:8420", "is not allowed"),
        ("RUNWELL_URL", "http://", "is not allowed"),
        ("RUNWELL_URL", "http://x:99999", "is not allowed"),
        ("RUNWELL_URL", "http://x/ y", "is not allowed"),
        ("RUNWELL_URL", "http://[x", "is not allowed"),
        ("RUNWELL_URL", "http://u:p@x", "use RUNWELL_TOKEN"),
        ("RUNWELL_TOKEN", "a\r\nX: y", "RUNWELL_TOKEN is not allowed; it takes printable ASCII"),
        ("RUNWELL_RUN_ID", "../x", "RUNWELL_RUN_ID: run id '../x' is not allowed"),
        ("RUNWELL_SPOOL_MIB", "lots", "RUNWELL_SPOOL_MIB = 'lots' is not allowed; it takes a number from 4"),
        ("RUNWELL_SPOOL_MIB", "nan", "RUNWELL_SPOOL_MIB = 'nan' is not allowed"),
        ("RUNWELL_SPOOL_MIB", "0", "RUNWELL_SPOOL_MIB = '0' is not allowed"),
    ],
)
def test_a_bad_value_is_named(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_environment({"RUNWELL_HOME": "/h", variable: value})
    assert sentence in str(raised.value) and raised.value.variable == variable


def test_a_token_is_never_shown() -> None:
    with pytest.raises(SettingError) as raised:
        read_environment({"RUNWELL_TOKEN": "s3cr3t\n"})
    assert "s3cr3t" not in str(raised.value)


def test_the_sound_part_of_a_bad_environment_is_taken() -> None:
    environment, problems = read_what_is_sound({"RUNWELL_HOME": "/h", "RUNWELL_URL": "x", "RUNWELL_SPOOL_MIB": "x"})
    assert [problem.variable for problem in problems] == ["RUNWELL_URL", "RUNWELL_SPOOL_MIB"]
    assert environment.home == Path("/h")
    assert environment.url == "", "records must not go where nobody meant them to"
