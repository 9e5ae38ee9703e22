"""The worker's command line: flags for every setting, files, precedence, and one sentence for each kind of bad input."""

from __future__ import annotations

import json
import os
import signal
import sys
import types
from pathlib import Path

import pytest

from trainer.config import ConfigError, settings
from trainer.main import main, parse


def test_without_arguments_it_is_the_minimal_preset() -> None:
    config = parse([])
    assert (config.preset, config.n_embd, config.dataset) == ("minimal", 128, "python-docs")


def test_every_setting_has_a_flag_that_sets_it() -> None:
    changed = {
        "max_steps": 77, "learning_rate": 2e-3, "tokenizer": "char", "dataset": "a/b.txt", "fault": "log-zero", "grad_clip": 0.0,
        "preset": "small", "n_head": 4, "n_embd": 64, "resume": "r:best", "prompts": "To be", "dropout": 0.25, "name": "x",
    }  # fmt: skip
    flags = {setting.name: setting.flag for setting in settings()}
    argv = [part for name, value in changed.items() for part in (flags[name], str(value))]
    config = parse(argv)
    assert {name: getattr(config, name) for name in changed} == changed
    for setting in settings():
        # Each default, typed in, must be taken: no flag is missing or reads its value wrongly.
        assert getattr(parse([setting.flag, str(setting.default)]), setting.name) == setting.default


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"preset": "small", "max_steps": 50, "batch_size": 3}))
    config = parse(["--config", str(path), "--batch-size", "5"])
    assert (config.n_layer, config.max_steps, config.batch_size) == (6, 50, 5)


def test_a_whole_config_survives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    config = parse(["--preset", "char-gpt", "--seed", "5"])
    path.write_text(json.dumps(config.to_mapping()))
    assert parse(["--config", str(path)]) == config


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--learning-rat", "1"], "unknown argument '--learning-rat'; did you mean --learning-rate?"),
        (["--zzzzzz=1"], "unknown argument '--zzzzzz=1'; --help lists every setting"),
        (["stray"], "unknown argument 'stray'"),
        (["--learning-rate", "fast"], "learning_rate = 'fast' is not allowed; it takes a number from 1e-09 to 100 (--learning-rate)"),
        (["--learning-rate", "nan"], "learning_rate = nan is not allowed"),
        (["--max-steps", "1e400"], "max_steps = '1e400' is not allowed; it takes a whole number from 1"),
        (["--max-steps", "0"], "max_steps = 0 is not allowed"),
        (["--batch-size", "2.5"], "batch_size = '2.5' is not allowed"),
        (["--tokenizer", "words"], "tokenizer = 'words' is not allowed; it takes one of char, byte, bpe (--tokenizer)"),
        (["--preset", "minimax"], "unknown preset 'minimax'; did you mean 'minimal'? presets are: minimal, small"),
        (["--n-embd", "130"], "n_embd = 130 is not divisible by n_head = 4; nearest widths that are: 128 and 132"),
        (["--vocab-size", "100"], "vocab_size = 100 is too small for tokenizer = bpe; it takes 257 or more"),
        (["--learning-rate", "1e-5"], "min_learning_rate = 0.0001 is above learning_rate = 1e-05"),
        (["--dataset", "../../etc/passwd"], "dataset = '../../etc/passwd' is not allowed"),
        (["--fault", "gremlins"], "fault = 'gremlins' is not allowed; it takes one of none, log-zero"),
        (["--resume", "../x"], "resume = '../x' is not allowed; it takes empty, or RUN_ID"),
    ],
)  # fmt: skip
def test_bad_settings_are_one_sentence_and_exit_status_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str], undisturbed_signals: None
) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"trainer: {sentence}") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file or directory; name a JSON file"),
        ("{oops", "is not JSON"),
        ("[1]", "holds a list; it must be a JSON object of settings"),
        ("[" * 100_000, "is not JSON"),
        ('{"max_step": 5}', "unknown setting 'max_step'; did you mean 'max_steps'?"),
        ('{"max_steps": true}', "max_steps = True is not allowed"),
        ('{"learning_rate": NaN}', "learning_rate = nan is not allowed"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        parse(["--config", str(path)])
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_flag_without_its_value_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--max-steps"], "runwell train")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "runwell train: argument --max-steps: expected one argument\n"


def test_help_lists_every_setting_with_bounds_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    for setting in settings():
        assert setting.flag in text
    assert "Peak learning rate. Allowed: a number from 1e-09 to 100. Default: 0.001." in text
    assert "nanogpt-cpu" in text


def test_an_environment_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], undisturbed_signals: None
) -> None:
    monkeypatch.setenv("RUNWELL_URL", "gopher://x")
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("trainer: RUNWELL_URL = 'gopher://x' is not allowed")


def test_a_stop_that_comes_when_all_is_done_does_not_kill_what_is_ending(
    monkeypatch: pytest.MonkeyPatch, undisturbed_signals: None
) -> None:
    worker = types.ModuleType("trainer.worker")
    worker.work = lambda config, home, data, stop: 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trainer.worker", worker)
    assert main(["--preset", "minimal"]) == 0
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    os.kill(os.getpid(), signal.SIGTERM)
