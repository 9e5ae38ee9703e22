"""Roles: what a series is to the rules, whatever it was called when it was logged.

One table maps the names that trainers use to roles. Names are compared in one normal form (lower case, every run of
other characters an underscore), so `Train Loss`, `train/loss` and `train.loss` are one. A name that says more than the
table knows (`eval_squad_loss`) stays without a role rather than being guessed at. Knows nothing of the rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


class RoleError(ValueError):
    """A user's mapping names a role that does not exist. The message lists those that do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a series means to the rules."""

    id: str
    unit: str
    meaning: str
    cadence: str
    """When a point is logged."""
    smoothing: str = ""
    """What is known of smoothing, or of names that look like the role and are not."""
    log: str
    """The name to log it under, as coverage tells the user."""
    words: str
    """What people call it."""
    aliases: tuple[str, ...]
    """Names in normal form, the most telling first: when one line holds several, the first one wins."""


def _role(
    role: str, words: str, unit: str, meaning: str, cadence: str, log: str, aliases: str, smoothing: str = ""
) -> Role:
    names = tuple(dict.fromkeys(normal(name) for name in (log, *aliases.split())))
    return Role(
        id=role, unit=unit, meaning=meaning, cadence=cadence, smoothing=smoothing, log=log, words=words, aliases=names
    )


