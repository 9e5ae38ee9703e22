"""Relaunch on the pages, without a browser: buttons where they make sense, the filled form, the diff, the family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from dash.development.base_component import Component

from dashboard.fixes import Change, Child
from dashboard.outcomes import Outcome, Status
from dashboard.records import FindingRecord, Run, State
from dashboard.ui import findings, query, relaunch, run_header
from dashboard.ui.app import create_ui
from dashboard.ui.pages import find, launch
from trainer.presets import build

HOSTILE = '<img src=x onerror="window.hacked=1"> \u202egnp.exe'


def _everything(component: Any) -> Iterator[Any]:
    if isinstance(component, (list, tuple)):
        for item in component:
            yield from _everything(item)
    elif component is not None:
        yield component
        if isinstance(component, Component):
            yield from _everything(getattr(component, "children", None))


def _text(component: Any) -> str:
    return " ".join(one for one in _everything(component) if isinstance(one, str))


def _links(component: Any) -> list[str]:
    return [one.href for one in _everything(component) if isinstance(one, Component) and getattr(one, "href", None)]


def _field(layout: Component, name: str) -> Any:
    (found,) = [
        one for one in _everything(layout) if getattr(one, "id", None) == {"type": "launch-field", "name": name}
    ]
    return found.value


def _by_id(layout: Component, wanted: str) -> Any:
    (found,) = [one for one in _everything(layout) if getattr(one, "id", None) == wanted]
    return found


def _run(run_id: str = "r", **more: Any) -> Run:
    fields: dict[str, Any] = {"project": "p", "name": run_id, "state": State.RUNNING, "created_at": 0.0}
    return Run(id=run_id, **(fields | {"config": build({}).to_mapping()} | more))


def _nan_finding(site: Any) -> tuple[FindingRecord, int]:
    """The finding of the run that turned to NaN, and which of its remedies takes a tenth of the rate."""
    (found,) = [one for one in site.services.store.findings("nan") if one.rule == "non-finite-loss"]
    patches = [one["patch"] for one in found.body["remedies"]]
    return found, patches.index({"learning_rate": "×0.1"}) + 1


def _open(site: Any, address: str) -> Component:
    path, _, search = address.partition("?")
    page, params = find(path)
    assert page is not None
    layout: Component = page.module.layout(site.services, query.parse("?" + search), **params)
    return layout


def test_every_remedy_with_a_patch_has_a_button_and_no_other(full_site: Any) -> None:
    finding, _ = _nan_finding(full_site)
    patched = sum(bool(one["patch"]) for one in finding.body["remedies"])
    assert 0 < patched < len(finding.body["remedies"])
    assert _text(findings.card(finding, None, fixable=True)).count("Relaunch with this fix") == patched
    assert "Relaunch with this fix" not in _text(findings.card(finding, None))


def test_only_runs_of_the_trainer_are_relaunched(full_site: Any) -> None:
    assert "Relaunch" in _text(run_header.actions(_run()))
    assert "Relaunch" not in _text(run_header.actions(_run(config={"lr": 0.1})))
    store = full_site.services.store
    store.create_run("sdk", config={"lr": 0.1}, state=State.RUNNING)
    store.save_findings("sdk", [dict(_nan_finding(full_site)[0].body)], {})
    assert "Relaunch" not in _text(_open(full_site, "/run/sdk?tab=diagnosis"))


def test_the_buttons_address_fills_the_form_and_shows_the_diff(full_site: Any) -> None:
    finding, number = _nan_finding(full_site)
    address = relaunch.address("nan", finding, number)
    assert address in _links(_open(full_site, "/run/nan"))
    layout = _open(full_site, address)
    assert _field(layout, "learning_rate") == "0.03" and _field(layout, "max_steps") == "220"
    diff = _text(_by_id(layout, "launch-diff"))
    assert "learning_rate 0.3 → 0.03" in diff
    assert _by_id(layout, "launch-parent").data == "nan"


def test_a_plain_relaunch_has_the_same_settings(full_site: Any) -> None:
    layout = _open(full_site, "/launch?from=nan")
    assert _field(layout, "learning_rate") == "0.3"
    assert "Nothing differs" in _text(_by_id(layout, "launch-diff"))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("from=gone", "there is no run 'gone'"),
        ("from=nan&rule=slow-training&remedy=1", "no finding of rule 'slow-training'"),
        ("from=nan&rule=non-finite-loss&remedy=99", "a number from 1 to"),
        ("from=%3Cscript%3E", "there is no run '<script>'"),
    ],
)
def test_a_wrong_address_is_said_above_an_ordinary_form(full_site: Any, search: str, said: str) -> None:
    layout = _open(full_site, "/launch?" + search)
    assert said in _text(layout) and _field(layout, "learning_rate") == "0.001"
    assert _by_id(layout, "launch-parent").data == ""


def test_subjects_with_odd_letters_survive_the_address() -> None:
    finding = FindingRecord(
        run_id="r", rule="loss-spike", subject="val/loss & é=1", status="open", severity="info", title="", first_step=1,
        detected_step=1, last_step=1, opened_at=0.0, resolved_at=None, body={},
    )  # fmt: skip
    read = query.parse(relaunch.address("r", finding, 2).partition("?")[2])
    assert read == {"from": "r", "rule": "loss-spike", "subject": "val/loss & é=1", "remedy": "2"}


def test_the_family_is_said_in_words() -> None:
    changes = (Change("learning_rate", 1.0, 0.1), Change("resume", "", "sick:40"))
    child = _run("child", parent_id="sick")
    said = _text(relaunch.lineage(child, _run("sick"), changes, []))
    assert "a relaunch of" in said and "with learning_rate 1 → 0.1, resume (empty) → sick:40" in said
    of_parent = relaunch.lineage(_run("sick"), None, None, [Child(child, changes), Child(_run("again"), ())])
    assert "/run/child" in _links(of_parent) and "with the same settings" in _text(of_parent)
    assert relaunch.lineage(_run(), None, None, []) is None


def test_a_hostile_or_deleted_parent_is_text() -> None:
    said = relaunch.lineage(_run(parent_id=HOSTILE), None, None, [])
    assert "⟨U+202E⟩gnp.exe" in _text(said) and "(not kept any more)" in _text(said) and _links(said) == []


def test_a_great_family_is_cut_short_and_says_so() -> None:
    children = [Child(_run(f"child-{number}"), ()) for number in range(8)]
    assert "and 3 earlier" in _text(relaunch.lineage(_run(), None, None, children))
    assert relaunch.words([Change(str(number), 0, 1) for number in range(6)]).endswith(", 2 more")


@pytest.mark.parametrize("status", list(Status))
def test_every_outcome_has_a_word_a_shape_and_leads_to_its_run(status: Status) -> None:
    shown = relaunch.outcome_list([Outcome("child", status, "fixed by run child")])
    assert (
        _links(shown) == ["/run/child"] and relaunch.LOOKS[status].word in _text(shown) and relaunch.LOOKS[status].icon
    )
    assert relaunch.outcome_list([]) is None


def test_the_page_says_how_a_relaunch_does(full_site: Any) -> None:
    store = full_site.services.store
    assert "relaunched as" not in _text(_open(full_site, "/run/nan"))
    store.create_run("child", config=store.run("nan").config, parent_id="nan", launched=True)
    layout = _open(full_site, "/run/nan")
    assert "run child is not far enough yet" in _text(layout) and "with the same settings" in _text(layout)


def _start(site: Any, parent: str, **changes: str) -> Any:
    layout = launch.layout(site.services, {})
    ids = [one.id for one in _everything(layout) if isinstance(getattr(one, "id", None), dict)]
    values = [changes.get(one["name"], _field(layout, one["name"])) for one in ids]
    app = create_ui(site.services)
    (spec,) = [one for one in app._callback_list if any(part["id"] == launch.START for part in one["inputs"])]
    outputs = [
        dict(zip(("id", "property"), one.rsplit(".", 1), strict=True)) for one in spec["output"].strip(".").split("...")
    ]
    fields = {"value": values, "id": ids}
    state: list[Any] = [
        [{"id": one, "property": kind, "value": value} for one, value in zip(ids, fields[kind], strict=True)]
        for kind in ("value", "id")
    ]
    state += [
        {"id": launch.PRESET, "property": "value", "value": "minimal"},
        {"id": launch.PARENT, "property": "data", "value": parent},
    ]
    body = {
        "output": spec["output"], "outputs": outputs, "state": state, "changedPropIds": [f"{launch.START}.n_clicks"],
        "inputs": [{"id": launch.START, "property": "n_clicks", "value": 1}],
    }  # fmt: skip
    return app.server.test_client().post("/_dash-update-component", json=body)


def test_start_makes_a_child(full_site: Any) -> None:
    answer = _start(full_site, "nan", learning_rate="0.03").json["response"]["url"]
    child = full_site.services.store.run(answer["pathname"].rpartition("/")[2])
    assert (child.parent_id, child.config["learning_rate"], answer["search"]) == ("nan", 0.03, "")
    assert _start(full_site, "").json["response"]["url"]["pathname"] != answer["pathname"]


def test_a_parent_that_was_deleted_meanwhile_starts_nothing(full_site: Any) -> None:
    before = len(full_site.services.store.runs())
    answer = _start(full_site, "gone")
    assert "That is not possible" in json.dumps(answer.json) and "there is no run 'gone'" in answer.text.replace(
        "\\u2019", "'"
    )
    assert len(full_site.services.store.runs()) == before
