"""Every trainer's names find their role, and Runwell's own table of metrics agrees with this one."""

from __future__ import annotations

import pytest

from diagnostics.roles import BY_ID, ROLES, RoleError, RoleMap, normal
from runwell.metrics import METRICS

KNOWN = {
    "train_loss": "train_loss train/loss loss Train_Loss trainLoss training_loss loss_metrics/global_avg_loss Loss/train",
    "val_loss": "val_loss val/loss eval_loss eval/loss valid_loss validation_metrics/loss Loss/val val/bpb test_loss",
    "grad_norm": "grad_norm train/grad_norm gradient_norm grad/norm grad_2.0_norm_total",
    "learning_rate": "lr learning_rate train/learning_rate train/lr lr-AdamW lr/AdamW training/lr lr-NAdam "
    "lr-RMSprop lr-FusedAdam/pg1 lr-DecoupledLionW/group0 lr-Muon",
    "tokens_per_second": "throughput(tps) train/tok_per_sec tokens_per_second tokens_per_sec perf/tokens_per_sec",
    "accuracy": "Accuracy/val eval_acc validation/acc evaluation/accuracy",
}


@pytest.mark.parametrize(("name", "role"), [(name, role) for role, names in KNOWN.items() for name in names.split()])
def test_names_of_other_trainers(name: str, role: str) -> None:
    found = RoleMap().find(name)
    assert found is not None
    assert found[0] == role


@pytest.mark.parametrize(
    "name",
    [
        *("train/lrm", "mfu", "reward", "eval_squad_loss", "loss_ratio", "train_runtime", "aux_loss", ""),
        *("lr-NAdam-momentum", "lr-AdamW/pg2", "lr-RAdam/pg12", "lr-Adagrad-1", "lr-LambdaLR", "training/aux"),
    ],
)
def test_names_that_only_look_like_a_role_have_none(name: str) -> None:
    assert RoleMap().find(name) is None


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_our_own_metrics_have_the_role_that_their_table_says(metric: object) -> None:
    found = RoleMap().find(metric.name)  # type: ignore[attr-defined]
    assert found is not None
    assert found[0] == metric.role  # type: ignore[attr-defined]
    assert BY_ID[found[0]].log == metric.name  # type: ignore[attr-defined]


def test_no_alias_belongs_to_two_roles() -> None:
    names = [alias for role in ROLES for alias in role.aliases]
    assert len(names) == len(set(names))
    assert all(alias == normal(alias) for alias in names)


def test_a_user_overrides_the_table() -> None:
    roles = RoleMap({"my/number": "train_loss", "loss": ""})
    assert roles.find("My Number") == ("train_loss", -1)
    assert roles.find("loss") is None


def test_an_unknown_role_is_named_with_those_that_exist() -> None:
    with pytest.raises(
        RoleError, match=r"'x' is mapped to 'trian_loss', which is no role; roles are: train_loss, val_loss"
    ):
        RoleMap({"x": "trian_loss"})
