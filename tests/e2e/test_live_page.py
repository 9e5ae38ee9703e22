"""The Run page's charts in a real browser: a closer look, hidden tabs, many metrics, and a server that dies meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dashboard.ui

pytestmark = pytest.mark.slow

ASSETS = Path(dashboard.ui.__file__).parent / "assets"
LARGE = "document.querySelector('.rw-graph-large .js-plotly-plot')"
DRAWN = ".rw-graph-large .js-plotly-plot .main-svg"

LINE = f"() => Array.from({LARGE}.data.find(trace => trace.meta.draws === 'raw').x)"
REACHES = f"last => {LARGE}.data[0].x.at(-1) === last"
INSIDE = f"([low, high, count]) => {LARGE}.data[0].x.filter(x => x >= low && x <= high).length === count"

SHOWN = """
  window.rwHidden = location.search.includes('find=background');
  Object.defineProperty(document, 'hidden', { get: () => window.rwHidden });
  window.rwShow = (shown) => { window.rwHidden = !shown; document.dispatchEvent(new Event('visibilitychange')); };
"""
"""A headless browser calls every tab visible: the page is told otherwise."""


class Writer:
    """A run that logs one loss, `value` at every step."""

    def __init__(
        self, server: Any, run_id: str, names: tuple[str, ...] = ("train/loss",), writer: str = "w-test", **facts: str
    ) -> None:
        self.server, self.run_id, self.names, self.writer = server, run_id, names, writer
        self.step, self.seq = 0, 1
        self._post([{"type": "run", "project": "default", "name": run_id, **facts}])

    def log(self, steps: int, value: float = 2.5) -> None:
        """So many steps more, in batches."""
        events = [
            {"type": "metrics", "step": step} | dict.fromkeys(self.names, value)
            for step in range(self.step + 1, self.step + steps + 1)
        ]
        for start in range(0, steps, 2000):
            self._post(events[start : start + 2000])
        self.step += steps

    def beat(self) -> None:
        """A heartbeat: nothing is new but that it lives."""
        self._post([])

    def save(self) -> None:
        """A checkpoint at the last step."""
        self._post([{"type": "checkpoint", "step": self.step, "path": "x"}])

    def end(self, state: str) -> None:
        """Its last word."""
        self._post([{"type": "state", "state": state}])

    def say(self, samples: int) -> None:
        """So many samples; each is a message of its own to those who watch."""
        self._post([{"type": "sample", "step": self.step, "prompt": "a", "text": "b"}] * samples)

    def _post(self, events: list[dict[str, Any]]) -> None:
        body = {"writer": self.writer, "first_seq": self.seq, "events": events}
        self.server.post(f"/runs/{self.run_id}/events", body)
        self.seq += len(events)


def test_a_closer_look_is_at_full_fidelity_and_outlives_points_a_killed_server_and_a_new_series(
    server: Any, visit: Any
) -> None:
    run = Writer(server, "long")
    run.log(8_000)
    watched = visit()
    tab = watched.open("/run/long")
    tab.wait_for_selector(DRAWN)
    assert len(tab.evaluate(LINE)) < 3_500
    tab.evaluate(f"Plotly.relayout({LARGE}, {{'xaxis.range': [4000, 5000]}})")
    tab.wait_for_function(INSIDE, arg=[4000, 5000, 1001])
    run.log(50)
    tab.wait_for_function(REACHES, arg=8_050)

    watched.allow_lost_server = True
    server.kill()
    tab.wait_for_selector(":root[data-live=reconnecting]")
    server.restart()
    run.log(50)
    tab.wait_for_selector(":root[data-live=live]")
    run.names = ("train/loss", "val/loss")
    run.log(50)
    tab.wait_for_function(REACHES, arg=8_150)
    tab.wait_for_function(
        f"() => {LARGE}.data.some(trace => trace.meta.series === 'val/loss' && trace.x.length === 50)"
    )
    tab.wait_for_function(INSIDE, arg=[4000, 5000, 1001])
    line = tab.evaluate(LINE)
    assert line == sorted(set(line))
    assert tab.evaluate(f"{LARGE}.layout.xaxis.range") == [4000, 5000]

    tab.evaluate(f"Plotly.relayout({LARGE}, {{'xaxis.autorange': true}})")  # what a double click does
    tab.wait_for_function(f"() => {LARGE}.data[0].x.filter(x => x >= 4000 && x <= 5000).length < 1000")


GROW = """() => {
  const axis = { kind: 'step' }, meta = (draws, last, taken) => ({ series: 'a', draws, last, taken, exp: false });
  const points = (steps) => ({ a: { step: steps, time: steps, value: steps.map((step) => step === 9 ? 'NaN' : step * 2) } });
  const line = { x: [1, 2, 5], y: [2, 4, 10], meta: meta('raw', 5, 0) };
  const marks = { x: [], y: [], text: [], meta: meta('marks', 5, 0) };
  const told = [runwellGrow.taken()];
  runwellGrow.take(points([2, 3, 8, 7, 4, 8, 9, 5, 6]));
  told.push(runwellGrow.grow([line, marks], axis), runwellGrow.grow([line, marks], axis), runwellGrow.taken());
  const fresh = { x: [1, 9], y: [2, 18], meta: meta('raw', 9, runwellGrow.taken().a) };  // in buckets: not every step
  told.push(runwellGrow.grow([fresh], axis));
  runwellGrow.take(points([3, 10]));
  told.push(runwellGrow.grow([fresh], axis), fresh.x, runwellGrow.grow([line], axis));
  runwellGrow.take(points([11]));
  runwellGrow.forget();
  told.push(runwellGrow.grow([line], axis));
  runwellGrow.take(points([12]));
  told.push(runwellGrow.grow([line], axis));
  return [told, line.x, line.y, marks.x];
}"""
"""What a trace takes of a stream in which points come late, twice, and not at all."""


TOKENS = """() => {
  const counts = { series: 'n', steps: [0, 10], tokens: [0, 100], rate: 20 }, axis = { kind: 'tokens', counts };
  const at = (steps) => steps.map((step) => runwellGrow.place(axis, [step, 0]));
  const told = [at([5, 10, 12])];
  runwellGrow.take({ n: { step: [11, 12, 12, 14, 15], time: [1, 1, 1, 1, 1], value: [150, 200, 999, 300, 'NaN'] } });
  told.push(at([5, 11, 12, 13, 14, 15]));
  runwellGrow.forget();
  told.push(at([13]));
  return told;
}"""


def test_live_points_lie_at_the_tokens_that_were_counted_with_them(chromium: Any) -> None:
    tab = chromium.new_page()
    tab.add_script_tag(path=ASSETS / "grow.js")
    told = tab.evaluate(TOKENS)
    tab.close()
    assert told == [[50, 100, 140], [50, 150, 200, 250, 300, 320], [250]]


def test_late_points_are_put_in_their_place_and_those_that_a_figure_has_are_not_drawn_twice(chromium: Any) -> None:
    tab = chromium.new_page()
    tab.add_script_tag(path=ASSETS / "grow.js")
    told, x, y, marks = tab.evaluate(GROW)
    tab.close()
    assert told == [{}, "grown", "same", {"a": 9}, "same", "grown", [1, 3, 9, 10], "grown", "same", "hole"]
    assert x == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert y == [None if step == 9 else 2 * step for step in x]
    assert marks == [9]


def test_points_of_a_slower_rank_are_drawn_where_they_belong(server: Any, visit: Any) -> None:
    run, slower = Writer(server, "ranks"), Writer(server, "ranks", writer="w-slower")
    run.log(100)
    tab = visit().open("/run/ranks")
    tab.wait_for_selector(DRAWN)
    for _ in range(3):
        run.log(1)
        slower.step = run.step
        run.step += 2
        run.log(1)
        slower.log(2)
    steps = list(range(1, 113))
    tab.wait_for_function(f"last => ({LINE})().length === last", arg=len(steps))
    assert tab.evaluate(LINE) == steps


NUMBERS = f"""() => {{ const paths = {LARGE}.querySelectorAll('.scatterlayer path.js-line');
  return paths[paths.length - 1].getAttribute('d').split(/[ML,]/).slice(1).map(Number); }}"""


def test_a_line_is_lengthened_without_plotly_as_plotly_would_draw_it_and_settles(server: Any, visit: Any) -> None:
    run = Writer(server, "lengthened")
    run.log(200, value=2.0)
    run.log(1, value=4.0)
    tab = visit().open("/run/lengthened")
    tab.wait_for_selector(DRAWN)
    tab.evaluate("""() => {
      window.rwDone = { lengthened: 0, laidOut: 0 };
      const lengthen = runwellLines.lengthen, redraw = Plotly.redraw;
      runwellLines.lengthen = (gd) => { const done = lengthen(gd); rwDone.lengthened += done; return done; };
      Plotly.redraw = (gd) => { rwDone.laidOut++; return redraw(gd); };
      Math.random = () => 1e6;  // once laid out, a chart is left alone for so long
    }""")
    last = run.step
    while tab.evaluate("rwDone.lengthened") < 3:
        run.log(1, value=2.5 + run.step % 7 / 10)
        last = run.step
        tab.wait_for_function(REACHES, arg=last)
        assert last < 260, "the room on the right is never used"
    ours = tab.evaluate(NUMBERS)
    assert tab.evaluate(f"{LARGE}.layout.xaxis.autorangeoptions.include") >= last
    tab.evaluate(f"Plotly.redraw({LARGE})")
    assert tab.evaluate(NUMBERS) == pytest.approx(ours, abs=0.02)

    laid_out = tab.evaluate("rwDone.laidOut")
    run.log(1, value=99.0)  # outside of the axes
    tab.wait_for_function(f"() => ({LARGE}.layout.yaxis.range || {LARGE}._fullLayout.yaxis.range)[1] >= 99")
    assert tab.evaluate("rwDone.laidOut") > laid_out
    tab.wait_for_function(f"() => {LARGE}.layout.xaxis.autorangeoptions.include === undefined")


def test_a_hidden_tab_hears_and_draws_nothing_and_catches_up_when_it_is_seen(server: Any, visit: Any) -> None:
    run = Writer(server, "away")
    run.log(20)
    watched = visit()
    tab = watched.tab
    tab.add_init_script(SHOWN)
    frames: list[Any] = []
    tab.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    watched.open("/run/away")
    tab.wait_for_selector(DRAWN)
    run.log(20)
    tab.wait_for_function(REACHES, arg=40)
    with tab.expect_event("websocket", lambda _: True) as opened:
        tab.evaluate("rwShow(false)")
        before, asked = len(frames), len(watched.requests)
        run.log(550)
        run.say(520)  # with these more messages than the server sends again: the page has to fetch
        assert len(frames) == before and len(watched.requests) == asked
        assert tab.evaluate(LINE)[-1] == 40
        tab.evaluate("rwShow(true)")
    assert opened.value.url.startswith("ws")
    tab.wait_for_function(REACHES, arg=590)
    run.log(10)
    tab.wait_for_function(REACHES, arg=600)
    assert tab.evaluate(LINE) == list(range(1, 601))

    # A tab that was opened in the background is drawn when it is first seen.
    Writer(server, "later").log(30)
    tab.goto(server.url + "/run/later?find=background")
    tab.wait_for_selector("#run-charts [data-chart]")
    assert tab.evaluate("document.querySelector('#run-charts .js-plotly-plot')") is None
    tab.evaluate("rwShow(true)")
    tab.wait_for_selector(DRAWN)
    tab.wait_for_function(REACHES, arg=30)


MARKS = f"{LARGE}.layout.shapes.filter(shape => shape.name === 'checkpoint').length"


def test_only_what_is_drawn_is_sent_and_a_chart_that_comes_into_sight_misses_nothing(server: Any, visit: Any) -> None:
    names = tuple(f"unit{number}" for number in range(300))
    run = Writer(server, "wide", ("train/loss", *names))
    run.log(20)
    watched = visit()
    tab = watched.tab
    sent: list[set[str]] = []

    def take(frame: Any) -> None:
        message = json.loads(frame)
        if message["type"] == "points":
            sent.append(set(message["series"]))

    tab.on("websocket", lambda socket: socket.on("framereceived", take))
    watched.open("/run/wide")
    tab.wait_for_selector(DRAWN)
    run.log(5)
    tab.wait_for_function(REACHES, arg=25)
    assert sent and all("train/loss" in one and len(one) < 60 for one in sent)
    last = "[data-chart='other:unit299']"
    assert not any("unit299" in one for one in sent)
    tab.locator("#run-more summary").click()
    run.log(5)
    tab.get_by_label("Find a metric").fill("unit299")
    tab.wait_for_selector(f"{last} .main-svg")
    run.log(5)
    line = f'document.querySelector("{last} .js-plotly-plot").data[0].x'
    tab.wait_for_function(f"() => {line}.at(-1) === 35")
    assert tab.evaluate(line) == list(range(1, 36))
    assert any("unit299" in one for one in sent)
    run.names = ("train/loss", "val/loss")
    run.log(5)
    tab.wait_for_function(f"() => {LARGE}.data.some(trace => trace.meta.series === 'val/loss' && trace.x.length === 5)")
    watched.allow_lost_server = True
    server.kill()
    tab.wait_for_selector(":root[data-live=reconnecting]")
    server.restart()
    run.names = ("train/loss", *names)
    run.log(5)
    tab.wait_for_function(f"() => {line}.at(-1) === 45")
    assert tab.evaluate(line) == [*range(1, 36), *range(41, 46)]


def test_a_page_with_nothing_new_to_show_asks_for_nothing_until_there_is(server: Any, visit: Any) -> None:
    run = Writer(server, "idle")
    run.log(20)
    run.beat()
    watched = visit()
    tab = watched.tab
    heard: list[Any] = []
    tab.on("websocket", lambda socket: socket.on("framereceived", lambda frame: '"heard"' in frame and heard.append(1)))
    watched.open("/run/idle")
    tab.wait_for_selector(DRAWN)

    def callbacks() -> int:
        return sum("_dash-update-component" in address for address in watched.requests)

    def beat() -> None:
        before = len(heard)
        while len(heard) == before:  # one that comes within a second of the one before waits for it
            run.beat()
            tab.wait_for_timeout(100)

    counts = [callbacks()]
    while counts[-3:] != [counts[-1]] * 3:  # the first one is shown: for how long it runs may read differently by now
        beat()
        counts.append(callbacks())
        assert len(counts) < 8, counts
    run.save()
    tab.wait_for_function(f"() => {MARKS} === 1")
    Writer(server, "cure", parent="idle")
    tab.locator(".rw-lineage", has_text="relaunched as").get_by_role("link", name="cure").first.wait_for()
    run.end("finished")
    tab.wait_for_selector(":root[data-live=ended]")
    tab.locator(".rw-run-title").get_by_text("Finished").wait_for()


def test_a_thousand_metrics_are_in_groups_found_by_words_and_drawn_only_in_sight(server: Any, visit: Any) -> None:
    names = tuple(f"act/block{block}/unit{unit}" for block in range(10) for unit in range(99))
    run = Writer(server, "many", ("train/loss", *names, "<img src=x onerror=window.hacked=1>"))
    run.log(3)
    watched = visit()
    tab = watched.open("/run/many")
    tab.wait_for_selector(DRAWN)
    plots = "document.querySelectorAll('#run-more .js-plotly-plot').length"
    assert tab.locator("#run-more summary").count() == 11
    assert tab.evaluate(plots) < 12
    assert tab.locator("#run-more .rw-chart").count() < 100
    tab.get_by_text("act/block7").click()
    tab.get_by_text("act/block7").scroll_into_view_if_needed()
    tab.wait_for_selector("[data-chart='other:act/block7/unit0'] .main-svg")
    tab.get_by_label("Find a metric").fill("block3 unit7")
    tab.get_by_text("11 of 991").wait_for()
    tab.wait_for_selector("[data-chart='other:act/block3/unit7'] .main-svg")
    assert "find=block3+unit7" in tab.url
    run.log(1, value=7.0)
    tab.wait_for_function(
        "() => document.querySelector(\"[data-chart='other:act/block3/unit7'] .js-plotly-plot\").data[0].y.at(-1) === 7"
    )
    tab.get_by_label("Find a metric").fill("onerror")
    tab.get_by_text("1 of 991").wait_for()
    tab.wait_for_selector("#run-more .js-plotly-plot .main-svg")
    assert tab.evaluate("window.hacked === undefined && document.querySelector('#run-more img') === null")
