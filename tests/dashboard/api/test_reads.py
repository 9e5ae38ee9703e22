"""GET: what each address answers, in which shape, and what it says to a wrong question."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from dashboard.records import State
from dashboard.services import Services

COLUMNS = ["name", "step", "time", "min", "max", "mean", "last", "count", "nonfinite", "min_step", "max_step"]


@pytest.fixture
def run(send: Any) -> str:
    points = [{"type": "metrics", "step": step, "time": step, "a": step, "b": -step} for step in range(100)]
    send(
        {"type": "run", "project": "p", "name": "n", "config": {"max_steps": 200}}, *points,
        {"type": "sample", "step": 50, "time": 1, "prompt": "To be", "text": "or not",
         "verbatim_tokens": 60, "temperature": "NaN"},
        *[{"type": "log", "stream": "stdout", "text": f"line {number}", "time": 1} for number in range(5)],
        {"type": "checkpoint", "step": 90, "path": "c", "val_loss": "NaN", "best": True, "time": 2},
    )  # fmt: skip
    return "/api/v1/runs/r1"


def test_health_needs_nothing(client: Any) -> None:
    assert client.get("/api/v1/health").json() == {"status": "ok", "name": "runwell", "version": "0.1.0"}


def test_the_list_of_runs(client: Any, run: str) -> None:
    (row,) = client.get("/api/v1/runs").json()["runs"]
    assert (row["id"], row["project"], row["name"], row["state"], row["last_step"], row["planned_steps"]) == (
        "r1",
        "p",
        "n",
        "running",
        99,
        200,
    )
    assert row["latest"] == {"a": 99.0, "b": -99.0} and "config" not in row
    assert client.get("/api/v1/runs?project=other").json()["runs"] == []
    assert client.get("/api/v1/runs?state=running&state=queued&limit=5").json()["runs"][0]["id"] == "r1"
    assert client.get("/api/v1/runs?state=crashed").json()["runs"] == []


def test_one_run(client: Any, run: str) -> None:
    found = client.get(run).json()
    assert found["config"] == {"max_steps": 200} and found["latest"]["a"] == 99.0


@pytest.mark.parametrize("planned", [math.inf, -math.inf, math.nan, 10**299, 0, -5, True, "many", [1], {"a": 1}])
def test_a_plan_that_is_no_number_of_steps_breaks_no_page(client: Any, send: Any, planned: Any) -> None:
    event = {"type": "run", "time": 1e9, "config": {"max_steps": planned}}
    assert send(event, {"type": "metrics", "step": 1, "loss": 1.0}).status_code == 200
    for path in ("/api/v1/runs", "/api/v1/runs/r1"):
        answer = client.get(path)
        assert answer.status_code == 200 and '"planned_steps":null' in answer.text


def test_series_in_columns_of_equal_length(client: Any, run: str) -> None:
    found = client.get(f"{run}/series?name=a&buckets=10").json()
    assert list(found) == COLUMNS and found["name"] == "a"
    assert {len(found[name]) for name in COLUMNS[1:]} == {10}
    assert found["count"] == [10] * 10 and found["max"] == [float(step) for step in range(9, 100, 10)]
    part = client.get(f"{run}/series?name=a&from=10&to=12").json()
    assert part["step"] == [10, 11, 12] and part["last"] == [10.0, 11.0, 12.0]
    both = client.get(f"{run}/series?name=a&name=b&from=99").json()
    assert [(one["name"], one["last"]) for one in both["series"]] == [("a", [99.0]), ("b", [-99.0])]
    assert client.get(f"{run}/series").json() == {"names": ["a", "b"]}
    assert client.get(f"{run}/series?name=nope").json()["step"] == []


@pytest.mark.parametrize("counter", [True, False], ids=["counted", "by the config"])
def test_series_by_tokens(client: Any, send: Any, counter: bool) -> None:
    """The counter counts 10 tokens a step to step 40 and 30 after it: a batch that grows. The config would say 6."""
    config = {"batch_size": 1, "accumulation_steps": 2, "context_length": 3}
    tokens = [10 * step if step <= 40 else 400 + 30 * (step - 40) for step in range(100)]
    points = [
        {"type": "metrics", "step": step, "time": step, "a": 9 if step == 43 else "NaN" if step == 97 else 1}
        | ({"train/tokens": tokens[step]} if counter and step % 2 == 0 else {})
        for step in range(100)
    ]
    send({"type": "run", "config": config}, *points)
    expected = tokens if counter else [6 * step for step in range(100)]
    found = client.get("/api/v1/runs/r1/series?name=a&buckets=5&x=tokens").json()
    assert found["axis"] == "tokens" and [*COLUMNS, "axis", "x", "min_x", "max_x"] == list(found)
    assert found["x"][:4] == [expected[step] for step in found["step"][:4]]
    assert found["max_x"][found["max"].index(9.0)] == expected[43]
    assert found["x"][-1] > expected[98], "after the last count it goes on"
    raw = client.get("/api/v1/runs/r1/series?name=a&from=95&to=98&x=tokens").json()
    assert raw["x"] == raw["min_x"] == [expected[step] for step in range(95, 99)] and raw["last"][2] == "NaN"


@pytest.mark.parametrize("size", ["NaN", "Infinity", -8, 1e300])
def test_sizes_that_make_no_step_make_no_token_axis(client: Any, send: Any, size: Any) -> None:
    config = {"batch_size": size, "accumulation_steps": 1e300, "context_length": 8}
    send({"type": "run", "config": config}, {"type": "metrics", "step": 1, "a": 1.0})
    absent = client.get("/api/v1/runs/r1/series?name=a&x=tokens")
    assert absent.status_code == 422 and "no token axis" in absent.json()["detail"]


def test_counts_that_are_none_are_passed_over(client: Any, send: Any) -> None:
    counts = [0, 10, "NaN", "Infinity", 1.7e308, -1.7e308, 60]
    points = [{"type": "metrics", "step": step, "a": 1.0, "train/tokens": count} for step, count in enumerate(counts)]
    send({"type": "run"}, *points)
    found = client.get("/api/v1/runs/r1/series?name=a&x=tokens").json()
    assert found["x"] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]


def test_series_by_time_after_a_resume(client: Any, send: Any) -> None:
    points = [{"type": "metrics", "step": step, "time": 10 + step**2, "a": -(abs(step - 33))} for step in range(100)]
    again = [{"type": "metrics", "step": step, "time": 20_000 + step, "a": -50} for step in range(51, 100)]
    send({"type": "run"}, *points, {"type": "rewind", "step": 50, "time": 20_000}, *again)
    found = client.get("/api/v1/runs/r1/series?name=a&buckets=4&x=time").json()
    assert found["axis"] == "time" and found["x"] == found["time"] and found["x"][-1] == 20_099
    assert found["max_x"][found["max"].index(0.0)] == 10 + 33**2
    step = client.get("/api/v1/runs/r1/series?name=a&name=nope&buckets=4&x=step").json()["series"]
    assert step[0]["x"] == step[0]["step"] and step[0]["max_x"] == step[0]["max_step"] and step[1]["x"] == []


def test_an_axis_that_is_not_there_is_said(client: Any, run: str) -> None:
    unknown = client.get(f"{run}/series?name=a&x=epoch")
    assert unknown.status_code == 422
    assert unknown.json()["detail"] == "x = 'epoch' is unknown; it takes one of step, tokens, time"
    absent = client.get(f"{run}/series?name=a&x=tokens")
    assert absent.status_code == 422 and "no token axis" in absent.json()["detail"]
    assert "train/tokens" in absent.json()["detail"] and "x = step or x = time" in absent.json()["detail"]


def test_samples_lines_and_timeline(client: Any, run: str) -> None:
    assert client.get(f"{run}/samples").json() == {
        "samples": [
            {
                "step": 50,
                "time": 1.0,
                "prompt": "To be",
                "text": "or not",
                "measures": {"verbatim_tokens": 60.0, "temperature": "NaN"},
            }
        ]
    }
    lines = client.get(f"{run}/logs?after=0&limit=2").json()["lines"]
    assert [line["text"] for line in lines] == ["line 0", "line 1"]
    more = client.get(f"{run}/logs?after={lines[-1]['number']}").json()["lines"]
    assert [line["text"] for line in more] == ["line 2", "line 3", "line 4"]
    assert [line["text"] for line in client.get(f"{run}/logs?limit=1").json()["lines"]] == ["line 4"]
    (checkpoint,) = client.get(f"{run}/timeline").json()["timeline"]
    assert checkpoint == {"kind": "checkpoint", "step": 90, "time": 2.0, "path": "c", "val_loss": "NaN", "best": True}


def test_of_a_long_timeline_the_newest_are_given(client: Any, send: Any) -> None:
    send({"type": "run"}, *[{"type": "alert", "title": str(number), "time": number} for number in range(30)])
    told = client.get("/api/v1/runs/r1/timeline?limit=3").json()["timeline"]
    assert [entry["title"] for entry in told] == ["27", "28", "29"]
    assert len(client.get("/api/v1/runs/r1/timeline").json()["timeline"]) == 30


def test_findings_with_verdict_and_coverage(client: Any, run: str, services: Services) -> None:
    services.watcher.drain(30)
    body = client.get(f"{run}/findings").json()
    assert set(body) == {"verdict", "findings", "fixes", "coverage"} and set(body["coverage"]) >= {
        "ran",
        "skipped",
        "failed",
    }
    assert body["coverage"]["read"] == {
        "roles": {},
        "logarithms": [],
        "bits": [],
        "rivals": {},
        "unused": ["a", "b"],
        "ends": {},
        "begins": [],
    }


def test_a_decision_about_a_finding(client: Any, send: Any, services: Services) -> None:
    send(
        {"type": "run"},
        *[
            {"type": "metrics", "step": step, "time": step, "train/loss": "NaN" if step > 5 else 3}
            for step in range(40)
        ],
    )
    services.watcher.drain(30)
    (finding,) = [
        one for one in client.get("/api/v1/runs/r1/findings").json()["findings"] if one["rule"] == "non-finite-loss"
    ]
    assert (
        finding["severity"] == "critical"
        and finding["status"] == "open"
        and finding["evidence"]
        and finding["remedies"]
    )
    url = "/api/v1/runs/r1/findings/non-finite-loss/status"
    answer = client.post(url, json={"status": "acknowledged", "subject": finding["subject"]})
    assert answer.status_code == 200 and answer.json()["status"] == "acknowledged"
    assert client.get("/api/v1/findings?status=acknowledged").json()["findings"][0]["run"] == "r1"
    assert client.get("/api/v1/findings?status=muted").json()["findings"] == []
    assert client.post(url, json={"status": "gone"}).status_code == 422
    assert client.post(url, json={"status": 5}).status_code == 422
    assert client.post(url.replace("non-finite-loss", "plateau"), json={"status": "muted"}).status_code == 404


def test_tables_for_forms(client: Any, services: Services) -> None:
    rules = client.get("/api/v1/rules").json()["rules"]
    assert "non-finite-loss" in [rule["id"] for rule in rules] and all(
        rule["summary"] and rule["page"] for rule in rules
    )
    assert "minimal" in [preset["name"] for preset in client.get("/api/v1/presets").json()["presets"]]
    settings = {one["name"]: one for one in client.get("/api/v1/settings").json()["settings"]}
    assert settings["learning_rate"]["bounds"] == [1e-9, 100.0] and settings["tokenizer"]["choices"] == [
        "char",
        "byte",
        "bpe",
    ]
    services.settings.data.mkdir()
    (services.settings.data / "mine.txt").write_text("words " * 50)
    assert [one["name"] for one in client.get("/api/v1/datasets").json()["datasets"]] == ["python-docs", "mine.txt"]


@pytest.mark.parametrize(
    "path", ["", "/series", "/series?name=a", "/samples", "/findings", "/logs", "/timeline", "/commands"]
)
def test_an_unknown_run_is_said_to_be(client: Any, path: str) -> None:
    answer = client.get(f"/api/v1/runs/nope{path}")
    assert answer.status_code == 404 and "'nope'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/runs?limit=many", "/runs?limit=0", "/runs?limit=99999999999999999999999", "/runs?state=glorious", "/runs/r1/series?name=a&from=x",
        "/runs/r1/series?name=a&buckets=0", "/runs/r1/series?name=a&buckets=1e9", "/runs/r1/series?name=a&from=-1", "/findings?status=x",
        "/runs/r1/series?name=a&from=5&to=4", "/runs/r1/series?" + "&".join(["name=a"] * 201), "/runs/r1/logs?after=-5", "/runs/r1/series?buckets=10000&" + "&".join(["name=a"] * 41), "/runs/r1/samples?limit=NaN",
    ],
)  # fmt: skip
def test_a_wrong_question_gets_one_sentence(client: Any, run: str, path: str) -> None:
    answer = client.get("/api/v1" + path)
    assert (
        answer.status_code == 422 and isinstance(answer.json()["detail"], str) and "\n" not in answer.json()["detail"]
    )


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/api", 404), ("GET", "/api/typo", 404), ("GET", "/api/v1/run", 404), ("POST", "/api/v2/x", 404), ("DELETE", "/api/v1/runs", 405),
    ("PUT", "/api/v1/runs/r1/events", 405), ("GET", "/api/v1/launches", 405),
])  # fmt: skip
def test_addresses_that_are_not_there(client: Any, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status and isinstance(answer.json()["detail"], str)


def test_an_error_of_ours_shows_nothing_of_the_inside(
    client: Any, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(services.store), "summaries", lambda *_, **__: 1 / 0)
    answer = client.get("/api/v1/runs")
    assert answer.status_code == 500 and set(answer.json()) == {"detail"} and "ZeroDivision" not in answer.text


def test_the_reference_needs_no_network(client: Any) -> None:
    page = client.get("/docs").text
    schema = client.get("/openapi.json").json()
    assert all(f">{path}<" in page for path in schema["paths"]) and len(schema["paths"]) >= 18
    for words in ("<script", "http://", "https://", "cdn"):
        assert words not in page
    assert "learning_rate_factor" in page and "first_seq" in page


def test_the_pages_are_mounted(client: Any) -> None:
    answer = client.get("/")
    assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]
    assert client.get("/_dash-layout").status_code == 200


def test_stop_and_states(client: Any, services: Services, run: str) -> None:
    services.launcher.stop()  # its next look would take the run out of the queue
    services.store.create_run("queued", launched=True)
    answer = client.post("/api/v1/runs/queued/stop")
    assert answer.status_code == 200 and answer.json()["state"] == "cancelled"
    assert client.post("/api/v1/runs/nope/stop").status_code == 404
    services.store.set_state("r1", State.FINISHED)
    answer = client.post(f"{run}/commands", json={"kind": "stop"})
    assert answer.status_code == 409 and "finished" in answer.json()["detail"]


def test_a_run_is_deleted_when_it_has_ended(client: Any, services: Services, run: str) -> None:
    refused = client.delete(run)
    assert refused.status_code == 409 and "stop it first" in refused.json()["detail"]
    services.store.set_state("r1", State.FINISHED)
    assert client.delete(run).json() == {"deleted": "r1", "bytes_on_disk": 0}
    assert client.get(run).status_code == 404 and client.delete(run).status_code == 404


def test_checkpoints_are_deleted_with_a_run_when_asked_for(client: Any, services: Services, run: str) -> None:
    services.store.set_state("r1", State.FINISHED)
    folder = services.settings.home / "runs" / "r1"
    folder.mkdir(parents=True)
    (folder / "output.log").write_text("x" * 100)
    assert client.delete(run).json() == {"deleted": "r1", "bytes_on_disk": 100}
    services.store.create_run("r1", state=State.CANCELLED)
    assert client.delete(f"{run}?checkpoints=true").json() == {"deleted": "r1", "bytes_on_disk": 0}
    assert not folder.exists()


def test_a_damaged_database_is_one_sentence_with_the_backup(client: Any, services: Services, run: str) -> None:
    """Pages ask again by themselves and writers keep what they have: 503 says that it is not their fault."""
    backup = services.store.back_up()
    path = services.settings.home / "runwell.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))
    services.store._database.engine.dispose()
    for answer in (client.get(run), client.get(f"{run}/series?name=a"), client.get("/api/v1/runs")):
        assert answer.status_code == 503
        assert "is damaged" in answer.json()["detail"] and f"the newest backup is {backup}" in answer.json()["detail"]
