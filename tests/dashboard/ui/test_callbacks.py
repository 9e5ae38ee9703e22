"""Callbacks through Dash's own endpoint: what a click sends, and what comes of it in the store."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboard.errors import Refused
from dashboard.records import State
from dashboard.ui import app as ui
from dashboard.ui.app import create_ui


@pytest.fixture
def press(full_site: Any) -> Any:
    """Sends a callback as the browser does: its output, the inputs with values, the state, what changed."""
    client = create_ui(full_site.services).server.test_client()
    wanted = client.get("/_dash-dependencies").json

    def press(output: str, changed: str, **values: Any) -> Any:
        found = [
            one for one in wanted if output in one["output"] and any(_name(part) == changed for part in one["inputs"])
        ]
        assert len(found) == 1, [one["output"] for one in found]
        spec = found[0]
        outputs = [_output(one) for one in spec["output"].strip(".").split("...")]
        body = {
            "output": spec["output"],
            "outputs": outputs if spec["output"].startswith("..") else outputs[0],
            "inputs": [part | {"value": values.get(_name(part))} for part in spec["inputs"]],
            "state": [part | {"value": values.get(_name(part))} for part in spec["state"]],
            "changedPropIds": [changed],
        }
        return client.post("/_dash-update-component", json=body)

    return press


def _name(part: dict[str, str]) -> str:
    return f"{part['id']}.{part['property']}"


def _output(text: str) -> dict[str, str]:
    component, _, prop = text.rpartition(".")
    return {"id": component, "property": prop}


def test_the_first_run_button_queues_a_minimal_run_and_goes_to_it(full_site: Any, press: Any) -> None:
    answer = press("url.pathname", "runs-first.n_clicks", **{"runs-first.n_clicks": 1}).json
    path = answer["response"]["url"]["pathname"]
    run = full_site.services.store.run(path.rpartition("/")[2])
    assert (run.state, run.name, run.config["preset"]) == (State.QUEUED, "First run", "minimal")


def test_a_button_that_merely_appeared_does_nothing(full_site: Any, press: Any) -> None:
    before = len(full_site.services.store.runs())
    assert "/run/" not in press("url.pathname", "runs-first.n_clicks", **{"runs-first.n_clicks": 0}).text
    assert (
        press(
            "run-stop-dialog.opened", "run-stop.n_clicks", **{"run-stop.n_clicks": 0, "run-id.data": "healthy"}
        ).status_code
        == 200
    )
    assert len(full_site.services.store.runs()) == before
    assert full_site.services.store.run("healthy").state is State.RUNNING


def test_stop_asks_first_and_then_stops(full_site: Any, press: Any) -> None:
    asked = press(
        "run-stop-dialog.opened", "run-stop.n_clicks", **{"run-stop.n_clicks": 1, "run-id.data": "waiting"}
    ).json
    assert asked["response"]["run-stop-dialog"]["opened"] is True
    assert full_site.services.store.run("waiting").state is State.QUEUED
    press("run-stop-dialog.opened", "run-stop-yes.n_clicks", **{"run-stop-yes.n_clicks": 1, "run-id.data": "waiting"})
    assert full_site.services.store.run("waiting").state is State.CANCELLED


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("page", ["run", "runs"])
def test_checkpoints_go_with_a_run_when_the_box_is_checked(full_site: Any, press: Any, page: str, files: bool) -> None:
    services = full_site.services
    services.store.set_state("healthy", State.FINISHED)
    folder = services.settings.home / "runs" / "healthy"
    folder.mkdir(parents=True)
    (folder / "output.log").write_text("x" * 2048)
    chosen = {"run-id.data": "healthy", "runs-chosen.value": ["healthy"], "runs-deleted.data": 0}
    opened = f"{page}-delete-dialog.opened"
    asked = press(opened, f"{page}-delete.n_clicks", **chosen, **{f"{page}-delete.n_clicks": 1}).json["response"]
    assert asked[f"{page}-delete-choice"]["hidden"] is False and asked[f"{page}-delete-disk"]["checked"] is False
    assert "checkpoints and output on disk as well (2 KiB)" in asked[f"{page}-delete-disk"]["label"]
    yes = {f"{page}-delete-yes.n_clicks": 1, f"{page}-delete-disk.checked": files}
    press(opened, f"{page}-delete-yes.n_clicks", **chosen, **yes)
    assert not services.store.has_run("healthy") and folder.exists() is not files


def test_a_run_that_somebody_else_deleted_is_gone_for_this_page_too(press: Any) -> None:
    gone = {"run-delete-yes.n_clicks": 1, "run-id.data": "gone"}
    answer = press("run-delete-dialog.opened", "run-delete-yes.n_clicks", **gone).json["response"]
    assert answer["url"]["pathname"] == "/" and answer["run-delete-dialog"]["opened"] is False
    gone = {"runs-delete-yes.n_clicks": 1, "runs-chosen.value": ["gone"], "runs-deleted.data": 4}
    answer = press("runs-delete-dialog.opened", "runs-delete-yes.n_clicks", **gone).json["response"]
    assert (answer["runs-chosen"]["value"], answer["runs-deleted"]["data"]) == ([], 5)


def test_checkpoint_now_becomes_a_command(full_site: Any, press: Any) -> None:
    press(
        "notifications.sendNotifications",
        "run-checkpoint.n_clicks",
        **{"run-checkpoint.n_clicks": 1, "run-id.data": "healthy"},
    )
    assert [command.kind for command in full_site.services.store.pending_commands("healthy")] == ["checkpoint"]


def test_a_series_that_is_new_gets_its_card_and_one_that_is_known_changes_nothing(full_site: Any, press: Any) -> None:
    names = full_site.services.store.series_names("healthy")
    known = {"run-live-refresh.data": 1, "run-id.data": "healthy", "run-metrics.data": {"names": names}}
    assert press("run-charts.children", "run-live-refresh.data", **known).json["response"] == {}
    full_site.send("healthy", [{"type": "metrics", "step": 401, "reward/mean": 1.0}])
    answer = press("run-charts.children", "run-live-refresh.data", **known).json["response"]
    assert answer["run-metrics"]["data"]["groups"] == [
        {"title": "Other", "charts": [["other:reward/mean", "reward/mean"]]}
    ]


def test_parts_behind_another_tab_are_left_alone(press: Any) -> None:
    for output, live in (("run-diagnosis", "findings"), ("run-samples", "samples"), ("run-output", "log")):
        trigger = f"run-live-{live}.data"
        values = {trigger: 1, "run-id.data": "nan", "run-tabs.value": "curves"}
        assert press(f"{output}.children", trigger, **values).json["response"] == {}
        shown = press(f"{output}.children", trigger, **values | {"run-tabs.value": output.removeprefix("run-")})
        assert shown.json["response"][output]["children"]


def test_a_failing_callback_tells_the_reader_and_the_log(press: Any, caplog: pytest.LogCaptureFixture) -> None:
    answer = press("run-head.children", "run-live-run.data", **{"run-live-run.data": 1, "run-id.data": "gone"})
    assert "That is not possible" in answer.text
    assert "gone" in answer.text
    assert caplog.records == []  # foreseen: no traceback


def test_an_unforeseen_error_is_logged_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(ui.dash, "set_props", lambda component, props: said.append((component, props)))
    ui._on_error(ZeroDivisionError("x"))
    assert caplog.records[0].exc_info is not None
    assert "ZeroDivisionError" in json.dumps(said)
    ui._on_error(Refused("only so many"))
    assert "only so many" in json.dumps(said[-1])
    assert len(caplog.records) == 1
