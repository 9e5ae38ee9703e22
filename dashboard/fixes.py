"""A fix as settings: what a run was told, what a remedy changes in it, and the difference in words. Pure.

Knows nothing of stores, files and pages: runs, remedies and the list of saved checkpoints come in as values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.errors import Refused
from dashboard.records import Run
from runwell.wire import shorten
from trainer.config import NAME, ConfigError, ConfigValue, Setting, TrainConfig, settings
from trainer.presets import PRESETS, build

FACTOR = "×"
"""A patch value that begins with this multiplies the setting: `×0.1`."""

SHOWN_CHANGES = 2
"""Of the changes of a fix, so many stand in the name of its run."""
_FIX = re.compile(r" \(fix: [^()]*\)$")
"""What an earlier fix has put at the end of a name: the run's page tells the whole line of its parents."""

_OURS = {"preset", "dataset", "tokenizer", "n_layer", "n_embd", "learning_rate", "max_steps"}
_SHAPE = ("tokenizer", "n_layer", "n_head", "n_embd", "n_ff", "context_length", "vocab_size")
"""Settings that a checkpoint's weights depend on: a model of another shape cannot go on from it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs: its name, what it was and what it is."""

    name: str
    old: ConfigValue
    new: ConfigValue


@dataclass(frozen=True, slots=True)
class Child:
    """A relaunch of a run and how its settings differ; None when one of the two is not a run of the trainer."""

    run: Run
    changes: tuple[Change, ...] | None


@dataclass(frozen=True, slots=True)
class Saved:
    """The checkpoints of a run that can be resumed from, by their steps; which of them is the best, when that is known."""

    steps: tuple[int, ...] = ()
    best: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A relaunch before it is started: its settings, how they differ from the parent's, and what a person should know."""

    config: TrainConfig
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """One sentence each: what of the remedy was left out or bent, and why."""


def settings_of(run: Run) -> TrainConfig:
    """The settings that the run was launched with, from what is stored of it.

    A worker writes facts beside the settings (`parameters`, `actual_vocab_size`), which are dropped, and puts the size
    that its tokenizer has in the place of `vocab_size`: characters and bytes get the preset's back, for there it is no
    choice. Settings that are younger than the run have their defaults. Raises Refused when the config is not a trainer's
    or holds what the trainer does not take.
    """
    if not run.config.keys() >= _OURS:
        raise Refused(f"run {run.id!r} was not made by Runwell's trainer, so it cannot be relaunched from here")
    known = {setting.name for setting in settings()}
    values = {name: value for name, value in run.config.items() if name in known}
    if values["tokenizer"] != "bpe":
        values["vocab_size"] = _preset_vocabulary(values["preset"])
    try:
        return TrainConfig.from_mapping(values)
    except ConfigError as error:
        raise Refused(f"run {run.id!r} cannot be relaunched with its settings: {error}") from None


def relaunchable(run: Run) -> bool:
    """Whether `settings_of` gives settings for this run."""
    try:
        settings_of(run)
    except Refused:
        return False
    return True


def _preset_vocabulary(name: object) -> int:
    known = name if any(name == preset.name for preset in PRESETS) else "minimal"
    return build({"preset": known}).vocab_size


def difference(old: TrainConfig, new: TrainConfig) -> tuple[Change, ...]:
    """The settings that differ, in the order of the settings. The name is left out: it trains nothing."""
    before, after = old.to_mapping(), new.to_mapping()
    return tuple(
        Change(name, before[name], after[name]) for name in before if name != "name" and before[name] != after[name]
    )


def plan(parent: Run, remedy: Mapping[str, Any] | None, saved: Saved) -> Plan:
    """The parent's settings with a remedy's changes; without a remedy the same settings again.

    `remedy` is as `Finding.to_mapping()` gives it: a `patch` of values and factors, and the step of a `checkpoint`.
    Raises Refused when the parent's own settings cannot be read or the patched ones contradict each other.
    """
    before = settings_of(parent)
    values, notes = before.to_mapping(), []
    known = {setting.name: setting for setting in settings()}
    for name, wanted in ((remedy or {}).get("patch") or {}).items():
        if name not in known:
            notes.append(f"{shorten(name)} is not a setting of this trainer and is left out.")
            continue
        values[name], said = _patched(known[name], values[name], wanted)
        notes += said
    _keep_floor_below(before, values)
    resume, said = _resume(parent.id, (remedy or {}).get("checkpoint"), saved, before, values)
    values["resume"] = resume or values["resume"]
    notes += said
    if before.fault != "none" and values["fault"] == before.fault:
        notes.append(
            f"fault = {before.fault} is kept: it makes the run sick on purpose, and no other change cures that."
        )
    values["name"] = _name(parent, before, values, remedy)
    return _planned(before, values, notes)


