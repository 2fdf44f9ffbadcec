"""Manipulations of training: settings, and what each does in a step of a stack of networks.

To add one, give :class:`Manipulations` a field and use it in one of the methods of
:class:`Manipulator`, which training calls at the same places in every step. A network's random
numbers come from a stream of its own, so that it is the same network in any stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from repbias.base.spec import Name, Spec

if TYPE_CHECKING:
    import numpy as np
    import torch


class Manipulations(Spec):
    """What can be done to a network while it learns."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability that a hidden unit is silent on a stimulus in a training step."""
    parameter_noise: float = Field(0.0, ge=0)
    """Standard deviation of Gaussian noise on every weight and bias, drawn anew in every step."""
    curriculum: list[Name] = []
    """Targets that are learned first: each is rewarded from when those before it are mastered,
    and all targets, the others too, after the last."""


class Manipulator:
    """The manipulations of a stack of networks.

    Parameters
    ----------
    settings, seeds, targets
        One of each per network; targets are the names that training rewards.
    features
        Names of the outputs.
    """

    def __init__(
        self,
        settings: Sequence[Manipulations],
        seeds: Sequence[int],
        targets: Sequence[Sequence[str]],
        features: Sequence[str],
    ) -> None:
        import numpy as np

        self._settings, self._targets, self._features = settings, targets, list(features)
        # Stream 0 of a seed draws its initial weights and stream 1 its batches.
        self._streams = {
            name: [np.random.default_rng([seed, number]) for seed in seeds]
            for number, name in enumerate(("dropout", "parameter_noise"), start=2)
        }

    def keep(self, members: Sequence[int]) -> None:
        """Go on with some of the networks only."""
        self._settings = [self._settings[i] for i in members]
        self._targets = [self._targets[i] for i in members]
        self._streams = {
            name: [streams[i] for i in members] for name, streams in self._streams.items()
        }

    def weights(
        self, weights: dict[str, torch.Tensor], shapes: dict[str, tuple[int, ...]]
    ) -> dict[str, torch.Tensor]:
        """Change the parameters before a forward pass; `shapes` are those without padding."""
        if any(s.parameter_noise for s in self._settings):

            def noise(settings: Manipulations, rng: np.random.Generator, out: np.ndarray) -> None:
                out[...] = settings.parameter_noise * rng.standard_normal(out.shape, out.dtype)

            weights = {
                name: w + self._random("parameter_noise", w, shapes[name], noise)
                for name, w in weights.items()
            }
        return weights

    def hidden(self, x: torch.Tensor, width: int) -> torch.Tensor:
        """Change a hidden layer's activations, (network, stimulus, unit); width without padding."""
        if any(s.dropout for s in self._settings):

            def mask(settings: Manipulations, rng: np.random.Generator, out: np.ndarray) -> None:
                p = settings.dropout
                silent = rng.integers(2**16, size=out.shape, dtype="uint16") < round(p * 2**16)
                out[:] = ~silent / (1 - p)

            x = x * self._random("dropout", x, (x.shape[1], width), mask)
        return x

    def rewarded(self, mastered: np.ndarray) -> np.ndarray:
        """Say which outputs are rewarded now, (network, output) bool.

        Parameters
        ----------
        mastered
            (network, output) bool, whether the network has ever mastered the feature.
        """
        import numpy as np

        rewarded = np.zeros(mastered.shape, bool)
        for n, (settings, targets) in enumerate(zip(self._settings, self._targets, strict=True)):
            done = {f for f, yes in zip(self._features, mastered[n], strict=True) if yes}
            stage: list[str] = []
            for feature in settings.curriculum:
                stage.append(feature)
                if feature not in done:
                    break
            if set(settings.curriculum) <= done:
                stage = list(targets)
            rewarded[n] = np.isin(self._features, stage)
        return rewarded

    def _random(
        self,
        name: str,
        like: torch.Tensor,
        shape: tuple[int, ...],
        draw: Callable[[Manipulations, np.random.Generator, np.ndarray], None],
    ) -> torch.Tensor:
        """Let every network fill an array of its own; padding is zero."""
        import numpy as np
        import torch

        values = np.zeros(tuple(like.shape), np.float32)
        for n, (settings, rng) in enumerate(zip(self._settings, self._streams[name], strict=True)):
            own = values[n, ...]
            draw(settings, rng, own[tuple(map(slice, shape))] if shape else own)
        return torch.from_numpy(values).to(like.device)
