"""`runwell diagnose`, `rules` and `explain`: formats, exit statuses and every error's sentence."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from runwell.cli import main
from runwell.commands.diagnose import with_progress

BLOWN = ["4.2", "5.1", "3.8", "6.2", "4.5", "7.8", "5.2", "inf", "nan", "nan"]
HEALTHY = ["4.2", "3.8", "3.3", "2.9", "2.5", "2.2", "1.9", "1.7", "1.6", "1.5"]
KEYS = {
    "rule",
    "severity",
    "title",
    "first_step",
    "detected_step",
    "last_step",
    "evidence",
    "causes",
    "remedies",
    "confidence",
}


def write_csv(path: Path, losses: list[str], name: str = "train_loss") -> str:
    path.write_text("\n".join([f"step,{name}", *(f"{step},{loss}" for step, loss in enumerate(losses))]) + "\n")
    return str(path)


def write_jsonl(path: Path, losses: list[str]) -> str:
    spelled = {"inf": '"Infinity"', "nan": "NaN"}
    lines = [
        f'{{"type": "metrics", "step": {step}, "train/loss": {spelled.get(loss, loss)}}}'
        for step, loss in enumerate(losses)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_json_has_the_promised_shape(tmp_path: Path, capsys: Any, write: Any) -> None:
    file = write(tmp_path / "log", BLOWN)
    assert main(["diagnose", file, "--format", "json"]) == 2
    (result,) = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))
    assert (result["source"], result["verdict"]) == (file, "critical")
    assert set(result["coverage"]) == {"ran", "skipped", "failed"}
    first = result["findings"][0]
    assert set(first) >= KEYS
    assert (first["rule"], first["first_step"], first["detected_step"], first["status"]) == (
        "non-finite-loss",
        7,
        7,
        "open",
    )
    assert first["evidence"][0]["observed"] == "Infinity"
    assert "learning rate" in first["causes"][0]["cause"]


def test_exit_status_is_that_of_the_worst_file(tmp_path: Path, capsys: Any) -> None:
    good, bad = write_csv(tmp_path / "good.csv", HEALTHY), write_csv(tmp_path / "bad.csv", BLOWN)
    assert main(["diagnose", good]) == 0
    assert main(["diagnose", good, bad, "--format", "json"]) == 2
    capsys.readouterr()
    assert main(["diagnose", good, str(tmp_path / "none.csv"), "--format", "json"]) == 3
    verdicts = [result["verdict"] for result in json.loads(capsys.readouterr().out)]
    assert verdicts == ["healthy", "unreadable"], "one unreadable file does not hide the others"


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_of_several_logs_it_is_counted_how_many_are_well(tmp_path: Path, capsys: Any, form: str) -> None:
    good, bad = write_csv(tmp_path / "good.csv", HEALTHY), write_csv(tmp_path / "bad.csv", BLOWN)
    assert main(["diagnose", good, bad, good, str(tmp_path / "none.csv"), "--format", form]) == 3
    assert capsys.readouterr().out.endswith("\n4 logs: 2 healthy, 1 critical, 1 unreadable\n")
    main(["diagnose", good, "--format", form])
    assert "logs:" not in capsys.readouterr().out


def test_warning_and_config(tmp_path: Path, capsys: Any) -> None:
    log = tmp_path / "slow.csv"
    log.write_text("step,loss\n1,3.58\n10,3.58\n100,3.57\n500,3.57\n1000,3.56\n5000,3.55\n")
    settings = tmp_path / "config.json"
    settings.write_text('{"vocab_size": 36}')
    assert main(["diagnose", str(log)]) == 0, "without the vocabulary nobody knows where it began"
    assert main(["diagnose", str(log), "--config", str(settings)]) == 1
    assert "Learning rate too low" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_people_get_the_finding_its_evidence_and_what_to_do(tmp_path: Path, capsys: Any, form: str) -> None:
    main(["diagnose", write_csv(tmp_path / "x.csv", BLOWN), "--format", form])
    out = capsys.readouterr().out
    for words in (
        "critical",
        "Training loss is Inf since step 7",
        "learning rate too high",
        "learning_rate ×0.1",
        "val/loss",
    ):
        assert words in out
    if form == "text":
        assert "▁" in out and "×××" in out, "a small curve, with its end marked as not finite"


def test_control_characters_of_a_log_never_reach_the_terminal(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "evil\x1b[31m.csv"
    write_csv(file, BLOWN)
    main(["diagnose", str(file)])
    assert "\x1b" not in capsys.readouterr().out


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("step,loss\n" + "".join(f"{i},{v}\n" for i, v in enumerate(BLOWN))))
    assert main(["diagnose", "-", "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out)[0]["source"] == "-"


def test_map_names_a_series(tmp_path: Path, capsys: Any) -> None:
    file = write_csv(tmp_path / "x.csv", BLOWN, name="my_number")
    assert main(["diagnose", file]) == 3
    sentence = "holds no series that a rule knows; name one with --map NAME=train_loss (it has my_number)"
    assert sentence in capsys.readouterr().err
    assert main(["diagnose", file, "--map", "my_number=train_loss"]) == 2
    assert not capsys.readouterr().err


@pytest.mark.parametrize("command", ["diagnose", "watch"])
def test_numbers_that_may_not_have_been_taken_for_what_they_are_are_told(
    tmp_path: Path, capsys: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwell.commands.watch._sleep", lambda seconds: False)
    file = tmp_path / "x.csv"
    file.write_text("step,lr,my_number\n" + "".join(f"{step},0.001,{loss}\n" for step, loss in enumerate(HEALTHY)))
    assert main([command, str(file)]) == 0
    assert "x.csv: none of its series is known as a loss; name one with --map NAME=train_loss (it has lr, my_number)" in capsys.readouterr().err  # fmt: skip
    assert main([command, str(file), "--map", "my_numbr=train_loss"]) == 0
    assert "x.csv has no series 'my_numbr', which --map calls train_loss (it has lr, my_number)" in capsys.readouterr().err  # fmt: skip
    assert main([command, str(file), "--map", "my_number=train_loss"]) == 0
    assert not capsys.readouterr().err


def test_what_was_asked_for_and_is_not_there_is_told(tmp_path: Path, capsys: Any) -> None:
    file, settings = write_csv(tmp_path / "x.csv", HEALTHY), tmp_path / "c.toml"
    settings.write_text("vocabsize = 36\n")
    assert main(["diagnose", file, "--run", "second", "--config", str(settings)]) == 0
    told = capsys.readouterr().err
    assert f"{file} tells of one run alone; --run second is passed over" in told
    assert "c.toml holds no setting that a rule asks for; they are vocab_size, max_steps," in told
    assert main(["diagnose", str(tmp_path / "x.csv"), "--map", "x=y"]) == 3
    assert "runwell diagnose: --map: 'x' is mapped to 'y', which is no role; roles are" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["diagnose", str(tmp_path / "none")]) == 3
    assert "no file in it is named as logs are: *.jsonl, *.csv," in capsys.readouterr().err


def test_a_folder_of_printed_text_says_how_it_is_read(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "train.log").write_text("iter 1: loss 2.5\niter 2: loss 2.25\n")
    assert main(["diagnose", str(tmp_path)]) == 3
    assert (
        f"what a trainer printed is read when its file is named, as {tmp_path / 'train.log'})"
        in capsys.readouterr().err
    )
    assert main(["diagnose", str(tmp_path / "train.log")]) == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--map", "x=los"], "'x' is mapped to 'los', which is no role; roles are: train_loss"),
        (["--map", "x"], "--map 'x' must be NAME=ROLE"),
        (["--config", "/nowhere.json"], "--config /nowhere.json cannot be read: No such file"),
    ],
)
def test_wrong_flags_get_one_sentence(tmp_path: Path, capsys: Any, flags: list[str], sentence: str) -> None:
    assert main(["diagnose", write_csv(tmp_path / "x.csv", HEALTHY), *flags]) == 3
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(("text", "sentence"), [("[1]", "must be an object of settings"), ("{", "is not JSON")])
def test_a_wrong_config_file(tmp_path: Path, capsys: Any, text: str, sentence: str) -> None:
    settings = tmp_path / "c.json"
    settings.write_text(text)
    assert main(["diagnose", write_csv(tmp_path / "x.csv", HEALTHY), "--config", str(settings)]) == 3
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\xff\xfe", b"hello\n"])
def test_files_that_are_no_log(tmp_path: Path, capsys: Any, content: bytes) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    assert main(["diagnose", str(file)]) == 3
    assert str(file) in capsys.readouterr().err


def test_a_folder_stands_for_the_logs_in_it(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "a").mkdir()
    good, bad = write_csv(tmp_path / "a/good.csv", HEALTHY), write_jsonl(tmp_path / "bad.jsonl", BLOWN)
    (tmp_path / "corpus.jsonl").write_text('{"text": "no number"}\n')
    assert main(["diagnose", str(tmp_path), "--format", "json"]) == 2
    said = capsys.readouterr()
    results = json.loads(said.out)
    assert [(result["source"], result["verdict"]) for result in results] == [(good, "healthy"), (bad, "critical")]
    assert said.err.count("\n") == 1 and "passed over: " + str(tmp_path / "corpus.jsonl") in said.err


def test_a_folder_without_logs(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "notes.txt").write_text("step,loss\n1,2\n")
    assert main(["diagnose", str(tmp_path)]) == 3
    assert "holds no log that can be read (no file in it is named as logs are: *.jsonl," in capsys.readouterr().err


def test_a_trainer_state_is_judged(tmp_path: Path, capsys: Any) -> None:
    rows = [{"step": step, "epoch": step / 4, "loss": float(loss)} for step, loss in enumerate(BLOWN)]
    state = {
        "max_steps": 10,
        "num_train_epochs": 1,
        "log_history": [*rows, {"step": 9, "train_loss": 4, "train_runtime": 1}],
    }
    (tmp_path / "trainer_state.json").write_text(json.dumps(state, indent=2))
    assert main(["diagnose", str(tmp_path / "trainer_state.json"), "--format", "json"]) == 2
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["findings"][0]["rule"], result["findings"][0]["first_step"]) == ("non-finite-loss", 7)


def test_packed_bytes_on_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", BLOWN)
    packed = io.BytesIO(gzip.compress((tmp_path / "x.csv").read_bytes()))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(packed)))  # type: ignore[arg-type]
    assert main(["diagnose", "-", "--format", "json"]) == 2
    assert json.loads(capsys.readouterr().out)[0]["verdict"] == "critical"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone_and_wiped() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    assert list(with_progress(["a", "b\x1b[31m"], terminal)) == list(with_progress(["a", "b\x1b[31m"], pipe))
    assert pipe.getvalue() == ""
    assert terminal.getvalue() == "\r\x1b[K1 of 2: a\r\x1b[K2 of 2: b?[31m\r\x1b[K"
    alone = Terminal()
    assert list(with_progress(["a"], alone)) == ["a"] and alone.getvalue() == ""


def test_settings_of_the_log_may_be_toml(tmp_path: Path, capsys: Any) -> None:
    log = tmp_path / "slow.csv"
    log.write_text("step,loss\n1,4.17\n10,4.17\n100,4.16\n500,4.16\n1000,4.15\n5000,4.14\n")
    for name in ("run.toml", "settings"):
        (tmp_path / name).write_text("vocab_size = 65\n")
        assert main(["diagnose", str(log), "--config", str(tmp_path / name)]) == 1
    (tmp_path / "bad.toml").write_text("vocab_size 65\n")
    assert main(["diagnose", str(log), "--config", str(tmp_path / "bad.toml")]) == 3
    assert "bad.toml is not TOML: " in capsys.readouterr().err


def test_a_setting_that_is_no_number_is_said(tmp_path: Path, capsys: Any) -> None:
    log, settings = write_csv(tmp_path / "x.csv", HEALTHY), tmp_path / "run.json"
    settings.write_text('{"max_steps": "many", "lr": "5e-4", "warmup_steps": null, "vocab": ["a", "b"], "name": "x"}')
    main(["diagnose", str(log), "--config", str(settings)])
    said = [line for line in capsys.readouterr().err.splitlines() if "--config" in line]
    assert said == [f"runwell: --config {settings}: max_steps = 'many' is no number and is passed over"]


def test_rules_are_listed(capsys: Any) -> None:
    assert main(["rules"]) == 0
    assert "overfitting" in capsys.readouterr().out
    assert main(["rules", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in rows} >= {"non-finite-loss", "plateau"}


def test_a_rule_is_explained(capsys: Any) -> None:
    assert main(["explain", "overfitting"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# overfitting")
    assert "## What to do" in out


def test_an_unknown_rule_is_guessed_at(capsys: Any) -> None:
    assert main(["explain", "overfiting"]) == 2
    assert "did you mean overfitting?" in capsys.readouterr().err


def test_other_thresholds_may_be_tried(tmp_path: Path, capsys: Any) -> None:
    file = write_csv(tmp_path / "x.csv", [*(str(4 - n / 100) for n in range(100)), *["9"] * 5, *["3"] * 40])
    settings = tmp_path / "rules.toml"
    settings.write_text("[projects.calm.loss-spike]\nrise = 1e6\n")

    def rules(*flags: str) -> list[str]:
        main(["diagnose", file, "--format", "json", "--settings", str(settings), *flags])
        return [finding["rule"] for finding in json.loads(capsys.readouterr().out)[0]["findings"]]

    assert "loss-spike" in rules() and "loss-spike" not in rules("--project", "calm")
    settings.write_text("[loss-spike]\nhight = 3\n")
    assert main(["diagnose", file, "--settings", str(settings)]) == 3
    assert "loss-spike has no option 'hight'; it has: sigmas" in capsys.readouterr().err
