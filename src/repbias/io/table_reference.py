"""What the rows and columns of every table mean: for docs/file-formats.md and ``repbias show``.

Apart from :mod:`repbias.io.tables`, which every step imports: a better sentence reruns nothing.

    python -m repbias.io.table_reference
"""

from __future__ import annotations

from repbias.io.tables import TABLES

#: What a column means wherever it occurs; of ``x_a`` and ``x_b`` what ``x`` means, of either side.
COLUMNS: dict[str, str] = {
    "experiment": "the experiment; for models of your own, the set of images",
    "condition": "the condition; for models of your own, the network",
    "network": "the network of the condition, by seed",
    "seed": "the network's seed, 0 for models of your own",
    "snapshot": "`initial` (untrained), `mastered` (first evaluation at which all targets were "
    "mastered), `final`, `grid` (a checkpoint between) or `crossing` (a target first reached one "
    "of `checkpoint_accuracies`)",
    "step": "training step",
    "included": "whether the network met the inclusion criterion on the test set",
    "layer": "the analysed layer, where a table does not go through all",
    "feature": "a feature, or a sub-component such as `hard.xor12`",
    "recording": "the recording, as the study names it",
    "subject": "the subject, as the recording names it",
    "region": "the region, as the recording names it",
    "unit": "a recording's unit by name, or a network's by number",
    "rdm_similarity": "how two RDMs are compared, in rsatoolbox's words",
    "n_stimuli": "stimuli that a number rests on",
    "n_subjects": "subjects that a number rests on",
    "ci_low": "lower end of the 95 % interval",
    "ci_high": "upper end of the 95 % interval",
    "interval": "what the interval generalises to",
}
_SIDES = {name: f"of the {side} side" for name, side in (("_a", "first"), ("_b", "second"))}
_CEILING = {
    "ceiling_low": "lower noise ceiling",
    "ceiling_high": "upper noise ceiling",
    "ceiling_convention": "how the ceilings were made",
}
_R_NORMALISED = "r / ceiling"
_AT_EDGE = "share of folds that chose the first or last penalty"

