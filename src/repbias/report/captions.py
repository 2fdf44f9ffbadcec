"""The figures of the report: their titles, captions, and the tables that they need.

Kept apart from the drawing, so that planning a run does not import matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Caption:
    """What the report writes around a figure.

    Attributes
    ----------
    section : the section of the report that it belongs to; a section's figures are consecutive
    title, text : heading and caption
    needs : tables without which the figure is not drawn
    """

    section: str
    title: str
    text: str
    needs: tuple[str, ...]


#: Every figure by name, in the order of the report; :mod:`repbias.report.figures` draws them.
FIGURES: dict[str, Caption] = {
    "verdicts": Caption(
        "Claims",
        "Claims at a glance",
        "Verdict, effect and 95 % interval of every claim in every variant, when the networks "
        "first mastered their targets, at the end of training and, for differences that a setting "
        "makes, at equal validation loss. Where all cells of a claim have "
        "the same colour, its verdict is the same in every variant and at both times; effects may "
        "still differ in size and, where a difference in either direction is claimed, in sign. "
        "Of a trend, the effect is the slope times the range of its axis, which stands behind the "
        "claim (the table has the slope). "
        "White: not decided at this time.",
        ("claims",),
    ),
    "learning": Caption(
        "Learning and bias",
        "Learning and representation",
        "Top: validation accuracy of every network. Bottom: variance in the analysed layer that "
        "each feature explains, as a share of the total variance at the end of training (M1b), so "
        "that all points of a curve share one scale. A line ends where training stopped. Of "
        "experiments with more than 24 conditions, the first four are shown.",
        ("learning", "variance_explained"),
    ),
    "variance": Caption(
        "Learning and bias",
        "Variance explained by feature",
        "Variance of the analysed layer that each feature explains on test stimuli (R², M1): "
        "untrained, when a network first mastered all of its targets, and at the end of training. "
        "Dots: networks that met the inclusion criterion. Circles: their means, with 95 % "
        "bootstrap intervals. "
        "Lighter shades: sub-components of a feature. Of experiments with more than 24 conditions, "
        "the first four are shown.",
        ("variance_explained",),
    ),
    "sweeps": Caption(
        "Learning and bias",
        "What changes the bias",
        "Variance of the analysed layer that each feature explains (R², M1) in every condition of "
        "every experiment that varies something, in up to 24 conditions, at first mastery and at "
        "the end of training. "
        "Means over networks that met the inclusion criterion, with 95 % bootstrap intervals "
        "(R² is at most 1, and so are they; of few networks, their lower ends may lie left of the "
        "panel). Right: how many networks were included, out of how many.",
        ("variance_explained", "learning"),
    ),
    "order": Caption(
        "Learning and bias",
        "The order of reports",
        "Top: how much R² of a feature in the analysed layer falls from one answer of a "
        "transformer to the next (the slope on the place of the answer, with a mean of its own for "
        "each feature), at the end of training. Dots: tasks. Black: their mean, with its 95 % "
        "interval; tasks are the units of claim C8. Below, for every experiment: R² by place at "
        "the end, without the features' means (grey: tasks), R² untrained, when the network first "
        "mastered its targets and at the end, and validation accuracy by training step, means over "
        "networks and features.",
        ("variance_explained", "learning"),
    ),
    "variance_decomposition": Caption(
        "Learning and bias",
        "Variance decomposition",
        "How the variance of the analysed layer divides into the features, their interactions, "
        "sub-components of the features (such as inner XORs), the input (its bits, or what varies "
        "beside the features, such as position), and a residual. "
        "Means over networks that met the inclusion criterion. Shares sum to 1; negative "
        "estimates are drawn as 0, so a bar may be longer than 1.",
        ("variance_decomposition",),
    ),
    "units": Caption(
        "Feature codes",
        "Codes over units",
        "Top: share of the units in the analysed layer for which a feature's R² exceeds the value "
        "on the horizontal axis, at the end of training. Thin lines: networks that met the "
        "inclusion criterion; thick lines: their means. Bottom: Gini coefficient and participation "
        "ratio of R² over units, means with 95 % intervals.",
        ("units", "sparsity"),
    ),
    "components": Caption(
        "Feature codes",
        "Principal components",
        "At the end of training. Left of each pair: accuracy of the network's own outputs for its "
        "targets when only the first k principal components of the analysed layer are passed on. "
        "Right: share of each component's variance that a feature explains (R²). Means over "
        "networks that met the inclusion criterion; bands: 95 % intervals. Dotted: chance.",
        ("components",),
    ),
    "encryption": Caption(
        "Feature codes",
        "Computing under encryption",
        "Systems that compute a feature from encrypted inputs: task accuracy after decryption, "
        "accuracy of probes on their activations, variance explained, and the correlation of "
        "their RDM with that of the plaintext and with that under another key. Small dots: keys; "
        "large dots: means over keys, with 95 % intervals.",
        ("encryption",),
    ),
    "steering": Caption(
        "Use of features",
        "Steering",
        "The representation of every test stimulus is moved along the difference of a feature's "
        "class means, towards the other class (of several, each in turn); a steering strength of 1 "
        "is the whole difference. "
        "Shown is the share of stimuli on which the outputs for the network's targets flip, "
        "against steering strength (left of each pair) and against the mean length of the step in "
        "standard deviations of the layer's activity (right), at the end of training. Colour: the "
        "steered feature. Bands: 95 % intervals over networks that met the inclusion criterion.",
        ("steering",),
    ),
    "probes": Caption(
        "Use of features",
        "Decoding",
        "Top: accuracy of linear (left of each pair) and nonlinear probes on test stimuli, by "
        "layer. Bottom: which of two features a classifier follows where they disagree, after it "
        "was trained on stimuli on which they agree; of more than two classes, stimuli classified "
        "by neither count half. Means over networks that met the inclusion "
        "criterion, with 95 % intervals. Dotted: chance.",
        ("probes",),
    ),
    "behaviour": Caption(
        "Use of features",
        "What the outputs follow",
        "How often each trained output agrees with each feature's label on test stimuli, on which "
        "the features are independent. For a label that several features predicted during "
        "training, this shows which feature wins. Means over networks that met the inclusion "
        "criterion, with 95 % intervals. Dotted: chance.",
        ("behaviour",),
    ),
    "rsa_models": Caption(
        "Network comparisons",
        "Networks compared with each other",
        "RDM similarity (the first of geometry.rdm_similarities) between the analysed layers of "
        "all networks, by condition and stage of training; for entries of networks, between "
        "all of their layers (of several networks, the mean over those that met the inclusion "
        "criterion). Networks with the same seed start from the same weights, if their "
        "architecture is the same, and have the same training set, if their stimuli are. Grey: not "
        "compared, such as a network with itself.",
        ("rsa_models",),
    ),
    "similarity": Caption(
        "Network comparisons",
        "Similarity measures compared",
        "Mean similarity between the included networks of two conditions, by every measure, with "
        "95 % bootstrap intervals over seeds (from three networks on); networks with the same seed "
        "are not compared. Grey: 95th percentile of the similarity after permuting stimuli. "
        "Crosses: predictions from each feature's share of variance (R² at the end of training) "
        "alone. For linear CKA, features are taken to be one-dimensional and orthogonal, and the "
        "remaining variance to be spread over so many dimensions that it contributes nothing. For "
        "regression, the prediction is a lower bound: the variance of the features that the "
        "predicting condition represents (R² above .05). With many conditions, only the means at "
        "the end of training are drawn, from row to column; intervals and predictions are in the "
        "data.",
        ("similarity", "variance_explained"),
    ),
    "identification": Caption(
        "Network comparisons",
        "Which measure identifies the same computation?",
        "A network that computes all features is measured with noise; the candidates are one "
        "network from each condition. Shown is how often each measure gives the highest similarity "
        "to the candidate that computes the same, against the reliability of the measured units, "
        "with 95 % jackknife intervals over seeds. Top: plain RSA and the variants meant to "
        "improve on it; bottom: plain RSA and other measures. Dotted: chance.",
        ("identification",),
    ),
    "audit": Caption(
        "Scores by feature",
        "Scores, divided among features",
        "Similarity of every layer with every recording: the cosine of kernels (CKA), corrected "
        "for noise and for the chance similarity of two kernels of few stimuli. Colours: how "
        "much of it each feature of these stimuli accounts for; grey (rest): what no known "
        "feature does. Parts below zero lower a score. Means over networks that met the "
        "inclusion criterion, at the end of training. Hatched: there is no score to divide, as "
        "in most networks it is not above chance when stimuli are permuted, or not reliably "
        "above 0 over repeats.",
        ("audit", "audit_remaining"),
    ),
    "audit_range": Caption(
        "Scores by feature",
        "How far scores could have moved",
        "Scores of every model's most similar layer, and the range that re-weighting its "
        "features could reach, which changes nothing that a noiseless linear readout can decode:"
        " its ends are approached as all other weights go to 0. Ticks: the score of a model with"
        " only this feature (or only the rest) left, of features that it has.",
        ("audit_range",),
    ),
    "audit_shares": Caption(
        "Scores by feature",
        "Shares of a score",
        "Shares of the score of every condition's analysed layer, or a model's last one, and of "
        "every feature space and model RDM: every network, their mean, and the mean of their 95 % "
        "intervals. What the intervals are about stands in the table audit. Shares are of squared "
        "covariance: a feature with 40 % of the variance in few dimensions can have most of a "
        "score.",
        ("audit", "audit_remaining"),
    ),
    "energy_law": Caption(
        "Scores by feature",
        "Shares that variance alone predicts",
        "Shares of all scores that are above chance, at the end of training, against what follows "
        "from how much variance a feature explains on both sides and over how many dimensions it "
        "spreads. On the line, the score says nothing about a feature but its variance; off the "
        "line, features share directions, or a feature's categories are arranged differently.",
        ("audit", "audit_remaining"),
    ),
    "audit_networks": Caption(
        "Scores by feature",
        "Similarity of networks, divided among features",
        "How similar the networks of every two conditions are at the end of training, and which "
        "part of it is which feature. Means over pairs of different networks.",
        ("audit_networks",),
    ),
    "energy_law_networks": Caption(
        "Scores by feature",
        "Similarity of networks that variance alone predicts",
        "Shares of the similarity of every two conditions' networks against what follows from how "
        "much variance a feature explains in either and over how many dimensions it spreads. R² is "
        "the share of their variance that this explains; nothing was fitted, so it is that of a "
        "prediction in every experiment, whatever its architecture.",
        ("audit_networks",),
    ),
    "recovery": Caption(
        "Recovery at this noise",
        "Would this study name the right model?",
        "Brains were simulated from every layer of every model, with the units, repeats and noise "
        "of the recording. Rows: what they are of; columns: what they are named, in percent. "
        "A study that names the right one has all on the diagonal; models with as much beside it "
        "cannot be told apart by this recording. Named is the model with the highest score in any "
        "layer, or whose simulated brains have the most similar scores with all layers (matched "
        "profile). Last row: the recording itself, compared with one network of every model at a "
        "time. What this means and does not mean is in docs/recovery.md.",
        ("recovery",),
    ),
    "recovery_layers": Caption(
        "Recovery at this noise",
        "Would it name the right layer?",
        "The same for the layers of every model, each model for itself. The layer with the highest "
        "encoding score is often one before the true layer. Last row: the recording itself.",
        ("recovery",),
    ),
    "quality": Caption(
        "Recordings",
        "Data quality",
        "Reliability of the units (of the mean over repeats; split-half, Spearman-Brown "
        "corrected), the highest correlation with each unit that a perfect model can reach, and "
        "the number of repeats per stimulus. Units whose reliability is indistinguishable from "
        "chance have no ceiling. Colours: regions, or subjects.",
        ("reliability", "quality"),
    ),
    "model_comparison": Caption(
        "Models and recordings",
        "Model comparison",
        "RDM similarity with its 95 % interval, for every layer of every model, or for one layer "
        "chosen beforehand (the analysed or last one) where there are too many. Filled dots are "
        "significantly above 0, open dots are not; a triangle at the right edge marks a model "
        "significantly below the lower bound of the noise ceiling (grey band). Matrices show the "
        "differences between models, row minus column; dots mark significant ones. Significant: "
        "p < .05, corrected for the false discovery rate. Grey: not tested. With fewer than three "
        "subjects, no model is tested against the ceiling.",
        ("rsa_tests", "rsa_recordings"),
    ),
    "rsa_recordings": Caption(
        "Models and recordings",
        "Networks compared with recordings: RSA",
        "RDM similarity, mean over subjects, of networks that met the inclusion criterion. Lines: "
        "means over networks (bars of spaces of features, which have no order); small dots: single "
        "networks. Of a simulated recording, stars: the network that generated it; vertical line: "
        "the layer. Where a condition has one network, thin lines are its 95 % interval (the table "
        "says what it generalises to). Grey band: noise ceiling, where it could be estimated.",
        ("rsa_recordings",),
    ),
    "rsa_fitted": Caption(
        "Models and recordings",
        "Fixed and fitted models",
        "RDM similarity of models as they are (fixed), and of models fitted to the recording. A "
        "model is fitted to other stimuli (and, with three or more subjects, to other subjects) "
        "than those on which its similarity is measured, so a fitted model may score below a fixed "
        "one. Means over networks that met the inclusion criterion, with 95 % intervals.",
        ("rsa_fitted",),
    ),
    "rsa_times": Caption(
        "Models and recordings",
        "Similarity over time",
        "RDM similarity to the recording in every time bin. Means over networks that met the "
        "inclusion criterion; bands: 95 % intervals of single time bins, not corrected for the "
        "number of bins. Lighter shades: earlier layers. Grey: noise ceiling, where it could be "
        "estimated.",
        ("rsa_times",),
    ),
    "encoding": Caption(
        "Models and recordings",
        "Networks compared with recordings: encoding",
        "Correlation between the responses to held-out stimuli and the predictions of ridge "
        "regression (nested cross-validation), not divided by the ceiling. Lines, dots and marks "
        "as for RSA; a panel for each region. Dotted: mean ceiling of the units that have one. "
        "Bars, for single networks: 95 % intervals, over subjects or, if there is one, over "
        "stimuli. The layer that predicts best is biased towards layers before the one that "
        "generates the responses, as these hold what it computes from: it identifies no layer.",
        ("encoding_regions", "encoding"),
    ),
    "both_ways": Caption(
        "Models and recordings",
        "Encoding in both directions",
        "Held-out R² of a region's units predicted from a layer (mean over units), of the layer "
        "predicted from the region (over the layer's principal components), in the same folds, and "
        "the smaller of the two. Many layers predict a region that can be computed from them; of "
        "those, one that the region predicts as well is more like it. Noise lowers both.",
        ("encoding_regions", "encoding"),
    ),
    "encoding_regions": Caption(
        "Models and recordings",
        "Encoding by region",
        "Held-out correlation by region and layer: means over units and over networks that met the "
        "inclusion criterion, with 95 % intervals. Then its distribution over all units, raw and "
        "divided by each unit's ceiling, for one layer of every model (the analysed or last one; "
        "mean over networks; values out of range are in the outermost bins). Significant: p < .05, "
        "corrected for the false discovery rate. The scores of single units are in "
        "tables/encoding.csv.",
        ("encoding_regions", "encoding"),
    ),
    "variance_partition": Caption(
        "Models and recordings",
        "Variance partitioning",
        "Held-out R² of the parts of what joint models explain: all of it; what each member "
        "explains alone, or together with one other; what is unique to a member (lost without it); "
        "what is shared (all minus the unique parts); and how the joint prediction's R² is split "
        "among its members. As each fit is an estimate of its own, what members explain alone or "
        "together may exceed all of it. Means over units, then over subjects. Bars, for single "
        "networks: 95 % intervals, over subjects (of these stimuli) or, if there is one subject, "
        "over stimuli; for several networks, over networks. None is over units. Numbers are in "
        "tables/variance_partition_regions.csv. Nothing is clipped: parts may be negative.",
        ("variance_partition_regions",),
    ),
}

#: Pictures of a recording, by the prefix of their file names: rdms_{recording}.svg.
#: :mod:`repbias.report.figures.pictures` draws them, from more than tables.
PICTURES: dict[str, Caption] = {
    "rdms": Caption(
        "Recordings",
        "RDMs",
        "Dissimilarity of every pair of stimuli, as a percentile within its RDM: of the recording "
        "(mean over subjects), and of one layer of every model (the analysed or last one; mean "
        "over networks) and every feature space. Stimuli are sorted by a column of theirs that "
        "has a few values (or by quarters of its range), which lines separate, then by the others.",
        (),
    ),
    "mds": Caption(
        "Recordings",
        "Multidimensional scaling",
        "Stimuli with similar responses lie close together: classical multidimensional scaling of "
        "the same RDMs. Percentages are the share of variance in the two dimensions shown; where "
        "it is low, distances in the map are misleading. Colours: the groups of stimuli that sort "
        "the RDMs.",
        (),
    ),
}


#: The figure of generated images; :mod:`repbias.report.figures.stimuli` draws it.
STIMULI = Caption(
    "Stimuli",
    "Test stimuli",
    "The first test stimuli with every value of every feature, of each set of generated images "
    "that the study has. Their other features vary.",
    (),
)

#: Pictures of a network that was trained on images, by their folders:
#: filters/{experiment}/{condition}.svg. :mod:`repbias.report.figures.network_pictures` draws them.
NETWORK_PICTURES: dict[str, Caption] = {
    "filters": Caption(
        "Pictures of networks",
        "First-layer filters",
        "The weights by which the first layer reads pixels (red, green, blue), before training and "
        "at the end; a filter has the same place in both. Grey is 0, and each filter is scaled to "
        "its own largest absolute weight, so contrast says nothing of the size of weights.",
        (),
    ),
    "preferred": Caption(
        "Pictures of networks",
        "What units prefer",
        "For each feature, the three units of the analysed layer in which it explains most of the "
        "variance (R², table units), each with the test stimuli that drive it most, the strongest "
        "first. R² of units that are chosen for it are high by selection too.",
        (),
    ),
    "rdm": Caption(
        "Pictures of networks",
        "RDM with its stimuli",
        "Dissimilarity of every pair of test stimuli in the analysed layer at the end of training, "
        "as a percentile. Stimuli are sorted by the features, that which explains most of the "
        "layer's variance first; lines separate its values. Images: one stimulus of every part.",
        (),
    ),
    "map": Caption(
        "Pictures of networks",
        "Map of combinations of values",
        "The first two principal components of the mean activity of the analysed layer for every "
        "combination of values, each with one of its images. Frames, and dots of the same map "
        "below: which value of a feature it is. Where the two components have a low share of the "
        "variance, distances in the map are misleading.",
        (),
    ),
}


#: Picture of a transformer: attention/{experiment}/{condition}.svg.
ATTENTION = Caption(
    "Pictures of networks",
    "What tokens attend to",
    "The weights of every head of attention, at the end of training: which tokens, or answers "
    "before, a token or an answer reads. Places are named after the features that are about them, "
    "answers after the features that they report. Weights do not say how much of the output "
    "depends on a token.",
    (),
)
#: All pictures of one network, by their folders.
OF_ONE_NETWORK = NETWORK_PICTURES | {"attention": ATTENTION}


def picture_of(name: str) -> tuple[str, str] | None:
    """Return the kind of a picture and its recording, from its file name without extension."""
    kind, _, recording = name.partition("_")
    return (kind, recording) if kind in PICTURES and recording else None


def network_picture_of(path: Path) -> tuple[str, str] | None:
    """Return the kind of a network's picture and its "experiment/condition", from its file."""
    *_, folder, kind, experiment, file = ("", "", "", "", *path.parts)
    if folder != "figures" or kind not in OF_ONE_NETWORK:
        return None
    return kind, f"{experiment}/{file.removesuffix(path.suffix)}"


def caption_of(path: Path) -> Caption | None:
    """Return what the report writes around a figure; None if it is none of these."""
    if of_network := network_picture_of(path):
        return OF_ONE_NETWORK[of_network[0]]
    if path.stem in FIGURES:
        return FIGURES[path.stem]
    if of_recording := picture_of(path.stem):
        return PICTURES[of_recording[0]]
    return STIMULI if path.stem == "stimuli" else None