def normal(name: str) -> str:
    """The form in which names are compared: `Train Loss`, `train/loss`, `trainLoss` → `train_loss`."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


ROLES: tuple[Role, ...] = (
    _role("train_loss", "training loss", "nats/token", "loss on the training data", "every logged step", "train/loss",
          "train_loss training_loss loss_train training/loss loss tr_loss train_loss_step loss/train losses/train "
          "loss_metrics/global_avg_loss train/loss_step train/ce_loss ce_loss train/cross_entropy_loss lm_loss lm/loss "
          "train/lm_loss train/total_loss total_loss train_ce train/ce train/nll nll_loss step_loss batch_loss iter_loss train_nll "
          "train_mean_nll mean_nll loss/train/total metrics/train/LanguageCrossEntropy LanguageCrossEntropy xent train/xent losses train_losses "
          "avg_loss average_loss ave_loss mean_loss loss_avg loss_mean ce cross_entropy nll",
          "some trainers log a moving average or the last micro-batch; Hugging Face's final `train_loss` is the mean of the run"),
    _role("val_loss", "validation loss", "nats/token", "loss on held-out data", "every evaluation", "val/loss",
          "val_loss valid_loss validation_loss eval_loss eval/loss valid/loss validation/loss dev_loss dev/loss test_loss "
          "test/loss loss_val loss/val loss/valid loss/validation loss/eval losses/val losses/validation loss_eval "
          "validation_metrics/loss validation_metrics/global_avg_loss val_ce val/ce val/bpb val_bpb validation_bpb eval/ce_loss "
          "eval/lm_loss val/lm_loss lm_loss_validation lm_loss/validation heldout_loss holdout_loss val_loss_epoch "
          "val_nll eval_nll test_nll valid_nll val_losses valid_losses test_losses eval_losses metrics/eval/LanguageCrossEntropy "
          "eval/LanguageCrossEntropy val/lm_loss_value val/xent val_xent",
          "few evaluation batches make it noisy; bits per byte have another scale than the training loss"),
    _role("grad_norm", "gradient norm", "", "total L2 norm of the gradients, before clipping", "every logged step",
          "train/grad_norm",
          "grad_norm gradient_norm train/gradient_norm grad/norm gradnorm total_grad_norm train/total_grad_norm "
          "global_grad_norm optim/grad_norm optim/total_grad_norm grad_norm_total grad_2.0_norm_total "
          "grad_2_0_norm_total gradients/norm l2_norm/grad/global gnorm grad_l2 grad_l2_norm norm"),
    _role("grad_norm_first", "first block's gradient norm", "", "L2 norm of the first block's gradients", "every logged step",
          "train/grad_norm_first", "grad_norm_first_layer grad_norm/first"),
    _role("grad_norm_last", "last block's gradient norm", "", "L2 norm of the last block's gradients", "every logged step",
          "train/grad_norm_last", "grad_norm_last_layer grad_norm/last"),
    _role("learning_rate", "learning rate", "", "rate used for the step", "every logged step", "train/learning_rate",
          "learning_rate lr train/lr lr-AdamW lr-Adam lr-SGD lr/AdamW lr-AdamW/pg1 lr_group_0 lr/group0 optim/lr "
          "optim/learning_rate optim/learning_rate_group0 lr_0 lr0 lr/pg0 current_lr lr-DecoupledAdamW/group0 learning-rate scheduler/lr opt/lr",
          "`lr-` and any optimizer's name is one too; a multiplier of the peak, such as nanochat's `train/lrm`, is not a rate"),
    _role("update_ratio", "update ratio", "", "norm of the weight update ÷ norm of the weights", "every logged step",
          "train/update_ratio", "update_ratio update_to_weight update_to_weight_ratio update_weight_ratio"),
    _role("loss_scale", "loss scale", "", "fp16 loss scaler's factor", "every logged step", "train/loss_scale",
          "loss_scale grad_scale amp_scale train/grad_scale scaler/scale loss_scaler"),
    _role("skipped_steps", "skipped steps", "steps", "steps skipped since the start because gradients overflowed in fp16",
          "every logged step, or every overflow", "train/skipped_steps", "skipped_steps total_skipped_steps"),
    _role("tokens", "tokens", "tokens", "tokens trained on since the start", "every logged step", "train/tokens",
          "tokens total_tokens tokens_seen num_tokens consumed_tokens num_input_tokens_seen train/total_tokens n_tokens"),
    _role("accuracy", "accuracy", "", "share of right answers on held-out data", "every evaluation", "val/accuracy",
          "val_accuracy val_acc val/acc eval_accuracy eval/accuracy eval_acc eval/acc valid_accuracy valid_acc dev_accuracy dev_acc "
          "test_accuracy test_acc test/accuracy test/acc accuracy acc validation_accuracy validation_acc accuracy/val accuracy/valid "
          "accuracy/validation accuracy/eval accuracy/test acc/val acc/valid acc/eval acc/test",
          "where nothing else is logged it may be that of the training data"),
    _role("epoch", "epoch", "epochs", "passes over the training data", "every logged step", "train/epoch", "epoch epochs"),
    _role("tokens_per_second", "tokens per second", "tokens/s", "training throughput", "every logged step",
          "perf/tokens_per_second",
          "tokens_per_second tokens_per_sec tok_per_sec train/tok_per_sec tok/s tokens/s throughput(tps) tps throughput/tokens_per_sec "
          "train/tokens_per_second throughput tok_s tok/sec toks_per_sec train_tokens_per_second "
          "tokens_per_second_per_gpu perf/tokens_per_sec throughput/device/tokens_per_second"),
    _role("step_seconds", "step time", "s", "wall time of an optimizer step", "every logged step", "perf/step_seconds",
          "step_seconds step_time dt iter_time time_per_step train/step_time sec_per_step step_time_s "
          "time_metrics/end_to_end(s) seconds_per_step"),
    _role("data_seconds", "data wait", "s", "wall time a step waited for its batch", "every logged step", "perf/data_seconds",
          "data_seconds data_time data_loading_time time_metrics/data_loading(s) dataloader_time"),
    _role("gpu_memory_gib", "GPU memory", "GiB", "GPU memory allocated, peak", "every logged step", "gpu/memory_gib",
          "gpu_memory_gib memory/max_reserved(gib) memory/max_active(gib)"),
    _role("gpu_memory_total_gib", "GPU memory size", "GiB", "memory of the GPU", "every logged step", "gpu/memory_total_gib",
          "gpu_memory_total_gib"),
    _role("gpu_utilization", "GPU utilisation", "%", "share of time the GPU was busy", "every logged step",
          "gpu/utilization", "gpu_utilization gpu_util"),
)  # fmt: skip

BY_ID = {role.id: role for role in ROLES}

PERPLEXITIES = {
    "train_loss": "train/perplexity train/ppl train_perplexity train_ppl perplexity ppl training_perplexity metrics/train/LanguagePerplexity",
    "val_loss": "val/perplexity val/ppl val_perplexity val_ppl valid_perplexity valid_ppl validation_perplexity eval/perplexity "
    "eval/ppl eval_perplexity eval_ppl test_perplexity test_ppl dev_ppl dev_perplexity valid/ppl metrics/eval/LanguagePerplexity",
}  # fmt: skip
"""Names of perplexities: their logarithm is the loss, where no loss is logged."""
AFTER_ALL = 1000
"""The rank from which on the names of perplexities count: after every name of a loss."""

_BY_ALIAS = {
    normal(alias): (role, AFTER_ALL + rank)
    for role, names in PERPLEXITIES.items()
    for rank, alias in enumerate(names.split())
} | {alias: (role.id, rank) for role in ROLES for rank, alias in enumerate(role.aliases)}


_OPTIMIZERS_RATE = re.compile(
    r"lr_[a-z0-9_]*(adam|sgd|rmsprop|adagrad|adadelta|lion|lamb(?!da)|lars|muon|sophia|shampoo|soap|lbfgs|rprop)[a-z0-9_]*"
)
"""What Lightning's and Composer's monitors call a rate: by the class of its optimizer, of which there is no end."""
_NOT_THE_FIRST = re.compile(r"momentum|weight_decay|_(pg([2-9]|1\d)\d*|group[1-9]\d*|[1-9])$")
"""Names of such that are no rate, or the rate of further parameters or of a further optimizer."""
_NAMED_BY_OPTIMIZER = 500
"""The rank of those: after every name that the table holds, before perplexities."""
_LONG_FORMS = {"training_": "train_", "validation_": "val_", "evaluation_": "eval_"}
"""Beginnings of names that mean the same, where the table does not know the name as it is."""


class RoleMap:
    """Finds the role of a series name. `overrides` are the user's: name → role, or an empty role to take a name out."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        overrides = overrides or {}
        self._overrides = {normal(name): role for name, role in overrides.items()}
        for name, role in overrides.items():
            if role and role not in BY_ID:
                raise RoleError(f"{name!r} is mapped to {role!r}, which is no role; roles are: {', '.join(BY_ID)}")

    def find(self, name: str) -> tuple[str, int] | None:
        """(role, rank) of a name, or None. A lower rank wins when one event holds several names of a role."""
        form = normal(name)
        if form in self._overrides:
            role = self._overrides[form]
            return (role, -1) if role else None
        return _BY_ALIAS.get(form) or _by_pattern(form)


def _by_pattern(form: str) -> tuple[str, int] | None:
    if _OPTIMIZERS_RATE.fullmatch(form) and not _NOT_THE_FIRST.search(form):
        return "learning_rate", _NAMED_BY_OPTIMIZER
    for long, short in _LONG_FORMS.items():
        if form.startswith(long):
            return _BY_ALIAS.get(short + form.removeprefix(long))
    return None
