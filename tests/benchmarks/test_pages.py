"""What counts as a drawn chart, in a real browser: the line and nothing less. And what a page was given, without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import bench
from benchmarks.live.browser import browsing
from benchmarks.peers import pages
from benchmarks.peers.tool import spikes_in

LINE = "M0,80" + "".join(f"L{x},{80 - x % 60}" for x in range(1, 400))
GRID = "".join(f'<line x1="0" x2="400" y1="{y}" y2="{y}" stroke="#ddd"/>' for y in range(0, 100, 20))
CANVAS = """<canvas width="400" height="100"></canvas><script>
  const pen = document.querySelector('canvas').getContext('2d');
  pen.strokeStyle = pen.fillStyle = '#6b7280';
  for (let y = 0.5; y < 100; y += 20) { pen.beginPath(); pen.moveTo(0, y); pen.lineTo(400, y); pen.stroke(); }
  pen.fillText('loss by step', 150, 95);
  pen.strokeStyle = '#A8769B';
  pen.beginPath(); pen.moveTo(0, 80); pen.lineTo(END, 20); pen.stroke();
</script>"""


def svg(line: str) -> str:
    return f'<svg width="400" height="100">{GRID}<path class="line" fill="none" stroke="blue" d="{line}"/></svg>'


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    with browsing() as browser:
        yield browser.new_page()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "drawn"),
    [
        (svg(LINE), True),
        (svg(""), False),
        (svg("M0,80L400,80"), False),  # an axis
        (svg(LINE[: LINE.index("L150")]), False),  # a line that is still on its way
        (f'<svg width="400" height="100">{GRID}</svg>', False),
        (CANVAS.replace("END", "400"), True),
        (CANVAS.replace("END", "0"), False),
        (CANVAS.replace("END", "100"), False),
        ('<canvas width="0" height="0"></canvas>', False),
        ("", False),
    ],
)  # fmt: skip
def test_a_chart_is_drawn_when_its_line_is(page: Any, shown: str, drawn: bool) -> None:
    page.set_content(shown)
    assert page.evaluate(f"({pages.DRAWN})('path.line, canvas')") is drawn


@pytest.mark.slow
def test_the_clock_stops_at_the_line_and_not_before(page: Any) -> None:
    late = f"<script>setTimeout(() => document.body.insertAdjacentHTML('beforeend', `{svg(LINE)}`), 300)</script>"
    page.set_content("<body></body>")
    page.evaluate(f"({pages.LOOK})({pages.DRAWN}, 'path.line')")
    assert page.evaluate("() => new Promise((done) => setTimeout(() => done(window.benchDrawn), 100))") is None
    began = page.evaluate("performance.now()")
    page.evaluate("(late) => document.body.append(document.createRange().createContextualFragment(late))", late)
    assert page.wait_for_function("() => window.benchDrawn").json_value() >= began + 300


def test_numbers_of_an_answer_are_all_but_its_steps() -> None:
    told = {
        "metrics": [{"key": "loss", "step": 1001, "value": 1002.0}, {"step": 1003, "value": 2.5}],
        "figures": {"loss": {"data": [{"x": [1004, 1005], "y": [1006.0, None, 1006.0], "name": "1007"}]}},
    }
    assert sorted(pages.numbers(told)) == [2.5, 1002.0, 1006.0, 1006.0]
    assert spikes_in(pages.numbers(told)) == 2


def test_a_tool_without_a_page_has_no_chart_and_one_that_fails_says_why() -> None:
    assert pages.chart("sqlite", bench.sys.executable, 1000) == {}
    assert "python" in pages.chart("sqlite", "/no/such/python", 1000)["failed"]
