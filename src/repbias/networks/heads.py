"""Outputs of networks: how logits report a class of every feature, and what errors cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

#: What a feature of two classes is read out by; more classes always have a softmax.
TwoClasses = Literal["sigmoid", "softmax"]


class Heads:
    """The outputs of a network, one head per feature.

    A head is one logit, above 0 for class 1 (a sigmoid), or one logit per class, the largest for
    the class that is reported (a softmax).

    Parameters
    ----------
    widths
        Number of logits of every feature's head.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        self.widths = list(widths)
        starts = [0, *accumulate(self.widths)]
        self._parts = [slice(a, a + n) for a, n in zip(starts[:-1], self.widths, strict=True)]
        #: Whether every head is a sigmoid: then logits are features.
        self.sigmoids = all(n == 1 for n in self.widths)

    @classmethod
    def of(cls, classes: Sequence[int], two_classes: TwoClasses = "sigmoid") -> Heads:
        """Return the heads of features with so many classes each."""
        return cls([1 if n == 2 and two_classes == "sigmoid" else n for n in classes])

    @property
    def n_outputs(self) -> int:
        """Number of logits."""
        return sum(self.widths)

    def reported(self, logits: np.ndarray) -> np.ndarray:
        """Return the class that is reported of every feature.

        Parameters
        ----------
        logits
            (..., output); more outputs than those of the heads are left out.

        Returns
        -------
        numpy.ndarray
            (..., feature) uint8.
        """
        if self.sigmoids:
            return (logits[..., : self.n_outputs] > 0).astype(np.uint8)
        heads = [logits[..., part] for part in self._parts]
        classes = [h[..., 0] > 0 if h.shape[-1] == 1 else h.argmax(axis=-1) for h in heads]
        return np.stack(classes, axis=-1).astype(np.uint8)

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of every stimulus and feature.

        Parameters
        ----------
        logits
            (..., output), padded or not.
        labels
            (..., feature) float, padded as the logits are if all heads are sigmoids.

        Returns
        -------
        torch.Tensor
            (..., feature), padded as the labels are.
        """
        from torch import stack
        from torch.nn.functional import (
            binary_cross_entropy_with_logits,
            cross_entropy,
            pad,
        )

        if self.sigmoids:
            return binary_cross_entropy_with_logits(logits, labels, reduction="none")
        columns = []
        for i, part in enumerate(self._parts):
            head, label = logits[..., part], labels[..., i]
            if head.shape[-1] == 1:
                loss = binary_cross_entropy_with_logits(head[..., 0], label, reduction="none")
            else:
                flat = head.reshape(-1, head.shape[-1]), label.reshape(-1).long()
                loss = cross_entropy(*flat, reduction="none").reshape(label.shape)
            columns.append(loss)
        losses = stack(columns, dim=-1)
        return pad(losses, (0, labels.shape[-1] - losses.shape[-1]))
