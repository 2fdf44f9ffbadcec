"""Transformers of tokens that report features one after the other: settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from repbias.base.inputs import Inputs, Task
from repbias.base.spec import RepbiasError
from repbias.networks.architecture import Sizes
from repbias.networks.modules import Modules

if TYPE_CHECKING:
    import torch


class Transformer(Modules):
    """A transformer of tokens, with an encoder and a decoder or with a decoder only.

    It reports a feature at each of its answers, in a stated order. Layers are the residual stream
    after every block: of an encoder and a decoder `encoder1`, ..., `decoder1`, ...; of a decoder
    only `prompt1`, ... (the tokens) and `answer1`, ... (the answers). They are read by the mean
    over their tokens if nothing else is said. The analysed layer is the last one of the tokens: in
    the last layer of the answers, each is the feature that it reports.
    """

    kind: Literal["transformer"]
    """A transformer of tokens."""
    architecture: Literal["encoder_decoder", "decoder_only"] = "encoder_decoder"
    """Tokens see each other, and answers see them and the answers before; or tokens and answers are
    one sequence, of which each sees those before."""
    depth: int = Field(2, ge=1)
    """Blocks of the encoder, or of a decoder only."""
    decoder_depth: int = Field(2, ge=1)
    """Blocks of the decoder, where there is an encoder."""
    width: int = Field(64, ge=1)
    """Units of a token."""
    attention_heads: int = Field(4, ge=1)
    """Heads of the attention; they divide the width."""
    mlp_ratio: int = Field(4, ge=1)
    """Hidden units of a block's perceptron for each unit of a token."""
    norm: Literal["pre", "post"] = "pre"
    """Whether blocks normalise what they read, or what they give."""
    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """How tokens know their place: by a vector that is added, learned or of sines, or by rotated
    queries and keys (Su et al. 2021)."""
    position_scale: float = Field(0.02, gt=0)
    """Standard deviation of learned vectors of places before training; amplitude of the sines."""
    residual_scale: float = Field(1.0, ge=0)
    """Factor on what goes past the attention and the perceptron of a block of the encoder, or of a
    decoder only: its residual path; 1 in usual transformers."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of what attention and perceptron add that is silenced in training."""
    answers: Literal["fed", "unfed", "heads"] = "fed"
    """Whether an answer is given the labels of those before it (in training the true ones, whatever
    is `supervised`, else those that were reported), or not; or all features are read at once from
    the mean over the tokens of the last block (of a decoder only, from the last token), so that
    they have no order."""
    order: list[str] | list[int] | None = None
    """The features in the order in which they are reported; that of the stimuli when left out. In
    `vary`, `balanced` is a balanced square of orders (every feature once at every place, and once
    behind every other), and `all` all orders."""

    @property
    def teacher_forced(self) -> bool:
        """Whether networks are given the labels in training."""
        return self.answers == "fed"

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in the order in which they run."""
        if self.architecture == "decoder_only":
            if self.answers == "heads":
                return [f"prompt{i + 1}" for i in range(self.depth)]
            # Nothing reads the tokens of the last block.
            prompts = [f"prompt{i + 1}" for i in range(self.depth - 1)]
            return prompts + [f"answer{i + 1}" for i in range(self.depth)]
        encoder = [f"encoder{i + 1}" for i in range(self.depth)]
        if self.answers == "heads":
            return encoder
        return encoder + [f"decoder{i + 1}" for i in range(self.decoder_depth)]

    @property
    def analysed(self) -> str:
        """Name of the analysed layer: the last one of the tokens if nothing is said."""
        of_tokens = [name for name in self.layers if not name.startswith(("decoder", "answer"))]
        return self.analysed_layer or [*self.layers[:1], *of_tokens][-1]

    def readout_of(self, layer: str) -> str:
        """Return how a layer is read."""
        said = super().readout_of(layer)
        return "token_mean" if said == "auto" else said

    def build(self, inputs: Inputs, n_outputs: int) -> torch.nn.Module:
        """Make the network, whose outputs are in the order of the features."""
        from repbias.networks.token_modules import DecoderOnly, EncoderDecoder

        if inputs.vocabulary is None or len(inputs.shape) != 1:
            raise RepbiasError(
                "network.kind: a transformer is shown tokens (stimulus, token), found stimuli of "
                f"shape {inputs.shape} ({inputs.dtype}); use another kind"
            )
        made = EncoderDecoder if self.architecture == "encoder_decoder" else DecoderOnly
        return made(self, inputs.shape[0], inputs.vocabulary, self.numbers(n_outputs))

    def numbers(self, n_features: int) -> list[int]:
        """Return the features in the order in which they are reported, by their number."""
        order = self.order if self.order is not None else list(range(n_features))
        if sorted(order, key=str) != sorted(range(n_features), key=str):
            raise RepbiasError(
                f"network.order: expected each of the {n_features} features once, found {order}"
            )
        return [int(i) for i in order]

    def sizes(self, task: Task) -> Sizes:
        """Measure a network; one for all orders, whose networks are as large."""
        if self.order is None:
            return super().sizes(task)
        self.numbers(task.n_outputs)
        return self.model_copy(update={"order": None}).sizes(task)

    @field_validator("order")
    @classmethod
    def _each_once(cls, order: list[str] | list[int] | None) -> list[str] | list[int] | None:
        if order is not None and len(set(order)) < len(order):
            raise ValueError(f"a feature occurs twice in {order}")
        return order

    @model_validator(mode="after")
    def _possible(self) -> Transformer:
        if self.width % self.attention_heads:
            raise ValueError(
                f"width {self.width} cannot be divided among {self.attention_heads} attention_heads"
            )
        if self.positions == "rotary" and self.width // self.attention_heads % 2:
            raise ValueError(
                f"positions 'rotary' needs an even number of units for each attention head, found "
                f"{self.width // self.attention_heads}"
            )
        if self.architecture == "decoder_only" and self.depth < 2 and self.answers != "heads":
            raise ValueError("a decoder only needs depth 2: answers do not read the last block")
        return self
