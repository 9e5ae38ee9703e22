"""The pages in a real browser, on a real server with real workers: what a person does and sees.

`visit` watches every page for console errors and for requests to other hosts; a page that has either fails its test.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

import runwell

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="window.hacked=1"> **bold** ${7*7} \u202egnp.exe'


def _report(server: Any, run_id: str, losses: list[float], **more: Any) -> None:
    """Events of a run as any client would post them; `more` are further fields of the `run` event."""
    events: list[dict[str, Any]] = [{"type": "run", "project": "default", "name": run_id, **more}]
    for step, loss in enumerate(losses, start=1):
        value = loss if math.isfinite(loss) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(loss, "NaN")
        events.append({"type": "metrics", "step": step, "train/loss": value})
    server.post(f"/runs/{run_id}/events", {"writer": "w-test", "first_seq": 1, "events": events})


def _drawn(tab: Any, series: str, draws: str = "raw") -> list[list[float | None]]:
    """[x, y] of a series as plotly holds it on the Run page."""
    script = """([series, draws]) => {
      for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot'))
        for (const trace of gd.data || [])
          if (trace.meta && trace.meta.series === series && trace.meta.draws === draws && !gd.layout.meta.still)
            return [Array.from(trace.x), Array.from(trace.y), Array.from(trace.text || [])];
      return null;
    }"""
    found = tab.evaluate(script, [series, draws])
    return found or [[], [], []]


def test_every_page_opens_empty_without_an_error_or_a_foreign_request(visit: Any) -> None:
    watched = visit()
    for path in ("/", "/launch", "/alerts", "/rules", "/rules/overfitting", "/run/nothing", "/nowhere"):
        watched.tab.goto(watched.url + path)
        watched.tab.wait_for_selector("#page h1, #page h2")
    assert watched.open("/").get_by_role("button", name="Start a first run").is_visible()


def test_journey_from_the_launch_form_to_stopped(server: Any, visit: Any) -> None:
    server.tiny_text()
    watched = visit()
    tab = watched.open("/launch")
    tab.get_by_role("textbox", name="Data set").click()
    tab.get_by_role("option", name="tiny.txt").click()
    for group in ("Model", "Data and tokenizer", "Optimisation", "Watching"):
        tab.get_by_role("button", name=group).first.click()
    for label, value in {
        "Layers": "1", "Heads": "2", "Width": "16", "Feed-forward width": "32", "Context length": "16", "Batch size": "2",
        "Warmup steps": "1", "Eval interval": "50", "Eval batches": "1", "Sample interval": "50", "Sample tokens": "8",
        "Checkpoint interval": "0", "Steps": "1000000", "Name": "from the form",
    }.items():  # fmt: skip
        tab.get_by_role("textbox", name=label, exact=True).fill(value)
    tab.get_by_role("textbox", name="Tokenizer", exact=True).click()
    tab.get_by_role("option", name="byte").click()
    # An impossible width is refused at its own field, and the button with it.
    tab.get_by_role("textbox", name="Width", exact=True).fill("15")
    tab.get_by_text("not divisible by n_head").wait_for()
    assert tab.get_by_role("button", name="Start training").is_disabled()
    tab.get_by_role("textbox", name="Width", exact=True).fill("16")
    start = tab.get_by_role("button", name="Start training")
    tab.wait_for_function("() => !document.getElementById('launch-start').disabled")
    start.click()
    tab.wait_for_url("**/run/*")
    run_id = tab.url.rpartition("/")[2]

    tab.wait_for_function(GROWS, arg=["train/loss", 5], timeout=60_000)
    before = len(_drawn(tab, "train/loss")[0])
    tab.wait_for_function(GROWS, arg=["train/loss", before + 20])  # live, without a reload
    steps = _drawn(tab, "train/loss")[0]
    assert steps == sorted(set(steps)), "a point was doubled or came out of order"
    tab.get_by_role("tab", name="Samples").click()
    tab.wait_for_selector(".rw-sample-text")
    tab.get_by_role("button", name="Stop", exact=True).click()
    tab.get_by_role("button", name="Stop the run").click()
    tab.wait_for_selector(".rw-run-title .rw-badge:has-text('Stopped')", timeout=60_000)
    tab.wait_for_selector(":root[data-live=ended]")
    assert server.get(f"/runs/{run_id}")["state"] == "stopped"


GROWS = """([series, least]) => {
  for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot'))
    for (const trace of gd.data || [])
      if (trace.meta && trace.meta.series === series && trace.meta.draws === 'raw' && !gd.layout.meta.still) return trace.x.length >= least;
  return false;
}"""


def test_a_finding_appears_live_on_the_run_and_in_alerts(server: Any, visit: Any) -> None:
    healthy = [4.2 - 0.02 * step for step in range(60)]
    _report(server, "sick", healthy)
    run, alerts = visit(), visit()
    run.open("/run/sick")
    alerts.open("/alerts?status=waiting").get_by_text("All quiet").wait_for()
    events = [{"type": "metrics", "step": step, "train/loss": "NaN"} for step in range(61, 75)]
    server.post("/runs/sick/events", {"writer": "w-test", "first_seq": 62, "events": events})
    run.tab.wait_for_selector(".rw-verdict.rw-tone-critical")
    alerts.tab.wait_for_selector(".rw-alert.rw-edge-critical")
    alerts.tab.get_by_role("button", name="Acknowledge").first.click()
    alerts.tab.get_by_text("All quiet").wait_for()
    alerts.tab.wait_for_function("() => document.getElementById('nav-count').textContent === ''")
    run.tab.get_by_text("(acknowledged)").first.wait_for()
    run.tab.wait_for_function(
        "() => [...document.querySelectorAll('.rw-run .js-plotly-plot')].some("
        "gd => gd.layout.meta.key === 'loss' && (gd.layout.shapes || []).some(shape => shape.name === 'finding'))"
    )


def test_an_alert_leads_to_its_run_at_its_step(server: Any, visit: Any) -> None:
    _report(server, "sick", [4.2 - 0.002 * step for step in range(500)] + [math.nan] * 400)
    tab = visit().open("/alerts")
    tab.locator(".rw-alert", has_text="non-finite-loss").locator(".rw-alert-title").click()
    tab.wait_for_url("**/run/sick?at=501")
    shown = "document.querySelector('.rw-graph-large .js-plotly-plot').layout.xaxis.range"
    tab.wait_for_function(
        f"() => document.querySelector('.rw-graph-large .main-svg') && Math.round({shown}[0]) === 366"
    )
    assert tab.evaluate(shown) == [366, 636]
    tab.get_by_role("tab", name="Diagnosis").click()
    tab.wait_for_selector(".rw-drawing .main-svg")
    # Drawn while its tab was hidden, a chart has no width to go by; once seen it fits its column.
    fits = "(() => { const box = document.querySelector('.rw-finding').clientWidth; return document.querySelector('.rw-drawing').clientWidth < box / 2; })()"
    tab.wait_for_function(f"() => {fits}")


def test_an_empty_chart_gets_its_axes_with_its_first_live_point(server: Any, visit: Any) -> None:
    _report(server, "new", [])
    tab = visit().open("/run/new")
    tab.get_by_text("no points yet").first.wait_for()
    server.post(
        "/runs/new/events",
        {"writer": "w-test", "first_seq": 2, "events": [{"type": "metrics", "step": 1, "train/loss": 3.0}]},
    )
    tab.wait_for_selector(".rw-graph-large .xaxislayer-above .xtick")
    assert _drawn(tab, "train/loss")[:2] == [[1], [3.0]]


def test_non_finite_values_are_marked_in_the_snapshot_and_live(server: Any, visit: Any) -> None:
    _report(server, "bad", [3.0, 2.9, math.nan, 2.8, math.inf, -math.inf, 2.7])
    tab = visit().open("/run/bad")
    tab.wait_for_selector(".rw-graph-large .js-plotly-plot .main-svg")
    x, y, text = _drawn(tab, "train/loss", "marks")
    assert (x, y) == ([3, 5, 6], [1, 1, 0])
    assert text == ["NaN at step 3", "+Inf at step 5", "−Inf at step 6"]
    events = [{"type": "metrics", "step": 8, "train/loss": "NaN"}, {"type": "metrics", "step": 9, "train/loss": 2.6}]
    server.post("/runs/bad/events", {"writer": "w-test", "first_seq": 9, "events": events})
    tab.wait_for_function(GROWS, arg=["train/loss", 9])
    assert _drawn(tab, "train/loss", "marks")[0] == [3, 5, 6, 8]
    assert _drawn(tab, "train/loss")[1] == [3.0, 2.9, None, 2.8, None, None, 2.7, None, 2.6]


def test_the_page_goes_on_after_a_server_restart_with_nothing_missing_or_doubled(server: Any, visit: Any) -> None:
    _report(server, "steady", [3.0 - 0.01 * step for step in range(20)])
    watched = visit()
    tab = watched.open("/run/steady")
    tab.wait_for_function(GROWS, arg=["train/loss", 20])
    watched.allow_lost_server = True
    server.kill()
    tab.wait_for_selector(":root[data-live=reconnecting]")
    server.restart()
    events = [{"type": "metrics", "step": step, "train/loss": 2.5} for step in range(21, 31)]
    server.post("/runs/steady/events", {"writer": "w-test", "first_seq": 22, "events": events})
    tab.wait_for_selector(":root[data-live=live]")
    tab.wait_for_function(GROWS, arg=["train/loss", 30])
    more = [{"type": "metrics", "step": step, "train/loss": 2.4} for step in range(31, 41)]
    server.post("/runs/steady/events", {"writer": "w-test", "first_seq": 32, "events": more})
    tab.wait_for_function(GROWS, arg=["train/loss", 40])
    assert _drawn(tab, "train/loss")[0] == list(range(1, 41))


def test_zoom_is_kept_while_points_come_and_the_address_keeps_the_view(server: Any, visit: Any) -> None:
    _report(server, "zoom", [3.0 - 0.01 * step for step in range(50)])
    tab = visit().open("/run/zoom?log=1&smooth=25")
    tab.wait_for_selector(".rw-graph-large .js-plotly-plot .main-svg")
    assert tab.evaluate("document.querySelector('.rw-graph-large .js-plotly-plot').layout.yaxis.type") == "log"
    assert len(_drawn(tab, "train/loss", "smooth")[0]) == 50
    tab.evaluate(
        "Plotly.relayout(document.querySelector('.rw-graph-large .js-plotly-plot'), {'xaxis.range': [10, 20]})"
    )
    events = [{"type": "metrics", "step": step, "train/loss": 2.4} for step in range(51, 61)]
    server.post("/runs/zoom/events", {"writer": "w-test", "first_seq": 52, "events": events})
    tab.wait_for_function(GROWS, arg=["train/loss", 60])
    assert len(_drawn(tab, "train/loss", "smooth")[0]) == 60
    assert tab.evaluate("document.querySelector('.rw-graph-large .js-plotly-plot').layout.xaxis.range") == [10, 20]
    tab.get_by_text("Perplexity", exact=True).click()
    tab.wait_for_function("() => location.search.includes('read=perplexity')")
    tab.wait_for_function(
        "() => document.querySelector('.rw-graph-large .js-plotly-plot').data.some(trace => trace.meta.draws === 'raw' && trace.meta.exp)"
    )
    assert "log=1" in tab.url and "smooth=25" in tab.url


def test_hostile_text_stays_text(server: Any, visit: Any) -> None:
    _report(server, "hostile", [3.0, 2.9, 2.8], name=HOSTILE, tags=[HOSTILE], config={HOSTILE: HOSTILE})
    events = [
        {"type": "sample", "step": 3, "prompt": HOSTILE, "text": HOSTILE},
        {"type": "log", "stream": "stdout", "text": HOSTILE},
        {"type": "metrics", "step": 4, "<img src=x onerror=window.hacked=2>": 1.0},
    ]
    server.post("/runs/hostile/events", {"writer": "w-test", "first_seq": 5, "events": events})
    watched = visit()
    watched.open("/").get_by_text("<img src=x").first.wait_for()
    for tab_name in ("curves", "samples", "diagnosis", "config", "output"):
        tab = watched.open(f"/run/hostile?tab={tab_name}")
        assert tab.evaluate(
            "window.hacked === undefined && document.querySelector('#page img, #page strong > img') === null"
        )
        assert "\u202e" not in tab.evaluate("document.body.textContent")
    assert "⟨U+202E⟩gnp.exe" in watched.tab.locator("#run-log").text_content()


def test_dark_and_light_follow_the_system_and_then_the_choice(visit: Any) -> None:
    watched = visit(scheme="dark")
    tab = watched.open("/")
    scheme = "document.documentElement.dataset.mantineColorScheme"
    assert tab.evaluate(scheme) == "dark"
    tab.get_by_label("Switch between light and dark").click()
    tab.wait_for_function(f"() => {scheme} === 'light'")
    # Set before the first paint of the next visit, so that nothing flashes.
    tab.add_init_script(
        "document.addEventListener('readystatechange', () => { window.early ??= document.documentElement.dataset.mantineColorScheme; })"
    )
    tab.reload()
    tab.wait_for_selector("#page > *")
    assert tab.evaluate("window.early") == "light"
    assert tab.evaluate(scheme) == "light"


def test_no_page_scrolls_sideways_on_a_narrow_screen(server: Any, visit: Any) -> None:
    _report(
        server,
        "narrow",
        [3.0, math.nan, 2.8],
        name="a-very-long-name-" * 8,
        tags=["x" * 200],
        config={"k" * 90: "v" * 300},
    )
    watched = visit(width=400)
    for path in (
        "/",
        "/run/narrow",
        "/run/narrow?tab=config",
        "/run/narrow?tab=diagnosis",
        "/launch",
        "/alerts",
        "/rules",
        "/rules/plateau",
    ):
        tab = watched.open(path)
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path


def test_a_script_with_the_sdk_shows_up_live(server: Any, visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWELL_URL", server.url)
    monkeypatch.setenv("RUNWELL_HOME", str(server.home))
    tab = visit().open("/")
    with runwell.init(project="p", name="my own script", config={"max_steps": 5}) as run:
        for step in range(5):
            run.log({"train/loss": 3.0 - step * 0.1}, step=step)
        run.alert("the disk is nearly full", "3 GB left on <b>/data</b>", level="critical", step=4)
    tab.get_by_role("link", name="my own script").click()
    tab.wait_for_function(GROWS, arg=["train/loss", 5])
    assert _drawn(tab, "train/loss")[0] == [0, 1, 2, 3, 4]
    # What the script says stands at the head of its run and among the alerts, as text.
    tab.get_by_text("the script says:").wait_for()
    tab.locator(".rw-told a").click()
    tab.locator(".rw-alert", has_text="the disk is nearly full").get_by_text("3 GB left on <b>/data</b>").wait_for()
    alerts = visit().open("/alerts?severity=critical")
    alerts.locator(".rw-alert.rw-edge-critical", has_text="the disk is nearly full").get_by_text("step 4").wait_for()
    with runwell.init(project="p", name="another script") as run:
        run.alert("a second warning", level="critical")
    alerts.get_by_text("a second warning").wait_for()  # live, without a reload


CONTRAST = """(least) => {
  const numbers = text => { const found = text.match(/[\\d.]+/g).map(Number); return found.length > 3 ? found : [...found, 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = color => color.slice(0, 3).map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    const layers = [];
    for (; element; element = element.parentElement) layers.push(numbers(getComputedStyle(element).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const weak = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  const judge = (words, element, ink) => {
    const below = ground(element), [dark, bright] = [light(below), light(over(ink, below))].sort((one, other) => one - other);
    count += 1;
    if ((bright + 0.05) / (dark + 0.05) < least) weak.push(words);
  };
  document.querySelectorAll('input[placeholder]').forEach(input => {
    if (input.offsetParent) judge(input.placeholder, input, numbers(getComputedStyle(input, '::placeholder').color));
  });
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !element.offsetParent || element.closest('svg, script, style, :disabled')) continue;
    judge(texts.currentNode.textContent.trim(), element, numbers(getComputedStyle(element).color));
  }
  return [count, weak];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_and_the_keyboards_place_is_seen(server: Any, visit: Any, scheme: str) -> None:
    _report(server, "sick", [3.0 - 0.01 * step for step in range(60)] + [math.nan] * 30)
    watched = visit(scheme=scheme)
    for path in ("/", "/launch", "/alerts", "/run/sick?tab=diagnosis", "/compare?runs=sick", "/rules/plateau"):
        count, weak = watched.open(path).evaluate(CONTRAST, 4.5)
        assert count > 15 and weak == [], path
    tab = watched.open("/")
    frame = "(() => { const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.boxShadow]; })()"
    search = tab.get_by_label("Search runs")
    search.wait_for()
    search.focus()
    assert tab.evaluate(frame) != ["none", "none"]
    tab.get_by_role("link", name="Launch", exact=True).focus()
    tab.keyboard.press("Tab")
    assert tab.evaluate(frame)[0] == "solid"
