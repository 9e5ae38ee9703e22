"""Runs chosen on the Runs page: compared, deleted. One server and one set of runs for the whole journey. Real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LINES = """() => {
  const gd = document.querySelector('#compare-graph .js-plotly-plot');
  return gd && gd.data.filter(trace => trace.meta.draws === 'raw').map(trace => [trace.line.dash, trace.x.length, gd.layout.yaxis.type]);
}"""


def _report(server: Any, run_id: str, level: float, *, ended: bool) -> None:
    events: list[dict[str, Any]] = [{"type": "run", "project": "p", "name": f"run {run_id}", "config": {"rate": level}}]
    events += [{"type": "metrics", "step": step, "loss": level + 1 / (1 + step)} for step in range(60)]
    events += [{"type": "state", "state": "finished"}] if ended else []
    server.post(f"/runs/{run_id}/events", {"writer": "w-test", "first_seq": 1, "events": events})


def _ids(server: Any) -> set[str]:
    return {run["id"] for run in server.get("/runs")["runs"]}


def _asks_for(changed: str) -> Callable[[Any], bool]:
    return lambda request: changed in json.loads(request.post_data or "{}").get("changedPropIds", [])


def _hold(tab: Any, changed: str) -> list[Any]:
    """From now on, the requests that this change makes stay on their way until they are continued."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route) if _asks_for(changed)(route.request) else route.continue_()

    tab.route("**/_dash-update-component*", hold)
    return held


def test_runs_are_chosen_compared_and_deleted(server: Any, visit: Any, eventually: Any) -> None:
    for run_id, level, ended in (("a", 2.0, True), ("b", 3.0, True), ("c", 4.0, False)):
        _report(server, run_id, level, ended=ended)
    tab = visit().open("/")
    bar = tab.get_by_role("region", name="The chosen runs")
    assert bar.is_hidden()
    tab.get_by_role("checkbox", name="Choose run a").check()
    bar.get_by_text("1 run chosen").wait_for()
    tab.get_by_role("checkbox", name="Choose run b").press("Space")
    # A live message writes the rows anew; what is chosen stays chosen.
    _report(server, "d", 5.0, ended=False)
    tab.get_by_role("link", name="run d").wait_for()
    assert tab.get_by_role("checkbox", name="Choose run a").is_checked()

    bar.get_by_role("link", name="Compare").click()
    tab.wait_for_url("**/compare?runs=*")
    tab.wait_for_function(
        f"() => {{ const found = ({LINES})(); return found && found.length === 2 && found[0][1] === 60; }}"
    )
    tab.get_by_text("A is ahead: training loss").wait_for()
    assert tab.locator("th", has_text="rate").count() == 1
    tab.get_by_role("switch", name="Log scale").check()
    tab.wait_for_function(f"() => ({LINES})()[0][2] === 'log' && location.search.includes('log=1')")
    assert [line[0] for line in tab.evaluate(LINES)] == ["solid", "dash"]
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    tab.get_by_role("link", name="Runs", exact=True).click()
    for name in ("a", "c"):
        tab.get_by_role("checkbox", name=f"Choose run {name}").check()
    tab.get_by_role("button", name="Delete", exact=True).click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_text("nothing brings them back").wait_for()
    dialog.get_by_text("1 chosen run still goes on and is kept.").wait_for()
    dialog.get_by_role("button", name="Keep").click()
    dialog.wait_for(state="hidden")
    assert _ids(server) == {"a", "b", "c", "d"}
    tab.get_by_role("button", name="Delete", exact=True).click()
    dialog.get_by_role("button", name="Delete for good").click()
    tab.get_by_role("link", name="run a").wait_for(state="detached")
    assert _ids(server) == {"b", "c", "d"}

    tab.get_by_role("link", name="run c").click()
    tab.locator("#run-stop").wait_for(state="attached")
    assert tab.locator("#run-delete").is_hidden()
    tab.goto(f"{server.url}/run/b")
    tab.get_by_role("button", name="Delete", exact=True).click()
    tab.get_by_role("button", name="Delete for good").click()
    tab.wait_for_function("() => location.pathname === '/'")
    tab.get_by_role("link", name="run c").wait_for()
    assert _ids(server) == {"c", "d"}