def _name(
    parent: Run, before: TrainConfig, values: Mapping[str, ConfigValue], remedy: Mapping[str, Any] | None
) -> ConfigValue:
    """The parent's name with the fix in it, so that the two are told apart; the parent's own when nothing is changed, or
    when the trainer would not take it."""
    patch = (remedy or {}).get("patch") or {}
    changed = [_in_words(name, patch[name]) for name in patch if values.get(name) != before.to_mapping().get(name)]
    resumed = str(values["resume"]).rpartition(":")[2] if values["resume"] != before.resume else ""
    changed += [f"from the {resumed} checkpoint" if resumed == "best" else f"from step {resumed}"] if resumed else []
    base = _FIX.sub("", before.name or parent.name)
    for count in range(min(len(changed), SHOWN_CHANGES), 0, -1):
        name = f"{base} (fix: {', '.join(changed[:count])}{' ...' if len(changed) > count else ''})"
        if re.fullmatch(NAME.pattern, name):
            return name
    return before.name


def _in_words(name: str, wanted: object) -> str:
    text = str(wanted)
    return f"{name} {FACTOR} {text.removeprefix(FACTOR)}" if text.startswith(FACTOR) else f"{name} = {text}"


def _planned(before: TrainConfig, values: dict[str, ConfigValue], notes: list[str]) -> Plan:
    try:
        after = TrainConfig.from_mapping(values)
    except ConfigError as error:
        raise Refused(f"the remedy does not fit the settings of this run: {error}") from None
    return Plan(after, difference(before, after), tuple(notes))


def _patched(setting: Setting, now: ConfigValue, wanted: object) -> tuple[ConfigValue, list[str]]:
    """The setting's new value, within its bounds, and what is to be said of it."""
    name = setting.name
    factor = _factor(wanted)
    if factor is None:
        try:
            value = setting.parse(wanted)
            setting.check(value)
        except ConfigError as error:
            return now, [f"The remedy's {name} is left out: {str(error).partition(' (--')[0]}."]
    elif isinstance(now, bool) or not isinstance(now, (int, float)):
        return now, [f"The remedy's {name} {wanted} is left out: {name} is not a number."]
    else:
        value = _bounded(setting, _rounded(now * factor, whole=setting.kind is int))
    if value == now:
        return now, [f"{name} is {now:g} already." if isinstance(now, float) else f"{name} is {now} already."]
    return value, []


def _factor(wanted: object) -> float | None:
    if not isinstance(wanted, str) or not wanted.startswith(FACTOR):
        return None
    try:
        factor = float(wanted.removeprefix(FACTOR))
    except ValueError:
        return None
    return factor if math.isfinite(factor) else None


def _rounded(value: float, *, whole: bool) -> int | float:
    """A number that a person would have typed: three digits, for a factor knows no more."""
    return round(value) if whole else float(f"{value:.3g}")


def _bounded(setting: Setting, value: float) -> int | float:
    if setting.bounds is None:
        return value
    bounded = min(max(value, setting.bounds.low), setting.bounds.high)
    return int(bounded) if setting.kind is int else bounded


def _keep_floor_below(before: TrainConfig, values: dict[str, ConfigValue]) -> None:
    """A lower peak takes the floor of its decay with it, at the same share, or the decay would vanish or turn round."""
    rate, floor = float(values["learning_rate"]), float(values["min_learning_rate"])
    if rate < before.learning_rate and floor >= rate:
        values["min_learning_rate"] = min(rate, _rounded(floor * rate / before.learning_rate, whole=False))


def _resume(
    run_id: str, step: object, saved: Saved, before: TrainConfig, values: Mapping[str, ConfigValue]
) -> tuple[str, list[str]]:
    """(what `resume` should say, what is to be said of it): the checkpoint named, else a best one from before it."""
    if not isinstance(step, int):
        return "", []
    changed = [name for name in _SHAPE if values[name] != getattr(before, name)]
    left_out = f"The remedy would resume from the checkpoint of step {step:,}"
    if changed:
        return "", [f"{left_out}, which does not fit another {' and '.join(changed)}: it starts anew instead."]
    if step >= float(values["max_steps"]):
        return "", [
            f"{left_out}, but max_steps = {values['max_steps']} leaves nothing to train: it starts anew instead."
        ]
    if step in saved.steps:
        return f"{run_id}:{step}", [f"It resumes from the checkpoint of step {step:,}."]
    if saved.best is not None and saved.best < step:
        return f"{run_id}:best", [
            f"{left_out}, which is not kept any more: it resumes from the best, of step {saved.best:,}."
        ]
    return "", [f"{left_out}, which is not kept any more: it starts anew instead."]