#: Table to what a row of it is, and what its further columns mean.
TABLE_REFERENCE: dict[str, tuple[str, dict[str, str]]] = {
    "learning": (
        "an evaluation of a feature",
        {
            "target": "whether the feature was trained",
            "accuracy": "share correct on the validation set, 0 to 1",
            "mastered": "whether the accuracy meets the criterion",
            "loss": "over all targets, on the validation set",
        },
    ),
    "variance_explained": (
        "a feature or sub-component in a layer at a checkpoint",
        {
            "r2": "M1, the share of the layer's variance on the test set",
            "r2_of_final": "M1b, as a share of the final variance",
        },
    ),
    "variance_decomposition": (
        "a part of the variance of a layer",
        {
            "part": "a feature, `interaction`, `components`, `input` (every bit) or `residual`",
            "share": "of the variance; the parts of a network sum to 1",
        },
    ),
    "behaviour": (
        "an output against a feature",
        {
            "output": "the output unit, by its feature",
            "agreement": "share of test stimuli on which `output` equals the feature's label",
        },
    ),
    "units": (
        "a feature or sub-component in a unit",
        {
            "unit": "its number; units without variance are left out",
            "r2": "share of the unit's variance on the test set",
        },
    ),
    "sparsity": (
        "a feature's distribution over the units",
        {
            "gini": "of the units' R², 0 to 1",
            "participation_ratio": "of the units' R², 1/n to 1",
            "n_units": "units with variance",
        },
    ),
    "components": (
        "a feature and a number of principal components",
        {
            "n_components": "components kept",
            "variance": "their cumulative share",
            "r2": "share of the last kept component's variance that the feature explains",
            "accuracy": "of the network's output of this feature when only they are passed on",
        },
    ),
    "steering": (
        "a steered feature, a steering strength and an output",
        {
            "strength": "multiples of the difference of class means",
            "norm": "length of the step",
            "norm_sd": "the same in standard deviations of the layer's activity",
            "output": "the output unit, by its feature",
            "flips": "share of test stimuli on which `output` changes",
        },
    ),
    "probes": (
        "a decoded feature or sub-component",
        {"probe": "`linear` or `nonlinear`", "accuracy": "on the test set, 0 to 1"},
    ),
    "conflict": (
        "a pair of targets, `feature_a` and `feature_b`",
        {
            "follows_a": "of the test stimuli on which the two differ, the share that a "
            "classifier, trained where they agree, assigns by `feature_a`"
        },
    ),
    "encryption": (
        "a measure of an encrypted system",
        {
            "system": "the system",
            "seed": "the key",
            "measure": "`task_accuracy`, `linear_probe`, `nonlinear_probe` or `r2`, by feature; "
            "`rsa_with_plaintext` or `rsa_between_keys`",
            "value": "of the measure",
        },
    ),
    "similarity": (
        "a pair of networks and a measure",
        {
            "metric": "the measure; in `ridge` and `rsa_reweighted`, a predicts b",
            "similarity": "by the measure",
            "null_mean": "mean with the stimuli of one side permuted",
            "null_high": "95th percentile with the stimuli of one side permuted",
        },
    ),
    "identification": (
        "a network measured with noise, and a measure",
        {
            "metric": "the measure",
            "reliability_level": "of the network's units",
            "left_out": "a seed that is no candidate, -1 for none",
            "top1": "probability that the measure names the candidate of the network's own "
            "condition",
            "chance": "that of a guess",
        },
    ),
    "rsa_models": (
        "a pair of networks and layers at a snapshot",
        {"similarity": "of their RDMs"},
    ),
    "rsa_recordings": (
        "a layer against a recording",
        {"similarity": "of RDMs, mean over subjects", **_CEILING},
    ),
    "rsa_fitted": (
        "a fitted model against a recording",
        {
            "model": "`weighted` (non-negative combination of all layers' RDMs), `reweighted` (the "
            "units of one layer are reweighted) or `fixed`, in the same folds",
            "layer": "`all layers` for `weighted`",
            "similarity": "on left-out stimuli",
            "n_folds": "folds of the stimuli",
        },
    ),
    "rsa_tests": (
        "a test of a model: a layer of a condition at a time, mean over its included networks; or "
        "of a pair of them, side b",
        {
            "test": "`zero` (similarity above 0), `ceiling` (below the lower noise ceiling), "
            "`pair` (two models differ), `permutation` (any relation; these stimuli and subjects "
            "only)",
            "n_networks_a": "included networks of the first side",
            "n_networks_b": "included networks of the second side",
            "effect": "what is tested, in units of the similarity",
            "p": "of the test",
            "p_fdr": "Benjamini-Hochberg over the tests of a kind, by recording and RDM "
            "similarity (of more than 60 models only pairs of one layer or one condition are "
            "tested)",
            "method": "of the test",
            "generalises_to": "to what the test generalises",
            "warning": "where the method is known not to hold its level",
        },
    ),
    "rsa_times": (
        "a layer against a time bin of a recording",
        {
            "time_s": "the centre of the bin, in seconds",
            "similarity": "of RDMs, mean over subjects",
            **_CEILING,
        },
    ),
    "rsa_between_recordings": (
        "a pair of recordings of the same stimuli",
        {
            "similarity": "of their RDMs",
            "interval": "what it generalises to, and `mean over pairs of subjects` or `mean RDM` "
            "(the mean over subjects is taken first)",
        },
    ),
    "encoding": (
        "a layer against a unit",
        {
            "r": "held-out correlation, mean over folds",
            "r2": "held-out, over all folds",
            "p": "permutation of the responses over stimuli, fitted anew with the same penalties",
            "p_fdr": "Benjamini-Hochberg over the units of a layer of a network",
            "ceiling": "highest r that a perfect model reaches, empty where unavailable",
            "ceiling_convention": "how the ceiling was made",
            "r_normalised": _R_NORMALISED,
            "log10_alpha": "penalty, mean over folds, relative to the mean squared norm of a "
            "centred pattern",
            "alpha_at_edge": _AT_EDGE,
        },
    ),
    "encoding_regions": (
        "a layer against a region",
        {
            "n_units": "units of the region",
            "n_units_with_ceiling": "units whose ceiling is known",
            "r": "held-out correlation, mean over units, then over subjects",
            "ceiling": "mean over the `n_units_with_ceiling`",
            "r_normalised": _R_NORMALISED,
            "share_significant": "units with `p_fdr` below .05",
            "alpha_at_edge": _AT_EDGE,
        },
    ),
    "variance_partition": (
        "a part of a joint model's prediction of a unit",
        {
            "model": "its name in the configuration",
            "part": "`all` bands; `alone B`; `unique B`, all minus all but B; `shared`, all minus "
            "the unique parts; `split B`, which sum to all; `together B + C` of three bands",
            "r2": "held-out, never clipped, so it may be negative",
        },
    ),
    "quality": (
        "a measure of a recording, or of one of its subjects and regions",
        {
            "measure": "what is measured",
            "value": "of the measure",
            "method": "how it is measured",
        },
    ),
    "references": (
        "a published number",
        {
            "measure": "what is measured",
            "method": "how it is measured",
            "value": "measured here",
            "published": "as the configuration says",
            "difference": "measured here, minus published",
            "source": "of the published number",
        },
    ),
    "reliability": (
        "a unit",
        {
            "repeats": "mean per stimulus",
            "split_half": "correlation of random halves",
            "reliability": "of the average over all repeats",
            "ceiling": "highest r that a perfect model reaches",
            "convention": "how the ceiling was made",
        },
    ),
    "model_recovery": (
        "an included network of the generating condition, and a method",
        {
            "method": "`rsa` or `encoding`",
            "measure": "the RDM similarity, or r",
            "is_generator": "whether this network generated the recording",
            "true_layer": "the layer that generated the recording",
            "named_layer": "the layer that scores best",
            "correct": "whether they are the same",
            "score_true": "of the true layer",
            "score_named": "of the named layer",
            "margin": "of the named layer over the next",
            "chance": "that of a guess",
        },
    ),
    "claims": (
        "a claim, in a variant, at a time",
        {
            "claim": "the claim",
            "variant": "its variant in this study, empty for none",
            "snapshot": "`final` or `mastered`",
            "statement": "in words",
            "verdict": "`supported`, `not supported` or `inconclusive`",
            "effect": "positive in the claimed direction, in units of `measure`",
            "measure": "of the effect",
            "n_included": "networks that it rests on",
            "n_excluded": "networks that missed the inclusion criterion",
            "reference": "in the literature",
            "provenance": "of the claim: the literature's, never ours",
        },
    ),
}


def column_meaning(table: str, column: str) -> str:
    """Return what a column of a table means.

    Examples
    --------
    >>> column_meaning("units", "r2")
    "share of the unit's variance on the test set"
    >>> column_meaning("rsa_models", "step_b")
    'training step, of the second side'
    """
    own = TABLE_REFERENCE[table][1]
    if column in own:
        return own[column]
    if column in COLUMNS:
        return COLUMNS[column]
    return f"{COLUMNS[column[:-2]]}, {_SIDES[column[-2:]]}"


def markdown() -> str:
    """Return the two lists of docs/file-formats.md: columns that recur, and every table."""
    lines = ["Columns that recur:", "", "| column | meaning |", "|---|---|"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in COLUMNS.items()]
    sides = "`_a` and `_b` at the end of a column's name say which side of a pair it is about."
    lines += ["", sides, "", "| table | a row is | columns |", "|---|---|---|"]
    for name, columns in TABLES.items():
        row, own = TABLE_REFERENCE[name]
        told = [f"`{c}`: {own[c]}" if c in own else f"`{c}`" for c in columns]
        lines.append(f"| `{name}` | {row} | {'; '.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
