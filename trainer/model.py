"""The GPT: a pre-norm transformer decoder with learned positions and tied embeddings. Shapes at the line's end.

Knows its own sizes and nothing of data, optimisers or reports. B: batch, T: tokens, C: width, H: heads, V: vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from trainer.config import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The sizes that decide a model's weights; two models of equal shape can exchange them."""

    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    n_ff: int
    context_length: int

    @classmethod
    def of(cls, config: TrainConfig, vocab_size: int) -> Shape:
        """The shape that a config asks for, with the vocabulary that the tokenizer really has."""
        return cls(
            vocab_size=vocab_size,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_embd=config.n_embd,
            n_ff=config.n_ff,
            context_length=config.context_length,
        )


class Attention(nn.Module):
    """Causal self-attention of H heads."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.n_head
        self.dropout = dropout
        self.qkv = nn.Linear(shape.n_embd, 3 * shape.n_embd, bias=False)
        self.out = nn.Linear(shape.n_embd, shape.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)  # (B, H, T, C/H) each
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)  # (B, H, T, C/H)
        return F.dropout(self.out(y.transpose(1, 2).reshape(b, t, c)), dropout)  # (B, T, C)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.up = nn.Linear(shape.n_embd, shape.n_ff, bias=False)
        self.down = nn.Linear(shape.n_ff, shape.n_embd, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.down(F.gelu(self.up(x))), self.dropout, self.training)  # (B, T, C)


class Block(nn.Module):
    """One transformer block: each half reads a normalised copy of the stream and adds to it."""

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.n_embd, bias=False)
        self.attention = Attention(shape, dropout)
        self.norm2 = nn.LayerNorm(shape.n_embd, bias=False)
        self.feed_forward = FeedForward(shape, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))  # (B, T, C)
        y: Tensor = x + self.feed_forward(self.norm2(x))
        return y  # (B, T, C)


class GPT(nn.Module):
    """Token ids in, logits of the next token out. The embedding matrix is also the output layer (tied)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = dropout
        self.tokens = nn.Embedding(shape.vocab_size, shape.n_embd)
        self.positions = nn.Embedding(shape.context_length, shape.n_embd)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layer))
        self.norm = nn.LayerNorm(shape.n_embd, bias=False)
        self._initialise()

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) for ids (B, T), T at most the context length."""
        return F.linear(self.hidden(ids), self.tokens.weight)

    def hidden(self, ids: Tensor) -> Tensor:
        """The normalised stream (B, T, C) before the output layer."""
        x: Tensor = self.tokens(ids) + self.positions.weight[: ids.shape[1]]  # (B, T, C)
        x = F.dropout(x, self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        normalised: Tensor = self.norm(x)
        return normalised

    def parameter_count(self) -> int:
        """All weights, the tied matrix counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def _initialise(self) -> None:
        # GPT-2's: small normal weights, and layers that write to the stream scaled down by its 2L writers, so that
        # the stream's variance does not grow with depth and the first loss is ln V.
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                writes = name.endswith(("attention.out.weight", "feed_forward.down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.shape.n_layer) if writes else 0.02)


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy in nats per token; logits (B, T, V), targets (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
