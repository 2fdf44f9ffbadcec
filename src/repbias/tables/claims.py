"""The table of published claims and of questions."""

from repbias.tables.row import Row


class Claims(Row):
    """A claim, in a variant, at a snapshot."""

    claim: str
    """The claim, such as `C1`."""
    variant: str
    """Its variant in this study; empty for none."""
    snapshot: str
    """`final`; `mastered`; or `matched`: each network when it first reached the validation loss
    that all networks of the claim reach."""
    statement: str
    """The claim in words."""
    verdict: str
    """`supported`, `not supported` or `inconclusive`."""
    effect: float
    """The effect in units of `measure`, positive in the claimed direction."""
    ci_low: float
    """Lower end of the 95 % interval, which also holds for skewed and binary values
    (docs/verdicts.md); empty where nothing can be decided."""
    ci_high: float
    """Upper end of this interval."""
    p: float
    """p value of the verdict, below .05 exactly where the interval decides; empty where nothing was
    tested."""
    p_fdr: float
    """`p`, corrected over all tested rows of the table (Benjamini & Yekutieli)."""
    remark: str
    """What limits the verdict, and what belongs beside the effect."""
    measure: str
    """What the effect is measured in."""
    n_included: int
    """Number of networks that the effect rests on; of a question, of seeds or subjects where those
    are what is independent, which `remark` says."""
    n_excluded: int
    """Number of these left out: they missed the inclusion criterion, never mastered all targets
    (at `mastered`), or have no value of what is measured."""
    reference: str
    """The value in the literature."""
    provenance: str
    """Where the claim comes from."""