def test_a_choice_on_its_way_outlives_a_message_of_another_run(server: Any, visit: Any) -> None:
    """The browser throws the answer to the choice away for the answer to the message: that one must bring it too."""
    for run_id in ("e", "f"):
        _report(server, run_id, 2.0, ended=True)
    watched = visit()
    watched.tab.clock.install()
    sockets: list[Any] = []
    watched.tab.on("websocket", lambda socket: sockets.append(socket))
    tab = watched.open("/compare?runs=e,f")
    tab.wait_for_function(f"() => ({LINES})()?.length === 2")
    held = _hold(tab, "compare-log.checked")
    with tab.expect_request(_asks_for("compare-log.checked")):
        tab.get_by_role("switch", name="Log scale").check()
    with tab.expect_request(_asks_for("compare-live-run.data")):
        tab.evaluate("dash_clientside.set_props('compare-live-run', { data: -1 })")
    for route in held:
        route.continue_()
    tab.wait_for_function(f"() => ({LINES})()[0][2] === 'log'")
    # Of itself the page asks for nothing while an answer is on its way: one slower than messages come would never be seen.
    asked: list[Any] = []
    tab.on("request", lambda request: asked.append(request) if _asks_for("compare-live-run.data")(request) else None)
    held.clear()
    with tab.expect_request(_asks_for("compare-log.checked")):
        tab.get_by_role("switch", name="Log scale").uncheck()
    with sockets[-1].expect_event("framereceived", lambda frame: '"run"' in frame):
        _report(server, "g", 5.0, ended=False)
    tab.clock.run_for(3000)
    assert not asked
    with tab.expect_request(_asks_for("compare-live-run.data")):
        held.pop().continue_()
    tab.wait_for_function(f"() => ({LINES})()[0][2] !== 'log'")
    # The menu's link to the page that is open begins it anew: its address says nothing of these runs.
    tab.get_by_role("link", name="Compare", exact=True).click()
    tab.get_by_text("Choose the runs to compare").wait_for()


def test_a_filter_stands_in_the_address_and_nobody_deletes_twice(server: Any, visit: Any) -> None:
    for run_id in ("h", "i"):
        _report(server, run_id, 2.0, ended=True)
    _report(server, "j", 2.0, ended=False)
    tab = visit().open("/")
    tab.get_by_text("Ended", exact=True).click()
    tab.wait_for_function("() => location.search === '?show=ended'")
    tab.get_by_role("link", name="run j").wait_for(state="detached")
    tab.get_by_role("link", name="run h").click()
    tab.wait_for_url("**/run/h")
    tab.go_back()
    tab.get_by_role("link", name="run h").wait_for()
    assert not tab.get_by_role("link", name="run j").count()

    tab.goto(f"{server.url}/run/h")
    tab.get_by_role("button", name="Delete", exact=True).click()
    yes, no = tab.get_by_role("button", name="Delete for good"), tab.get_by_role("button", name="Keep")
    held = _hold(tab, "run-delete-yes.n_clicks")
    with tab.expect_request(_asks_for("run-delete-yes.n_clicks")):
        yes.click()
    tab.wait_for_function("() => document.getElementById('run-delete-yes').disabled")
    assert no.is_disabled()
    for route in held:
        route.continue_()
    tab.wait_for_function("() => location.pathname === '/'")
    assert "h" not in _ids(server)
    tab.goto(f"{server.url}/run/h")
    tab.get_by_text("There is no such run").wait_for()
    tab.locator(".rw-live").wait_for(state="hidden")
