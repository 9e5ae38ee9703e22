"""The settings of a training run: one frozen dataclass, checked where it is built.

The launch form, the HTTP border, the command line and the worker all read this one definition: a setting's default,
bounds, choices and meaning stand here and nowhere else. Standard library only, because the server imports it and the
server never loads torch.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import math
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

ConfigValue = bool | int | float | str


class ConfigError(ValueError):
    """A setting is unknown or out of bounds. `setting` names it; the message says what is allowed."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Text:
    """The shape of a string setting: a pattern it must match whole, said in words for the error message."""

    pattern: str
    words: str


NAME = Text(r"[\w][\w .,:+=×()/-]{0,79}|", "up to 80 letters, digits, spaces and . , : + = × ( ) / -")
DATASET = Text(
    r"(?=.{1,200}\Z)[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*",
    "'python-docs' or a file or folder name relative to the data folder, up to 200 characters",
)
PROMPTS = Text(r"(?s).{0,2000}", "at most 2,000 characters, one prompt a line")
CHECKPOINT = Text(
    r"|[A-Za-z0-9][A-Za-z0-9._-]{0,63}(:(last|best|[0-9]{1,15}))?",
    "empty, or RUN_ID, RUN_ID:last, RUN_ID:best or RUN_ID:STEP",
)

Fault = Literal[
    "none", "log-zero", "frozen-weights", "no-warmup", "no-clipping", "rate-x30", "rate-x1000", "rate-div1000",
    "collapsed-schedule", "wrong-horizon", "fp16-overflow", "hidden-nan", "dead-layer", "wrong-group", "bad-init",
    "deep-without-norm", "lost-optimizer-state", "labels-not-shifted", "labels-shuffled", "bad-batches", "poisoned-document",
    "tiny-data", "duplicated-data", "train-val-overlap", "broken-tokenizer-map", "greedy-sampling", "slow-loader",
    "slow-steps", "hang",
]  # fmt: skip

