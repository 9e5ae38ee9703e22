"""POST launches and commands: bounded names and numbers go in; anything else is refused with the setting's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dashboard import commands
from dashboard.errors import Refused
from dashboard.services import Services
from dashboard.settings import Settings
from trainer import control

URL = "/api/v1/launches"


def test_a_launch_makes_a_run_with_its_config(client: Any, services: Services, started: list[Path]) -> None:
    answer = client.post(URL, json={"preset": "minimal", "name": "mine", "max_steps": 5, "learning_rate": "1e-4"})
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert (run["name"], run["launched"], run["config"]["max_steps"], run["config"]["learning_rate"]) == (
        "mine",
        True,
        5,
        1e-4,
    )
    written = json.loads((services.settings.home / "runs" / run["id"] / "config.json").read_text())
    assert written["max_steps"] == 5 and written["n_embd"] == 128


def test_a_launch_can_name_its_parent(client: Any, send: Any) -> None:
    send({"type": "run"}, run="first")
    assert client.post(URL, json={"parent": "first"}).json()["parent"] == "first"
    assert client.post(URL, json={"parent": "nope"}).status_code == 404
    assert client.post(URL, json={"parent": 5}).status_code == 422
    assert client.post(URL, json={"parent": "../x"}).status_code == 404
    assert client.post(URL, json={"parents": "first"}).json()["setting"] == "parents"


def test_a_run_names_its_relaunches_and_what_they_changed(client: Any, strict: Any) -> None:
    first = client.post(URL, json={"learning_rate": 1.0}).json()["id"]
    second = client.post(URL, json={"learning_rate": 0.1, "parent": first}).json()["id"]
    (child,) = strict(client.get(f"/api/v1/runs/{first}").text)["children"]
    assert child["id"] == second and child["changes"] == {"learning_rate": [1.0, 0.1]}
    shown = strict(client.get(f"/api/v1/runs/{second}").text)
    assert shown["parent"] == first and shown["children"] == []


def test_a_finding_says_what_became_of_its_fixes(client: Any, services: Services, send: Any, strict: Any) -> None:
    send({"type": "run"}, *({"type": "metrics", "step": step, "train/loss": float("nan")} for step in range(1, 9)))
    send(
        {"type": "run", "parent": "r1"}, *({"type": "metrics", "step": step, "train/loss": 5 / step} for step in range(1, 30)),
        run="r2",
    )  # fmt: skip
    services.watcher.drain(30)
    fixes = strict(client.get("/api/v1/runs/r1/findings").text)["fixes"]
    (fix,) = [one for one in fixes if one["rule"] == "non-finite-loss"]
    assert (fix["run"], fix["status"], fix["subject"]) == ("r2", "fixed", "")
    assert fix["says"] == "fixed by run r2: it is well at step 29 without it"


@pytest.mark.parametrize(
    ("values", "setting"),
    [
        ({"preset": "huge"}, "preset"), ({"preset": ["minimal"]}, "preset"), ({"learning_rat": 1}, "learning_rat"),
        ({"learning_rate": 1000}, "learning_rate"), ({"learning_rate": "NaN"}, "learning_rate"), ({"max_steps": 1.5}, "max_steps"),
        ({"max_steps": True}, "max_steps"), ({"n_embd": 130}, "n_embd"), ({"dataset": "missing.txt"}, "dataset"),
        ({"dataset": "../../etc/passwd"}, "dataset"), ({"dataset": "/etc/passwd"}, "dataset"), ({"name": "<script>"}, "name"),
        ({"command": "rm -rf /"}, "command"), ({"__class__": 1}, "__class__"), ({"resume": "../x"}, "resume"), ({"fault": "fire"}, "fault"),
        ({"min_learning_rate": 1.0}, "min_learning_rate"),
    ],
)  # fmt: skip
def test_what_a_launch_may_not_say_is_refused_by_name(
    client: Any, services: Services, started: list[Path], values: dict[str, Any], setting: str
) -> None:
    answer = client.post(URL, json=values)
    assert answer.status_code == 422
    assert answer.json()["setting"] == setting and isinstance(answer.json()["detail"], str)
    assert services.store.runs() == [] and started == []


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b'{"a":', b'"x"', b"[" * 5000])
def test_what_is_no_object_is_refused(client: Any, body: bytes) -> None:
    assert client.post(URL, content=body).status_code == 400


def test_a_launch_is_small(client: Any) -> None:
    assert client.post(URL, content=b" " * 300_000).status_code == 413


def test_a_link_out_of_the_data_folder_is_refused(client: Any, services: Services, tmp_path: Path) -> None:
    services.settings.data.mkdir()
    (tmp_path / "secret.txt").write_text("secret " * 100)
    (services.settings.data / "link.txt").symlink_to(tmp_path / "secret.txt")
    answer = client.post(URL, json={"dataset": "link.txt"})
    assert answer.status_code == 422 and answer.json()["setting"] == "dataset"


def test_the_queue_is_bounded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.api.launches.MAX_QUEUED", 0)
    answer = client.post(URL, json={})
    assert answer.status_code == 409 and "wait" in answer.json()["detail"]


def test_an_empty_store_gets_a_first_run_unless_told_not_to(open_app: Any, tmp_path: Path, started: list[Path]) -> None:
    settings = Settings.from_environment({"RUNWELL_HOME": str(tmp_path / "new")})
    with open_app(settings) as client:
        (run,) = client.get("/api/v1/runs").json()["runs"]
        assert run["launched"] and client.get(f"/api/v1/runs/{run['id']}").json()["config"]["preset"] == "minimal"
    with open_app(settings) as client:
        assert len(client.get("/api/v1/runs").json()["runs"]) == 1
    with open_app(Settings.from_environment({"RUNWELL_HOME": str(tmp_path / "off"), "FIRST_RUN": "0"})) as client:
        assert client.get("/api/v1/runs").json()["runs"] == []


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "args", "checked"),
    [
        ("stop", None, {}), ("checkpoint", {}, {}), ("set", {"learning_rate_factor": 0.1}, {"learning_rate_factor": 0.1}),
        ("set", {"grad_clip": "0.5", "learning_rate_factor": 2}, {"grad_clip": 0.5, "learning_rate_factor": 2.0}),
        ("sample", {"prompt": "To be", "top_k": 5, "temperature": 0}, {"prompt": "To be", "top_k": 5, "temperature": 0.0}),
        ("sample", {"tokens": None}, {}),
    ],
)  # fmt: skip
def test_commands_within_bounds(kind: str, args: Any, checked: dict[str, Any]) -> None:
    assert commands.check_command(kind, args) == (kind, checked)


@pytest.mark.parametrize(
    ("kind", "args", "said"),
    [
        ("reboot", {}, "one of stop, checkpoint, sample, set"), (None, {}, "unknown"), ("stop", {"now": True}, "no arguments"), ("stop", [], "an object"),
        ("set", {}, "needs"), ("set", {"learning_rate_factor": float("nan")}, "from 1e-06 to 1000"), ("set", {"learning_rate_factor": 1e9}, "1e-06"),
        ("set", {"learning_rate_factor": "2"}, "1e-06"), ("set", {"grad_clip": -1}, "grad_clip"), ("sample", {"temperature": 99}, "temperature"),
        ("sample", {"prompt": "x" * 3000}, "2,000"), ("sample", {"tokens": 10**9}, "tokens"), ("sample", {"seed": 5}, "sample takes prompt"),
    ],
)  # fmt: skip
def test_commands_out_of_bounds_are_refused(kind: Any, args: Any, said: str) -> None:
    with pytest.raises(Refused, match=said):
        commands.check_command(kind, args)


def test_the_worker_has_the_same_bounds() -> None:
    assert commands.RATE_FACTOR == (control.RATE_FACTOR_LOW, control.RATE_FACTOR_HIGH)
    kind, args = commands.check_command(
        "sample", {"prompt": "p", "temperature": 1, "top_k": 1, "top_p": 1, "tokens": 1}
    )
    assert kind == "sample" and control.parse_sample(args).tokens == 1
    assert (
        control.LiveSettings()
        .changed(commands.check_command("set", {"grad_clip": 2, "learning_rate_factor": 0.5})[1])
        .grad_clip
        == 2.0
    )


def test_commands_are_refused_over_http_too(client: Any, send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    send({"type": "run"})
    url = "/api/v1/runs/r1/commands"
    assert client.post(url, json={"kind": "reboot"}).status_code == 422
    assert client.post(url, content=b'{"kind":"set","args":{"learning_rate_factor":NaN}}').status_code == 422
    assert client.post("/api/v1/runs/nope/commands", json={"kind": "stop"}).status_code == 404
    monkeypatch.setattr("dashboard.api.runs.MAX_WAITING_COMMANDS", 1)
    assert client.post(url, json={"kind": "checkpoint"}).status_code == 201
    assert client.post(url, json={"kind": "checkpoint"}).status_code == 409
