"""The Dash app as a whole, without a browser: local files only, ids that exist, pages that render, errors that are said."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dash
import pytest
from dash.development.base_component import Component

from dashboard.ui import shell
from dashboard.ui.app import create_ui
from dashboard.ui.pages import PAGES, find

ASSETS = Path(shell.__file__).parent / "assets"

ADDRESSES = ("/", "/run/healthy", "/run/nan", "/run/crashed", "/run/hostile", "/run/waiting", "/compare", "/launch", "/alerts", "/rules",
             "/rules/overfitting", "/run/none", "/rules/none")  # fmt: skip


def _everything(component: Any) -> Iterator[Component]:
    if isinstance(component, Component):
        yield component
        # Other props than children can hold components, too (an input's icon).
        for name in component._prop_names:
            yield from _everything(getattr(component, name, None))
    elif isinstance(component, (list, tuple)):
        for item in component:
            yield from _everything(item)


def _ids(layout: Component) -> list[Any]:
    return [one.id for one in _everything(layout) if getattr(one, "id", None) is not None]


def _layout(site: Any, address: str) -> Component:
    page, params = find(address.partition("?")[0])
    assert page is not None
    return page.module.layout(site.services, {}, **params)


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_page_renders_with_unique_ids(full_site: Any, address: str) -> None:
    layout = _layout(full_site, address)
    plain = [json.dumps(one, sort_keys=True) for one in _ids(layout)]
    assert len(plain) == len(set(plain))
    json.dumps(layout.to_plotly_json(), default=lambda one: one.to_plotly_json())


@pytest.mark.parametrize("address", ["/", "/compare", "/launch", "/alerts", "/rules"])
def test_every_page_renders_on_an_empty_store(site: Any, address: str) -> None:
    assert _ids(_layout(site, address))


@pytest.mark.parametrize("address", ["/", "/run/healthy", "/compare", "/alerts"])
def test_what_is_told_while_a_page_is_read_is_told_to_it(
    full_site: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = full_site.services
    before = services.hub.seq

    def told_meanwhile(read: Any) -> Any:
        return lambda *values, **more: (services.hub.publish("run", "healthy", {}), read(*values, **more))[1]

    for name in ("summaries", "findings"):
        monkeypatch.setattr(services.store, name, told_meanwhile(getattr(services.store, name)))
    (live,) = [one for one in _everything(_layout(full_site, address)) if getattr(one, "id", None) == "live"]
    assert services.hub.seq > before
    assert int(getattr(live, "data-since")) == before


def _named(app: dash.Dash) -> Iterator[str]:
    for callback in app._callback_list:
        for part in (*callback["inputs"], *callback["state"]):
            yield part["id"]
        for output in callback["output"].strip(".").split("..."):
            yield output.rpartition(".")[0]


def test_every_id_that_a_callback_names_exists(full_site: Any) -> None:
    app = create_ui(full_site.services)
    empty_ids = {"runs-first"}
    found = {json.dumps(one, sort_keys=True) if isinstance(one, dict) else one for one in _ids(shell.frame())}
    for address in ADDRESSES:
        found |= {
            json.dumps(one, sort_keys=True) if isinstance(one, dict) else one
            for one in _ids(_layout(full_site, address))
        }
    kinds = {json.loads(one)["type"] for one in found if one.startswith("{")} | {"alerts-decide", "run-decide"}
    names = list(_named(app))
    assert len(names) > 40
    for name in names:
        if name.startswith("{"):
            assert json.loads(name)["type"] in kinds, name
        else:
            assert name in found | empty_ids, name


def test_callbacks_of_a_page_do_not_reach_into_another_page(full_site: Any) -> None:
    """A callback fires when any of its inputs is there, and fails in the console when an output is not."""
    shared = {one for one in _ids(shell.frame()) if isinstance(one, str)}
    for page in PAGES:
        app = dash.Dash("one", suppress_callback_exceptions=True)
        page.module.register(app, full_site.services)
        address = next((one for one in ADDRESSES if find(one)[0] is page and not one.endswith("none")), None)
        assert address is not None
        here = {one for one in _ids(_layout(full_site, address)) if isinstance(one, str)} | shared | {"runs-first"}
        outside = {name for name in _named(app) if not name.startswith("{")} - here
        assert outside == set(), page.title


def test_two_apps_live_beside_each_other(site: Any) -> None:
    first, second = create_ui(site.services), create_ui(site.services)
    assert len(list(_named(first))) == len(list(_named(second))) > 40


def test_everything_is_served_from_here(site: Any) -> None:
    app = create_ui(site.services)
    client = app.server.test_client()
    page = client.get("/").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert not re.match(r"(https?:)?//", address), address
        if address.startswith("/"):
            with client.get(address) as answer:
                assert answer.status_code == 200, address
    assert page.index("boot.js") < page.index("<body")
    assert page.count("boot.js") == 1


def test_assets_name_no_other_host() -> None:
    for path in ASSETS.iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|@import", text), path.name


def test_every_icon_that_the_code_names_is_drawn() -> None:
    drawn = set(re.findall(r"\.rw-icon-([a-z-]+)", (ASSETS / "30-icons.css").read_text()))
    source = "\n".join(path.read_text() for path in ASSETS.parent.rglob("*.py"))
    used = set(re.findall(r'icon\("([a-z-]+)"\)', source)) | set(re.findall(r'Look\("[^"]+", "([a-z-]+)"', source))
    assert used and used <= drawn


def test_every_chart_has_the_cloud_button_off(full_site: Any) -> None:
    charts = [
        one
        for address in ADDRESSES
        for one in _everything(_layout(full_site, address))
        if type(one).__name__ == "Graph"
    ]
    assert len(charts) >= 10
    assert all(chart.config["showSendToCloud"] is False for chart in charts)
    answer = create_ui(full_site.services).server.test_client().post("/charts/healthy", json={"keys": ["loss"]})
    assert answer.json["config"]["showSendToCloud"] is False  # those that assets/charts.js draws


def test_no_page_renders_markup_of_a_run(full_site: Any) -> None:
    dangerous = {"Markdown", "DangerouslySetInnerHTML", "Iframe", "Script"}
    for address in ADDRESSES:
        assert not {type(one).__name__ for one in _everything(_layout(full_site, address))} & dangerous


def test_a_hand_written_address_cannot_break_the_run_page(full_site: Any) -> None:
    page, params = find("/run/healthy")
    assert page is not None
    query = {"tab": "nope", "x": "<script>", "smooth": "1e9", "log": "yes", "read": "../"}
    assert page.module.layout(full_site.services, query, **params)
    assert find("/run/a/b") == (None, {})
