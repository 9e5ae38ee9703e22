"""The settings file of the rules: found, read, refused; and what the server does with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboard.app import create_services
from dashboard.errors import SettingsError
from dashboard.rule_settings import find_rule_settings, read_rule_settings
from dashboard.settings import Settings
from runwell.wire import Batch


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    toml, bare = tmp_path / "rules.toml", tmp_path / "thresholds"
    toml.write_text("[plateau]\nshare = 0.5\n[projects.tiny.plateau]\nshare = 0.9\n")
    bare.write_text("\ufeff" + toml.read_text(), encoding="utf-8")
    json = tmp_path / "rules.json"
    json.write_text('{"plateau": {"share": 0.5}, "projects": {"tiny": {"plateau": {"share": 0.9}}}}')
    assert read_rule_settings(toml) == read_rule_settings(json) == read_rule_settings(bare)
    assert read_rule_settings(toml).of("tiny") == {"plateau": {"share": 0.9}}


def test_a_home_has_one_file_or_none(tmp_path: Path) -> None:
    assert find_rule_settings(tmp_path) is None and read_rule_settings(None).of("p") == {}
    (tmp_path / "rules.json").write_text("{}")
    assert find_rule_settings(tmp_path) == tmp_path / "rules.json"
    (tmp_path / "rules.toml").write_text("")
    with pytest.raises(SettingsError, match=r"holds rules\.toml and rules\.json; only one of them can count"):
        find_rule_settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("rules.toml", b"plateau", "rules.toml is not TOML: "),
        ("rules.json", b"{", "rules.json is not JSON: "),
        ("rules.json", b"", "rules.json is not JSON: "),
        ("rules.toml", b"\xff", "rules.toml is not TOML: "),
        ("rules.toml", b"[plateau]\nshard = 1", "rules.toml: plateau has no option 'shard'"),
        ("rules.json", b'{"plateau": {"share": NaN}}', "rules.json: plateau: share = nan is not a number"),
        ("rules.toml", b" " * 2**21, "rules.toml holds 2,097,152 bytes; settings take at most 1,048,576"),
    ],
)
def test_a_wrong_file_gets_one_sentence(tmp_path: Path, name: str, text: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(SettingsError) as raised:
        read_rule_settings(tmp_path / name)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        read_rule_settings(tmp_path / "none.toml")


# -- the server ----------------------------------------------------------------------------------------------------

SPIKY = [*(4.0 - 0.01 * step for step in range(100)), 9.0, 9.0, 9.0, 9.0, 9.0, *(3.0 for _ in range(40))]


def judged(home: Path, project: str) -> list[str]:
    """The rules that fire on a run of a project, as the server judges it."""
    services = create_services(Settings.from_environment({"RUNWELL_HOME": str(home)}, first_run=False))
    begin: dict[str, Any] = {"type": "run", "time": 1.0, "project": project}
    points = [{"type": "metrics", "step": n, "time": 1.0, "train/loss": x} for n, x in enumerate(SPIKY)]
    services.store.append(project, Batch("w", 1, (begin, *points)))
    services.watcher.start()
    services.watcher.notify(project)
    services.watcher.drain(30)
    services.watcher.stop()
    found = [record.rule for record in services.store.findings(project)]
    services.store.close()
    return found


def test_the_server_judges_each_project_by_its_thresholds(tmp_path: Path) -> None:
    assert "loss-spike" in judged(tmp_path, "plain")
    (tmp_path / "rules.toml").write_text("[projects.calm.loss-spike]\nrise = 1e6\n")
    assert "loss-spike" not in judged(tmp_path, "calm")
    assert "loss-spike" in judged(tmp_path, "other")


def test_a_server_with_a_wrong_file_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("[plato]\n")
    with pytest.raises(SettingsError, match="no rule is called 'plato'"):
        create_services(Settings.from_environment({"RUNWELL_HOME": str(tmp_path)}, first_run=False))
    assert not (tmp_path / "runwell.db").exists(), "nothing was touched"