FAULT_MEANINGS: Mapping[str, str] = {
    "none": "a healthy run",
    "log-zero": "the loss takes the logarithm of a probability that is exactly 0: the loss is infinite, then NaN",
    "frozen-weights": "the weights of every layer but the last norm require no gradient: the loss stays where it is",
    "no-warmup": "the rate starts at its peak, though the schedule declares a warm-up",
    "no-clipping": "gradients are not clipped, though a limit is declared",
    "rate-x30": "the rate is 30 times the declared one",
    "rate-x1000": "the rate is 1,000 times the declared one",
    "rate-div1000": "the rate is a thousandth of the declared one: the model hardly moves",
    "collapsed-schedule": "the rate falls to 0 long before the end, and nothing is learned from there on",
    "wrong-horizon": "the schedule is laid over a tenth of the planned steps: the rest is trained at the floor",
    "fp16-overflow": "gradients pass through fp16 at a loss scale far too large that nobody checks: they become infinite",
    "hidden-nan": "the loss becomes NaN as with log-zero, and the logger writes 0.0 in its place",
    "dead-layer": "the first block's weights are all 0, so that neither signal nor gradient passes through it",
    "wrong-group": "the optimizer was given the norms and positions alone: all else has gradients and never moves",
    "bad-init": "all matrices start 20 times too large",
    "deep-without-norm": "the blocks have neither norms nor residual connections, so that signal and gradient fade with depth",
    "lost-optimizer-state": "the optimizer's moments are lost, as by a resume that loads the weights alone",
    "labels-not-shifted": "the model is asked for the token that it sees, not for the next one",
    "labels-shuffled": "the targets of each pass are shuffled: they have nothing to do with the text before them",
    "bad-batches": "10 of every 50 steps train on random tokens",
    "poisoned-document": "one document of random tokens fills 12 steps, once",
    "tiny-data": "training sees only the first fiftieth of its text, again and again",
    "duplicated-data": "nine tenths of the training text are copies of its first tenth",
    "train-val-overlap": "the training text holds the whole validation text",
    "broken-tokenizer-map": "samples are decoded by another table of tokens than the one that training used",
    "greedy-sampling": "samples take the likeliest token each time, whatever the temperature",
    "slow-loader": "the data loader makes each batch wait for 0.3 seconds",
    "slow-steps": "each step takes 0.2 seconds longer, and 2 milliseconds more with every step that follows",
    "hang": "training stands still for an hour",
}  # fmt: skip
"""What goes wrong, by fault. Here and not in `trainer.faults`, because the launch form shows it and never loads torch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Everything that a training run is told. Immutable; `dataclasses.replace` makes a changed copy.

    Raises `ConfigError` when a value is outside its bounds or two settings contradict each other.
    """

    # -- what the run is called ------------------------------------------------------------------------------------
    name: Annotated[str, NAME] = ""
    """The name shown on the pages. Empty: made from preset and data set."""
    project: Annotated[str, NAME] = "default"
    """Runs of one project are listed together."""
    preset: Annotated[str, NAME] = "minimal"
    """The preset that these settings started from. It is a label: the settings below decide."""

    # -- data ------------------------------------------------------------------------------------------------------
    dataset: Annotated[str, DATASET] = "python-docs"
    """What to train on: the built-in `python-docs`, or a .txt, .md or .jsonl file, or a folder of them, under the data folder."""
    data_limit_characters: Annotated[int, Range(0, 10_000_000_000)] = 0
    """Use only this many characters from the start of the data (0: all). A small number makes a model that memorises."""
    validation_fraction: Annotated[float, Range(0.001, 0.5)] = 0.1
    """Share of the text held out for validation, taken from the end, never overlapping the training part."""
    tokenizer: Literal["char", "byte", "bpe"] = "bpe"
    """`char`: one token a character of the data. `byte`: 256 tokens. `bpe`: pieces learned from the training part."""
    vocab_size: Annotated[int, Range(2, 65_536)] = 4096
    """Number of tokens that `bpe` learns, at least 257; `char` and `byte` have their own, and a run reports what it has."""

    # -- model -----------------------------------------------------------------------------------------------------
    n_layer: Annotated[int, Range(1, 96)] = 4
    """Transformer blocks."""
    n_head: Annotated[int, Range(1, 96)] = 4
    """Attention heads a block; must divide the width."""
    n_embd: Annotated[int, Range(8, 8192)] = 128
    """Width of the residual stream."""
    n_ff: Annotated[int, Range(8, 32_768)] = 512
    """Width of the feed-forward layer, usually four times the model's width."""
    context_length: Annotated[int, Range(8, 8192)] = 128
    """Tokens that the model sees at once."""
    dropout: Annotated[float, Range(0.0, 0.9)] = 0.0
    """Share of activations dropped while training. 0.1 to 0.2 helps when the data is small."""

    # -- optimisation ----------------------------------------------------------------------------------------------
    max_steps: Annotated[int, Range(1, 100_000_000)] = 2000
    """Optimizer steps in the whole run; the learning rate schedule is laid over them."""
    batch_size: Annotated[int, Range(1, 4096)] = 16
    """Sequences in one forward and backward pass."""
    accumulation_steps: Annotated[int, Range(1, 4096)] = 1
    """Passes whose gradients are added before one optimizer step: batch size × this is what the optimizer sees."""
    learning_rate: Annotated[float, Range(1e-9, 100.0)] = 1e-3
    """Peak learning rate."""
    min_learning_rate: Annotated[float, Range(0.0, 100.0)] = 1e-4
    """The floor that the cosine decays to."""
    warmup_steps: Annotated[int, Range(0, 10_000_000)] = 100
    """Steps of linear warm-up from near zero to the peak rate."""
    weight_decay: Annotated[float, Range(0.0, 10.0)] = 0.1
    """AdamW weight decay on matrices; biases, norms and embeddings' norms get none."""
    beta1: Annotated[float, Range(0.0, 0.9999)] = 0.9
    """AdamW's first moment decay."""
    beta2: Annotated[float, Range(0.0, 0.99999)] = 0.95
    """AdamW's second moment decay."""
    grad_clip: Annotated[float, Range(0.0, 1e6)] = 1.0
    """Largest total gradient norm; a larger one is scaled down to it. 0: no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format of the forward pass. `auto`: bf16 where the GPU has it, else fp16 with a loss scaler, fp32 on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train. `auto`: a CUDA GPU when there is one."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 1337
    """Seed of weights, data order and samples."""

    # -- watching --------------------------------------------------------------------------------------------------
    log_interval: Annotated[int, Range(1, 100_000)] = 1
    """Steps between logged points; each is the mean over the steps since the last."""
    eval_interval: Annotated[int, Range(1, 10_000_000)] = 100
    """Steps between evaluations on the validation part."""
    eval_batches: Annotated[int, Range(1, 100_000)] = 20
    """Batches in one evaluation; more give a steadier validation loss."""
    sample_interval: Annotated[int, Range(0, 10_000_000)] = 200
    """Steps between text samples (0: none)."""
    sample_tokens: Annotated[int, Range(1, 2000)] = 120
    """Tokens in one sample."""
    prompts: Annotated[str, PROMPTS] = ""
    """Fixed prompts, one a line; empty: two openings taken from the validation part."""
    temperature: Annotated[float, Range(0.0, 10.0)] = 0.8
    """Sampling temperature; 0 is greedy."""
    top_k: Annotated[int, Range(0, 65_536)] = 50
    """Sample among the k likeliest tokens (0: all)."""
    top_p: Annotated[float, Range(0.01, 1.0)] = 1.0
    """Sample among the likeliest tokens that together reach this probability."""
    checkpoint_interval: Annotated[int, Range(0, 10_000_000)] = 500
    """Steps between checkpoints (0: only at the end and when stopped). The last five and the best are kept."""
    early_stopping_patience: Annotated[int, Range(0, 10_000)] = 0
    """Evaluations without an improvement before the run ends by itself (0: never)."""
    early_stopping_min_delta: Annotated[float, Range(0.0, 100.0)] = 0.0
    """How much lower a validation loss must be to count as an improvement."""

    # -- special ---------------------------------------------------------------------------------------------------
    resume: Annotated[str, CHECKPOINT] = ""
    """Start from a checkpoint of an earlier run: RUN_ID, RUN_ID:last, RUN_ID:best or RUN_ID:STEP. Empty: from scratch."""
    fault: Fault = "none"
    """Give the run this illness on purpose, to see what its diagnosis looks like."""
    fault_step: Annotated[int, Range(0, 100_000_000)] = 0
    """The step from which the fault acts."""

    def __post_init__(self) -> None:
        for setting in settings():
            setting.check(getattr(self, setting.name))
        if self.n_embd % self.n_head:
            near = sorted(
                {self.n_embd // self.n_head * self.n_head, -(-self.n_embd // self.n_head) * self.n_head} - {0}
            )
            raise ConfigError(
                "n_embd",
                f"n_embd = {self.n_embd} is not divisible by n_head = {self.n_head}; "
                f"nearest widths that are: {' and '.join(map(str, near))}",
            )
        if self.min_learning_rate > self.learning_rate:
            raise ConfigError(
                "min_learning_rate",
                f"min_learning_rate = {self.min_learning_rate:g} is above learning_rate = {self.learning_rate:g}; "
                "the decay must end at or below the peak",
            )
        if self.tokenizer == "bpe" and self.vocab_size < 257:
            raise ConfigError(
                "vocab_size",
                f"vocab_size = {self.vocab_size} is too small for tokenizer = bpe; it takes 257 or more: 256 bytes and what it learns",
            )
        if ".." in self.dataset.split("/"):
            raise ConfigError("dataset", f"dataset = {self.dataset!r} leaves the data folder; '..' is not allowed")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build from untrusted names and values: unknown names and wrong types raise `ConfigError`, nothing is dropped."""
        known = {setting.name: setting for setting in settings()}
        checked: dict[str, ConfigValue] = {}
        for name, value in values.items():
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"settings are: {', '.join(known)}"
                raise ConfigError(str(name)[:80], f"unknown setting {str(name)[:80]!r}; {hint}")
            checked[name] = known[name].parse(value)
        return cls(**checked)  # type: ignore[arg-type]

    def to_mapping(self) -> dict[str, ConfigValue]:
        """All settings by name, as plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a form or a flag needs it: what kind, which values, what for."""

    name: str
    kind: type[bool] | type[int] | type[float] | type[str]
    default: ConfigValue
    help: str
    bounds: Range | None = None
    choices: tuple[str, ...] = ()
    text: Text | None = None
    meanings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What each choice stands for, where the names alone do not say."""

    @property
    def flag(self) -> str:
        """The command-line flag, `--learning-rate`."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.bounds:
            number = "a whole number" if self.kind is int else "a number"
            return f"{number} from {self.bounds.low:g} to {self.bounds.high:g}"
        return self.text.words if self.text else self.kind.__name__

    def parse(self, value: object) -> ConfigValue:
        """Turn text or a JSON value into this setting's type, or raise `ConfigError`."""
        number: float | str = value if isinstance(value, (int, float, str)) else ""
        if isinstance(value, bool) or value is None or (number == "" and self.kind is not str):
            raise self._refusal(value)
        if self.kind is str:
            if not isinstance(value, str):
                raise self._refusal(value)
            return value
        try:
            parsed = float(number)
        except (ValueError, OverflowError):
            raise self._refusal(value) from None
        if self.kind is float:
            return parsed
        if not math.isfinite(parsed) or parsed != int(parsed):
            raise self._refusal(value)
        return int(parsed)

    def check(self, value: ConfigValue) -> None:
        """Raise `ConfigError` unless the value is allowed."""
        ok = isinstance(value, (int, float) if self.kind is float else self.kind) and not isinstance(value, bool)
        if ok and self.choices:
            ok = value in self.choices
        elif ok and self.bounds:
            ok = self.bounds.low <= value <= self.bounds.high  # type: ignore[operator]
        elif ok and self.text:
            ok = re.fullmatch(self.text.pattern, str(value)) is not None
        if not ok:
            raise self._refusal(value)

    def _refusal(self, value: object) -> ConfigError:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        return ConfigError(self.name, f"{self.name} = {shown} is not allowed; it takes {self.allowed} ({self.flag})")


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting of `TrainConfig`, in order, with the docstring under it as its help."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    helps = _field_docstrings(TrainConfig)
    return tuple(_setting(field, hints[field.name], helps[field.name]) for field in dataclasses.fields(TrainConfig))


def _setting(field: Any, hint: Any, help_text: str) -> Setting:
    bounds = text = None
    choices: tuple[str, ...] = ()
    kind: Any = hint
    if get_origin(hint) is Literal:
        kind, choices = str, get_args(hint)
    elif get_origin(hint) is Annotated:
        kind, extra = get_args(hint)[:2]
        bounds = extra if isinstance(extra, Range) else None
        text = extra if isinstance(extra, Text) else None
    meanings = FAULT_MEANINGS if hint is Fault else {}
    return Setting(field.name, kind, field.default, help_text, bounds, choices, text, meanings)


def _field_docstrings(cls: type) -> dict[str, str]:
    found: dict[str, str] = {}
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    for pair in itertools.pairwise(body):
        match pair:
            case (ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text)))):
                found[name] = " ".join(text.split())
    return found
