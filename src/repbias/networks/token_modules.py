"""The PyTorch modules of transformers of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from repbias.networks.transformer import Transformer


class Attention(nn.Module):
    """Attention with several heads, of tokens to each other or to others (Vaswani et al. 2017)."""

    def __init__(self, spec: Transformer) -> None:
        super().__init__()
        self.n_heads = spec.attention_heads
        self.query = nn.Linear(spec.width, spec.width)
        self.key_value = nn.Linear(spec.width, 2 * spec.width)
        self.result = nn.Linear(spec.width, spec.width)

    def forward(
        self,
        x: Tensor,
        others: Tensor | None = None,
        causal: bool = False,
        angles: Tensor | None = None,
    ) -> Tensor:
        """Return (stimulus, token, unit).

        Parameters
        ----------
        x
            (stimulus, token, unit), which ask.
        others
            (stimulus, other token, unit), which answer; the tokens themselves when left out. Where
            tokens see those before them only, they are others that come before these.
        causal
            Whether tokens see those before them only, and themselves.
        angles
            (token, pair of units), by which queries and keys are rotated.
        """
        q, k, v, mask = self._parts(x, others, causal, angles)
        y = scaled_dot_product_attention(q, k, v, mask)
        mixed: Tensor = self.result(y.transpose(1, 2).flatten(2))
        return mixed

    def weights(
        self,
        x: Tensor,
        others: Tensor | None = None,
        causal: bool = False,
        angles: Tensor | None = None,
    ) -> Tensor:
        """Return how much each token attends to each, (stimulus, head, token, seen token)."""
        q, k, _, mask = self._parts(x, others, causal, angles)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.softmax(dim=-1)

    def _parts(
        self, x: Tensor, others: Tensor | None, causal: bool, angles: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return queries, keys, values, (stimulus, head, token, unit), and which are seen."""
        seen = x if others is None else torch.cat([others, x], dim=1) if causal else others
        key, value = self.key_value(seen).chunk(2, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in (self.query(x), key, value)
        )
        n, first = seen.shape[1], seen.shape[1] - x.shape[1]
        if angles is not None:
            q, k = _rotated(q, angles[first:n]), _rotated(k, angles[:n])
        mask = None
        if causal:
            mask = torch.ones(x.shape[1], n, dtype=torch.bool, device=x.device).tril(first)
        return q, k, v, mask


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Rotate pairs of units, of (stimulus, head, token, unit), by angles (token, pair)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Block(nn.Module):
    """Attention to each other, to tokens of an encoder where there are any, and a perceptron."""

    def __init__(self, spec: Transformer, scale: float, crossed: bool) -> None:
        super().__init__()
        self.scale, self.pre = scale, spec.norm == "pre"
        self.attention = Attention(spec)
        self.crossed = Attention(spec) if crossed else None
        hidden = spec.mlp_ratio * spec.width
        self.mlp = nn.Sequential(
            nn.Linear(spec.width, hidden), nn.GELU(), nn.Linear(hidden, spec.width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(spec.width) for _ in range(2 + crossed))
        self.dropout = nn.Dropout(spec.dropout)

    def forward(
        self,
        x: Tensor,
        before: Tensor | None = None,
        causal: bool = False,
        angles: Tensor | None = None,
        encoded: Tensor | None = None,
    ) -> Tensor:
        """Return the residual stream, (stimulus, token, unit).

        Parameters
        ----------
        x, causal, angles
            See :class:`Attention`.
        before
            The residual stream of tokens that come before these.
        encoded
            (stimulus, token, unit), what an encoder gives.
        """
        first, *others = self.norms

        def attend(x: Tensor) -> Tensor:
            read = before if before is None or not self.pre else first(before)
            attended: Tensor = self.attention(x, read, causal, angles)
            return attended

        x = self._added(x, first, attend)
        if self.crossed is not None:
            crossed = self.crossed
            x = self._added(x, others[0], lambda y: crossed(y, encoded))
        return self._added(x, others[-1], self.mlp)

    def _added(self, x: Tensor, norm: nn.Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """Add what a part of the block gives to the residual stream."""
        added: Tensor = self.dropout(part(norm(x) if self.pre else x))
        stream = self.scale * x + added
        return stream if self.pre else norm(stream)


class Embedding(nn.Module):
    """Tokens as vectors, which know their place unless attention is to tell them."""

    def __init__(self, spec: Transformer, length: int, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, spec.width)
        if spec.positions == "learned":
            self.places = nn.Parameter(spec.position_scale * torch.randn(length, spec.width))
        elif spec.positions == "sinusoidal":
            waves = _angles(length, -(-spec.width // 2))
            both = torch.cat([waves.sin(), waves.cos()], dim=-1)[:, : spec.width]
            self.register_buffer("places", spec.position_scale * both)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (stimulus, token, unit)."""
        x: Tensor = self.tokens(tokens)
        return x + self.places if hasattr(self, "places") else x


def _angles(length: int, n: int) -> Tensor:
    """Return angles, (place, wave), of waves from 2 pi to 10,000 times that."""
    rates = torch.exp(torch.arange(n) * (-log(10_000.0) / n))
    return torch.arange(length)[:, None] * rates


class Answers(nn.Module):
    """What answers are asked, and how they are read: a row of weights for each feature."""

    def __init__(self, spec: Transformer, order: Sequence[int]) -> None:
        super().__init__()
        n = len(order)
        self.places = nn.Parameter(0.02 * torch.randn(n, spec.width))
        #: Labels of every feature as vectors; the first one of an answer has none before it.
        self.labels = nn.Embedding(2 * n, spec.width) if spec.answers == "fed" else None
        self.norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        self.weight = nn.Parameter(torch.randn(n, spec.width) / spec.width**0.5)
        self.bias = nn.Parameter(torch.zeros(n))
        self.order = list(order)

    def questions(self, n_stimuli: int, labels: Tensor | None) -> Tensor:
        """Return what goes in, (stimulus, answer, unit), given labels (stimulus, feature)."""
        x = self.places.expand(n_stimuli, -1, -1)
        if self.labels is None or labels is None:
            return x
        before = self.order[:-1]
        first = torch.tensor(before, dtype=torch.long, device=labels.device)
        vectors = self.labels(2 * first + labels[:, before].long())
        return x + nn.functional.pad(vectors, (0, 0, 1, 0))

    def logits(self, x: Tensor) -> Tensor:
        """Read answers, (stimulus, answer, unit), as logits (stimulus, feature)."""
        places = [self.order.index(feature) for feature in range(len(self.order))]
        by_feature: Tensor = self.norm(x)[:, places]
        return (by_feature * self.weight).sum(-1) + self.bias


class _Reporter(nn.Module):
    """What encoder-decoders and decoders only have in common."""

    def __init__(
        self, spec: Transformer, length: int, vocabulary: int, order: Sequence[int]
    ) -> None:
        super().__init__()
        self.embed = Embedding(spec, length, vocabulary)
        self.heads: nn.Linear | None = None
        self.answers: Answers | None = None
        self.norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        n = length + len(order) * (spec.architecture == "decoder_only")
        pairs = spec.width // spec.attention_heads // 2
        rotated = spec.positions == "rotary"
        self.register_buffer("angles", _angles(n, pairs) if rotated else None)
        self.angles: Tensor | None

    def _read_out_by(self, spec: Transformer, order: Sequence[int]) -> None:
        """Make the parts that read features; their weights are drawn after those of all blocks."""
        if spec.answers == "heads":
            self.heads = nn.Linear(spec.width, len(order))
        else:
            self.answers = Answers(spec, order)

    def _reported(self, answered: Callable[[Tensor | None, bool], Tensor], n: int) -> Tensor:
        """Let answers be given one after the other, each fed with those before.

        Parameters
        ----------
        answered
            From labels (stimulus, feature), and whether the layers are those that are analysed, to
            logits.
        n
            Number of stimuli.
        """
        assert self.answers is not None
        if self.answers.labels is None:
            return answered(None, True)
        order = self.answers.order
        labels = torch.zeros(n, len(order), device=self.answers.bias.device)
        with torch.no_grad():
            for feature in order[:-1]:
                labels[:, feature] = (answered(labels, False)[:, feature] > 0).float()
        return answered(labels, True)


class EncoderDecoder(_Reporter):
    """Tokens see each other; answers see them, and the answers before."""

    def __init__(
        self, spec: Transformer, length: int, vocabulary: int, order: Sequence[int]
    ) -> None:
        super().__init__(spec, length, vocabulary, order)
        self._encoder = [f"encoder{i + 1}" for i in range(spec.depth)]
        for name in self._encoder:
            setattr(self, name, Block(spec, spec.residual_scale, crossed=False))
        self._decoder: list[str] = []
        if spec.answers != "heads":
            self._decoder = [f"decoder{i + 1}" for i in range(spec.decoder_depth)]
            for name in self._decoder:
                setattr(self, name, Block(spec, 1.0, crossed=True))
        self._read_out_by(spec, order)

    def forward(self, tokens: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, (stimulus, feature).

        Parameters
        ----------
        tokens
            (stimulus, token).
        labels
            (stimulus, feature), which answers are fed with; what was reported when left out.
        """
        x = self.embed(tokens)
        for name in self._encoder:
            x = getattr(self, name)(x, None, False, self.angles)
        memory = self.norm(x)
        if self.heads is not None:
            read: Tensor = self.heads(memory.mean(dim=1))
            return read

        def answered(labels: Tensor | None, analysed: bool) -> Tensor:
            assert self.answers is not None
            y = self.answers.questions(len(tokens), labels)
            for name in self._decoder:
                block = getattr(self, name)
                # Layers are read by hooks, once: not while labels are found.
                y = (block if analysed else block.forward)(y, None, True, None, memory)
            return self.answers.logits(y)

        return answered(labels, True) if labels is not None else self._reported(answered, len(x))


class DecoderOnly(_Reporter):
    """Tokens and answers are one sequence, of which each sees those before."""

    def __init__(
        self, spec: Transformer, length: int, vocabulary: int, order: Sequence[int]
    ) -> None:
        super().__init__(spec, length, vocabulary, order)
        self._depth = spec.depth
        for i in range(1, spec.depth + 1):
            setattr(self, f"block{i}", Block(spec, spec.residual_scale, crossed=False))
            # The two parts of the residual stream, as layers of their own.
            setattr(self, f"prompt{i}", nn.Identity())
            if spec.answers != "heads":
                setattr(self, f"answer{i}", nn.Identity())
        self._read_out_by(spec, order)

    def forward(self, tokens: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits, (stimulus, feature); see :meth:`EncoderDecoder.forward`."""
        # Tokens do not see the answers, so they run once, however often answers do.
        prompts = [self.embed(tokens)]
        n_read = self._depth if self.heads is not None else self._depth - 1
        for i in range(1, n_read + 1):
            x = getattr(self, f"block{i}")(prompts[-1], None, True, self.angles)
            prompts.append(getattr(self, f"prompt{i}")(x))
        if self.heads is not None:
            read: Tensor = self.heads(self.norm(prompts[-1][:, -1]))
            return read

        def answered(labels: Tensor | None, analysed: bool) -> Tensor:
            assert self.answers is not None
            x = self.answers.questions(len(tokens), labels)
            for i, prompt in enumerate(prompts, start=1):
                x = getattr(self, f"block{i}")(x, prompt, True, self.angles)
                if analysed:
                    x = getattr(self, f"answer{i}")(x)
            return self.answers.logits(x)

        if labels is not None:
            return answered(labels, True)
        return self._reported(answered, len(tokens))
