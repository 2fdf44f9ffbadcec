"""Claims about similarity between networks, and what it says about their computations."""

from __future__ import annotations

from repbias.claims.evidence import Evidence, Result, claim, contrast_of_similarities, mean_of

P3 = "Lampinen, Chan, Li & Hermann 2026 [paper]"
OPEN = "open question; the design is ours"


@claim(
    "C19",
    "Two networks of the same complex task are less similar (RSA) than either is to a network "
    "of the easy task alone",
    {"easy": "condition", "both": "condition"},
    reference="direction only",
    provenance=P3,
    measure="difference of RDM similarity",
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
)
def complex_less_similar(evidence: Evidence, easy: str, both: str) -> Result:
    """Effect: mean similarity easy-both minus mean similarity both-both."""
    return contrast_of_similarities(evidence, (easy, both), (both, both))


@claim(
    "C20",
    "Networks of the hard task are less similar (RSA) to each other than networks of the easy "
    "task are",
    {"easy": "condition", "hard": "condition"},
    reference="direction only",
    provenance=f"Hermann & Lampinen 2020 [paper]; {P3}",
    measure="difference of RDM similarity",
    tables=("rsa_models", "variance_explained"),
    same_stimuli=True,
)
def hard_less_similar(evidence: Evidence, easy: str, hard: str) -> Result:
    """Effect: mean similarity easy-easy minus mean similarity hard-hard."""
    return contrast_of_similarities(evidence, (easy, easy), (hard, hard))


@claim(
    "C27",
    "RSA names, for a network that computes both features, the candidate that does the same "
    "(among easy, hard, both and untrained; without noise)",
    {"condition": "condition"},
    reference="identification by similarity often fails; no number",
    provenance="Han et al. 2023; the design is ours",
    measure="top-1 rate minus chance",
    tables=("identification",),
)
def rsa_identifies(evidence: Evidence, condition: str) -> Result:
    """Effect: mean over targets of the probability that RSA names the right class, minus chance."""
    rows = evidence.rows("identification", condition)
    rows = rows[(rows["metric"] == "rsa") & (rows["reliability_level"] == 1)]
    return mean_of(evidence, (rows["top1"] - rows["chance"]).to_numpy(), condition)


def _repair(evidence: Evidence, condition: str, metric: str) -> Result:
    """Mean over targets and noise levels of the repair's top-1 rate minus that of RSA."""
    rows = evidence.rows("identification", condition)
    means = rows.groupby(["seed", "metric"])["top1"].mean().unstack()
    if not {metric, "rsa"} <= set(means):
        return mean_of(evidence, [], condition)
    return mean_of(evidence, (means[metric] - means["rsa"]).to_numpy(), condition)


def _claim_repair(name: str, metric: str, words: str) -> None:
    @claim(
        name,
        f"{words} names the right candidate more often than plain RSA (mean over noise levels)",
        {"condition": "condition"},
        reference="no number",
        provenance=OPEN,
        measure="difference of top-1 rates",
        tables=("identification",),
    )
    def repair(evidence: Evidence, condition: str) -> Result:
        return _repair(evidence, condition, metric)


_claim_repair("C28", "rsa_reweighted", "Feature-reweighted RSA")
_claim_repair("C28b", "procrustes", "Procrustes similarity")
_claim_repair("C28c", "rsa_whitened", "RSA with whitened RDMs")
_claim_repair("C28d", "rsa_residualised", "RSA after the easy feature is regressed out")
