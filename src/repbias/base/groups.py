"""Stimuli that depend on each other: what is resampled, permuted and left out together."""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log

import numpy as np

#: With fewer groups nothing can be said of others.
MIN_GROUPS = 5


@dataclass(frozen=True, eq=False)
class StimulusGroups:
    """The groups of stimuli: exemplars of a category, frames of a film, views of an object.

    Stimuli of a group are alike for reasons that no model needs to know, so they are no independent
    draws. Whole groups are left out, so that nothing is predicted from stimuli of the same group.
    What generalises to other stimuli is tested between groups: whole groups are resampled and
    permuted. With fewer than :data:`MIN_GROUPS` groups that is impossible; then stimuli are
    resampled and permuted within groups, and what follows holds for these groups only.

    Attributes
    ----------
    codes : (stimulus,) int, the group of each: 0, 1, ...
    name : what the groups are, such as the column they come from; empty if each stimulus is on
        its own
    between : whether there are enough groups to say something of others; a part of the stimuli,
        such as those of a training fold, is treated as all of them are
    """

    codes: np.ndarray
    name: str = ""
    between: bool = True

    @classmethod
    def alone(cls, n_stimuli: int) -> StimulusGroups:
        """Return stimuli that are independent of each other."""
        return cls(np.arange(n_stimuli))

    @classmethod
    def of(cls, labels: np.ndarray, name: str) -> StimulusGroups:
        """Return the groups of labels (stimulus,), whatever these are."""
        codes = np.unique(np.asarray(labels).astype(str), return_inverse=True)[1]
        n_groups = codes.max(initial=-1) + 1
        return cls(codes, name, n_groups >= MIN_GROUPS or n_groups == len(codes))

    def __len__(self) -> int:
        return len(self.codes)

    def subset(self, rows: np.ndarray) -> StimulusGroups:
        """Return the groups of some of the stimuli."""
        codes = np.unique(self.codes[rows], return_inverse=True)[1]
        return StimulusGroups(codes, self.name, self.between)

    @property
    def sizes(self) -> np.ndarray:
        """Number of stimuli of every group, (group,)."""
        return np.bincount(self.codes)

    @property
    def are_alone(self) -> bool:
        """Whether every stimulus is a group of its own."""
        return len(self.sizes) == len(self)

    @property
    def exchangeable(self) -> bool:
        """Whether whole groups can be permuted in enough ways for p of .05 to be possible."""
        if not self.between:
            return False
        _, of_size = np.unique(self.sizes, return_counts=True)
        return self.are_alone or sum(lgamma(n + 1) for n in of_size) >= log(20)

    @property
    def resampled_units(self) -> tuple[float, int]:
        """What is resampled: its number n in the correction n / (n - 1), and degrees of freedom.

        Within groups each has a mean of its own, so that n is the mean size of a group.
        """
        n_groups = len(self.sizes)
        if self.between:
            return n_groups, n_groups - 1
        return len(self) / n_groups, len(self) - n_groups

    @property
    def of_stimuli(self) -> str:
        """What is resampled, in words."""
        if self.are_alone:
            return "stimuli"
        groups = f"groups ({self.name})"
        return f"whole {groups}" if self.between else f"stimuli within {groups}"

    def resampled(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """Draw bootstrap samples, (sample, stimulus) how often each was drawn.

        Those of fewer than three different groups (stimuli, within groups) have no similarity and
        are left out, as in rsatoolbox.
        """
        sizes = self.sizes
        if self.between:
            n = len(sizes)
            drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_samples)
            drawn = drawn[(drawn > 0).sum(axis=1) >= 3]
            return drawn if self.are_alone else drawn[:, self.codes]
        counts = np.empty((n_samples, len(self)), int)
        for group, size in enumerate(sizes):
            of_group = rng.multinomial(size, np.full(size, 1 / size), size=n_samples)
            counts[:, self.codes == group] = of_group
        return counts[(counts > 0).sum(axis=1) >= 3]

    def left_out(self, most: int = 200) -> np.ndarray:
        """Leave out one group (or stimulus, within groups) at a time: (block, stimulus) 0 or 1.

        With more than `most`, as many blocks of random groups are left out instead.
        """
        units = self.codes if self.between else np.arange(len(self))
        n = units.max() + 1
        n_blocks = min(n, most)
        block = np.arange(n) % n_blocks
        if n_blocks < n:
            block = np.random.default_rng(0).permutation(block)
        return (block[units] != np.arange(n_blocks)[:, None]).astype(int)

    def orders(self, n_orders: int, rng: np.random.Generator) -> np.ndarray:
        """Draw permutations of the stimuli, (permutation, stimulus).

        Stimuli are permuted within their group, and whole groups are exchanged with groups of the
        same size (multi-level exchangeability: Winkler et al. 2015); the latter not where they are
        too few (:attr:`between`).
        """
        orders = np.empty((n_orders, len(self)), int)
        labels = self.sizes if self.between else np.arange(len(self.sizes))
        for label in np.unique(labels):
            groups = np.flatnonzero(labels == label)
            members = np.stack([np.flatnonzero(self.codes == g) for g in groups])
            group_order = np.tile(np.arange(len(members)), (n_orders, 1))
            moved = rng.permuted(members[rng.permuted(group_order, axis=1)], axis=2)
            orders[:, members.ravel()] = moved.reshape(n_orders, -1)
        return orders

    def folds(self, n_folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the (train, test) stimuli of every fold, in which groups are whole.

        There are no more folds than groups. Stimuli of a single group, as one of two leaves in
        training, are divided as if each were on its own.
        """
        from sklearn.model_selection import GroupKFold, KFold

        options = {"shuffle": True, "random_state": seed}
        stimuli, n_groups = np.zeros(len(self)), len(self.sizes)
        if self.are_alone or n_groups == 1:
            return list(KFold(n_folds, **options).split(stimuli))
        n_folds = min(n_folds, n_groups)
        return list(GroupKFold(n_folds, **options).split(stimuli, groups=self.codes))
