"""Strings of bits with statistically independent features and duplicate-free splits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from repbias.spec import RepbiasError
from repbias.stimuli.features import FUNCTIONS
from repbias.stimuli.spec import Bits
from repbias.store import Stimuli

#: Strings up to this length are enumerated, longer ones are drawn.
_ENUMERATE_UP_TO = 18
#: Draws of a batch before giving up on a combination of labels.
_MAX_DRAWS = 500


def generate(spec: Bits) -> Stimuli:
    """Generate training, validation and test stimuli.

    Every combination of labels occurs equally often in every split (up to rounding), so the
    features are independent and balanced by construction; no stimulus occurs twice. Any prefix
    of a split is balanced too, so an analysis of the first n stimuli is as well.

    Parameters
    ----------
    spec
        Features, sizes of the splits, coding and seed.

    Returns
    -------
    Stimuli
        Inputs (stimulus, bit) float32, labels, ids (the bits in hexadecimal) and the audit.

    Raises
    ------
    RepbiasError
        If a combination of labels cannot be found, or the audit fails.
    """
    rng = np.random.default_rng(spec.seed)
    names = list(spec.features)
    splits = {
        "train": spec.n_train,
        "validation": spec.n_validation,
        "test": spec.n_test,
    }
    n_cells = 2 ** len(names)
    # quota[s, c]: stimuli of label combination c in split s; a remainder goes to random cells.
    quota = np.array([_shares(n, n_cells, rng) for n in splits.values()])
    bits, cells = _collect(spec, quota.sum(axis=0), rng)

    rows, split = [], []
    for cell in range(n_cells):
        members = np.flatnonzero(cells == cell)
        bounds = np.cumsum(quota[:, cell])
        for name, start, stop in zip(splits, bounds - quota[:, cell], bounds, strict=True):
            rows.append(members[start:stop])
            split += [name] * (stop - start)
    # Round-robin over the cells: the i-th stimuli of all combinations, then the (i+1)-th.
    turn = np.concatenate([np.arange(len(r)) for r in rows])
    split_order = {name: i for i, name in enumerate(splits)}
    order = np.lexsort([turn, [split_order[s] for s in split]])
    bits = bits[np.concatenate(rows)[order]]
    split_array = np.array(split)[order]

    labels = compute_labels(spec, bits)
    stimuli = Stimuli(
        inputs=_encode(spec, bits),
        ids=identifiers(bits),
        split=split_array,
        features=names,
        labels=labels,
    )
    stimuli.audit.update(audit(stimuli))
    return stimuli


def compute_labels(spec: Bits, bits: np.ndarray) -> np.ndarray:
    """Compute the label of every feature.

    Parameters
    ----------
    spec
        Names the features and their domains, in the order of the input.
    bits
        Bits of shape (stimulus, bit), uint8 in {0, 1}.

    Returns
    -------
    numpy.ndarray
        Labels of shape (stimulus, feature), uint8 in {0, 1}.
    """
    columns, start = [], 0
    for feature in spec.features.values():
        domain = bits[:, start : start + feature.reads]
        # A random formula is part of the task: it depends on the stimuli's seed only.
        formula = np.random.default_rng([spec.seed, start])
        columns.append(FUNCTIONS[feature.function].compute(domain, formula))
        start += feature.bits
    return np.stack(columns, axis=1).astype(np.uint8)


def identifiers(bits: np.ndarray) -> np.ndarray:
    """Return each string of bits in hexadecimal; the same bits always have the same id."""
    return np.array([row.tobytes().hex() for row in np.packbits(bits, axis=1)])


def audit(stimuli: Stimuli) -> dict[str, dict[str, float]]:
    """Check that features are independent and that no stimulus occurs twice.

    Returns
    -------
    dict
        For every split: its size, each feature's prevalence, and the largest absolute phi
        coefficient between two features.

    Raises
    ------
    RepbiasError
        If a stimulus occurs twice, a feature is constant, or a correlation exceeds five
        standard errors of independent features (5 / sqrt(n)), or one half.
    """
    if len(np.unique(stimuli.ids)) != len(stimuli.ids):
        raise RepbiasError("the independence audit failed: a stimulus occurs twice")
    report: dict[str, dict[str, float]] = {}
    for split in ("train", "validation", "test"):
        labels = stimuli.labels[stimuli.split == split].astype(float)
        prevalence = labels.mean(axis=0)
        for name, p in zip(stimuli.features, prevalence, strict=True):
            if p in (0, 1):
                raise RepbiasError(
                    f"the independence audit failed: '{name}' is constant in {split}"
                )
        phi = np.atleast_2d(np.corrcoef(labels, rowvar=False)) - np.eye(labels.shape[1])
        worst = float(np.abs(phi).max())
        allowed = min(5 / np.sqrt(len(labels)), 0.5)
        if worst > allowed:
            i, j = np.unravel_index(np.abs(phi).argmax(), phi.shape)
            raise RepbiasError(
                f"the independence audit failed: '{stimuli.features[i]}' and "
                f"'{stimuli.features[j]}' correlate with phi = {phi[i, j]:.3f} in {split} "
                f"(at most {allowed:.3f} allowed)"
            )
        report[split] = {
            "n": float(len(labels)),
            "max_abs_phi": worst,
            **{
                f"prevalence_{n}": float(p)
                for n, p in zip(stimuli.features, prevalence, strict=True)
            },
        }
    return report


def _shares(n: int, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    shares = np.full(n_cells, n // n_cells)
    shares[rng.permutation(n_cells)[: n % n_cells]] += 1
    return shares


def _collect(
    spec: Bits, wanted: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Find `wanted[c]` different strings for every combination c of labels."""
    weights = 2 ** np.arange(len(spec.features))
    found: list[np.ndarray] = []
    found_cells: list[np.ndarray] = []
    missing = wanted.copy()
    seen: set[str] = set()
    for bits in _candidates(spec, int(wanted.sum()), rng):
        ids = identifiers(bits)
        fresh = np.array([i not in seen for i in ids])
        fresh[np.setdiff1d(np.arange(len(ids)), np.unique(ids, return_index=True)[1])] = False
        cells = compute_labels(spec, bits).astype(int) @ weights
        # The first `missing` fresh strings of each cell.
        take = np.concatenate(
            [np.flatnonzero(fresh & (cells == c))[: missing[c]] for c in range(len(wanted))]
        )
        seen.update(ids[take])
        found.append(bits[take])
        found_cells.append(cells[take])
        missing -= np.bincount(cells[take], minlength=len(wanted))
        if not missing.any():
            return np.concatenate(found), np.concatenate(found_cells)
    cell = int(missing.argmax())
    combination = ", ".join(f"{n}={cell >> i & 1}" for i, n in enumerate(spec.features))
    raise RepbiasError(
        f"stimuli: not enough different stimuli with {combination}: found "
        f"{wanted[cell] - missing[cell]} of {wanted[cell]}; add noise_bits, make the domains "
        "larger, choose a less lopsided function, or ask for fewer stimuli"
    )


def _candidates(spec: Bits, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    width = spec.n_inputs
    if width <= _ENUMERATE_UP_TO:
        every = rng.permutation(2**width)
        yield (every[:, None] >> np.arange(width) & 1).astype(np.uint8)
        return
    for _ in range(_MAX_DRAWS):
        yield rng.integers(0, 2, size=(max(2 * n, 1024), width), dtype=np.uint8)


def _encode(spec: Bits, bits: np.ndarray) -> np.ndarray:
    values = bits.astype(np.float32)
    if spec.coding == "signed":
        values = 2 * values - 1
    gains = [np.full(f.bits, f.gain, np.float32) for f in spec.features.values()]
    gain = np.concatenate([*gains, np.ones(spec.noise_bits, np.float32)])
    return values * gain
