"""A run that is truly sick is launched again with its fix, through the page, and truly gets well. Real browser, real workers."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

SICK = {"n_embd": 32, "n_ff": 64, "batch_size": 8, "max_steps": 240, "warmup_steps": 5, "eval_interval": 40,
        "learning_rate": 1.0, "min_learning_rate": 0.1, "name": "rate far too high"}  # fmt: skip
"""A model that learns this text at a tenth of the rate, and is stuck far above that at this one."""

SPEED = {"slow-training", "data-starved"}


def _ended(server: Any, run_id: str) -> Any:
    run = server.get(f"/runs/{run_id}")
    return run if run["state"] not in ("queued", "starting", "running") else None


def _finding(server: Any, run_id: str) -> Any:
    """The finding to act on that has a tenth of the rate among its remedies."""
    for finding in server.get(f"/runs/{run_id}/findings")["findings"]:
        patches = [remedy["patch"] for remedy in finding["remedies"]]
        if finding["severity"] != "info" and not finding["because"] and {"learning_rate": "×0.1"} in patches:
            return finding
    return None


def _illnesses(server: Any, run_id: str) -> list[str]:
    """What is wrong with how it learns. That it is slow is this machine's, which has other tests to run."""
    found = server.get(f"/runs/{run_id}/findings")["findings"]
    return [one["title"] for one in found if one["severity"] != "info" and one["rule"] not in SPEED]


def test_a_sick_run_is_relaunched_with_its_fix_and_gets_well(server: Any, visit: Any, eventually: Any) -> None:
    sick = server.launch(**SICK)
    ill = eventually(lambda: _ended(server, sick), what="the sick run ends")
    rule = eventually(lambda: _finding(server, sick), what="the rate is found too high")["rule"]

    tab = visit().open(f"/run/{sick}?tab=diagnosis")
    card = tab.locator(".rw-finding", has=tab.locator(".rw-code-link", has_text=rule))
    card.locator("li", has_text="learning_rate × 0.1").get_by_role("link", name="Relaunch with this fix").click()
    tab.wait_for_url(f"**/launch?from={sick}&rule={rule}&remedy=*")
    rate = tab.locator(".rw-diff-row", has_text="learning_rate").first
    assert rate.inner_text().split() == ["learning_rate", "1", "→", "0.1"]
    assert tab.get_by_role("textbox", name="Learning rate", exact=True).input_value() == "0.1"
    name = tab.get_by_role("textbox", name="Name", exact=True)
    assert name.input_value() == "rate far too high (fix: learning_rate × 0.1)"
    # What is typed joins the diff, but for the name: it trains nothing.
    name.fill("a tenth of it")
    tab.get_by_role("textbox", name="Steps", exact=True).fill("250")
    tab.locator(".rw-diff-row", has_text="max_steps").wait_for()
    tab.wait_for_function("() => !document.getElementById('launch-start').disabled")
    tab.get_by_role("button", name="Start training").click()
    tab.wait_for_url("**/run/*")
    child = tab.url.rpartition("/")[2]
    tab.get_by_text("a relaunch of").wait_for()
    assert "learning_rate 1 → 0.1" in tab.locator(".rw-lineage").inner_text()

    # The parent's page, opened while the child trains, says so by itself when it knows.
    parent = visit().open(f"/run/{sick}?tab=diagnosis")
    parent.locator(".rw-outcomes").get_by_text(f"fixed by run {child}", exact=False).first.wait_for(timeout=60_000)
    assert not parent.locator(".rw-outcomes").get_by_text("not fixed").count()
    assert f"/run/{child}" in parent.locator(".rw-lineage a").first.get_attribute("href")

    well = eventually(lambda: _ended(server, child), what="the child ends")
    assert (well["state"], well["parent"]) == ("finished", sick)
    assert not _illnesses(server, child)
    assert well["train_loss"] < ill["train_loss"] - 0.5
    assert server.get(f"/runs/{sick}")["children"][0]["changes"]["learning_rate"] == [1.0, 0.1]


def test_a_plain_relaunch_from_the_runs_own_page_is_the_same_run_again(
    server: Any, visit: Any, eventually: Any
) -> None:
    first = server.launch(max_steps=5, tokenizer="char", name="first")
    eventually(lambda: _ended(server, first), what="the first run ends")
    tab = visit().open(f"/run/{first}")
    tab.get_by_role("link", name="Relaunch", exact=True).click()
    tab.get_by_text("Nothing differs from it yet").wait_for()
    tab.get_by_role("button", name="Start training").dblclick()
    tab.wait_for_url("**/run/*")
    tab.get_by_text("with the same settings").wait_for()
    second = eventually(lambda: _ended(server, tab.url.rpartition("/")[2]), what="the second run ends")
    assert len(server.get(f"/runs/{first}")["children"]) == 1, "two quick clicks start one run"
    assert (second["state"], second["parent"], second["train_loss"]) == (
        "finished",
        first,
        server.get(f"/runs/{first}")["train_loss"],
    )
