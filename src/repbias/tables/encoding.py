"""Tables of encoding models."""

from repbias.tables.row import Row


class Encoding(Row):
    """A layer against a unit of a recording."""

    recording: str
    subject: str
    region: str
    unit: str
    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    step: int
    included: bool
    layer: str
    r: float
    """Held-out correlation, mean over folds."""
    r_error: float
    """Standard error of the mean `r` of the units of the same subject and region, over stimuli."""
    r2: float
    """Held-out R², over all folds."""
    reverse_r2: float
    """Held-out R² of the layer, over its principal components, predicted from all units of the same
    subject and region, in the same folds."""
    p: float
    """p value: the unit's responses are permuted over stimuli and fitted again with the same
    penalties."""
    p_fdr: float
    """p value with the false discovery rate controlled (Benjamini-Hochberg) over the units, for
    each layer of each network."""
    ceiling: float
    """Highest `r` that a perfect model reaches; empty where unknown."""
    ceiling_convention: str
    r_normalised: float
    log10_alpha: float
    """Penalty, mean over folds, relative to the mean squared norm of a centred pattern."""
    alpha_at_edge: float
    n_stimuli: int


class EncodingRegions(Row):
    """A layer against a region of a recording."""

    recording: str
    region: str
    experiment: str
    condition: str
    network: str
    seed: int
    snapshot: str
    step: int
    included: bool
    layer: str
    n_subjects: int
    n_units: int
    """Number of units of the region."""
    n_units_with_ceiling: int
    """Number of units whose ceiling is known."""
    r: float
    """Held-out correlation, mean over units, then over subjects."""
    ci_low: float
    ci_high: float
    interval: str
    r2: float
    """Held-out R², mean over units, then over subjects."""
    reverse_r2: float
    """Held-out R² of the layer predicted from the region, mean over subjects."""
    smaller_r2: float
    """The smaller of `r2` and `reverse_r2`: high for a layer that is like the region, not for one
    from which the region could be computed."""
    ceiling: float
    """Ceiling, mean over the `n_units_with_ceiling`."""
    r_normalised: float
    share_significant: float
    """Share of units with `p_fdr` below .05."""
    alpha_at_edge: float


class VariancePartition(Row):
    """A part of a joint model's prediction of a unit."""

    recording: str
    subject: str
    region: str
    unit: str
    experiment: str
    model: str
    """The joint model, as the configuration names it."""
    network: str
    snapshot: str
    part: str
    """`all` bands; `alone B`; `unique B`, all minus all but B; `shared`, all minus the unique
    parts; `split B`, which sum to all; `together B + C` of three bands."""
    r2: float
    """Held-out R²; never clipped, so it may be negative."""
    r2_error: float
    """Standard error of the mean `r2` of the units of the same subject and region, over stimuli."""
    n_stimuli: int


class VariancePartitionRegions(Row):
    """A part of a joint model's prediction of a region of a recording."""

    recording: str
    region: str
    experiment: str
    model: str
    """The joint model, as the configuration names it."""
    network: str
    snapshot: str
    part: str
    """As in `variance_partition`."""
    n_subjects: int
    n_units: int
    """Number of units of the region."""
    r2: float
    """Held-out R², mean over units, then over subjects."""
    ci_low: float
    ci_high: float
    interval: str
