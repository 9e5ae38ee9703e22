"""The GPT: shapes, causality, tied weights, and a first loss of ln V."""

from __future__ import annotations

import math

import pytest
import torch

from trainer.model import GPT, Shape, next_token_loss
from trainer.presets import PRESETS, build

SHAPE = Shape(vocab_size=50, n_layer=2, n_head=2, n_embd=16, n_ff=32, context_length=12)


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(SHAPE).eval()


def test_logits_have_a_row_for_every_token(model: GPT) -> None:
    assert model(torch.zeros(3, 7, dtype=torch.long)).shape == (3, 7, 50)


def test_a_future_token_does_not_change_an_earlier_logit(model: GPT) -> None:
    ids = torch.randint(0, 50, (2, 12))
    changed = ids.clone()
    changed[:, 8] = (ids[:, 8] + 1) % 50
    before, after = model(ids), model(changed)
    assert torch.allclose(before[:, :8], after[:, :8], atol=1e-6)
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-4), "the token itself must matter"


def test_position_matters(model: GPT) -> None:
    logits = model(torch.full((1, 12), 3))
    assert not torch.allclose(logits[0, 0], logits[0, 5], atol=1e-4)


@pytest.mark.parametrize("layers", [1, 4, 12])
@pytest.mark.parametrize("vocab", [65, 4096])
def test_the_first_loss_is_ln_v_at_any_depth(layers: int, vocab: int) -> None:
    torch.manual_seed(1)
    model = GPT(Shape(vocab_size=vocab, n_layer=layers, n_head=4, n_embd=64, n_ff=128, context_length=32))
    ids = torch.randint(0, vocab, (8, 33))
    loss = next_token_loss(model(ids[:, :-1]), ids[:, 1:])
    assert loss.item() == pytest.approx(math.log(vocab), rel=0.02)


def test_the_output_layer_is_the_embedding(model: GPT) -> None:
    with torch.no_grad():
        model.tokens.weight[7] += 10 * model.hidden(torch.tensor([[1]]))[0, 0]
    assert int(model(torch.tensor([[1]]))[0, 0].argmax()) == 7
    assert not [name for name in model.state_dict() if "head" in name and "norm" not in name]


def test_weights_are_counted_once_and_by_hand() -> None:
    block = 2 * 16 + 16 * 48 + 16 * 16 + 16 * 32 + 32 * 16
    assert GPT(SHAPE).parameter_count() == 50 * 16 + 12 * 16 + 2 * block + 16


def test_layers_that_write_to_the_stream_start_smaller_the_deeper_the_model() -> None:
    torch.manual_seed(0)
    model = GPT(Shape(vocab_size=50, n_layer=8, n_head=2, n_embd=64, n_ff=128, context_length=12))
    block = model.blocks[0]
    assert block.attention.qkv.weight.std().item() == pytest.approx(0.02, rel=0.1)  # type: ignore[union-attr]
    assert block.feed_forward.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)  # type: ignore[union-attr]


def test_dropout_acts_while_training_only() -> None:
    model = GPT(SHAPE, dropout=0.5)
    ids = torch.zeros(1, 12, dtype=torch.long)
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def test_loss_keeps_what_is_not_a_number() -> None:
    targets = torch.zeros(1, 2, dtype=torch.long)
    assert math.isnan(next_token_loss(torch.full((1, 2, 5), math.nan), targets).item())
    far = torch.tensor([[[-math.inf, 0.0], [0.0, 0.0]]])
    assert next_token_loss(far, targets).item() == math.inf


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_every_preset_builds_a_model_of_about_the_size_that_its_note_says(preset: object) -> None:
    config = build({"preset": preset.name})  # type: ignore[attr-defined]
    with torch.device("meta"):
        model = GPT(Shape.of(config, 65 if config.tokenizer == "char" else config.vocab_size), config.dropout)
    said = {"minimal": 1.3e6, "small": 7e6, "medium": 33e6, "char-gpt": 11e6, "nanogpt-cpu": 0.8e6}
    assert model.parameter_count() == pytest.approx(said[preset.name], rel=0.1)  # type: ignore[attr-defined]
