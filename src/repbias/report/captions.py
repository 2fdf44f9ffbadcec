"""The figures of the report: their titles, captions, and the tables that they need.

Kept apart from the drawing, so that planning a run needs no matplotlib.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caption:
    """What stands around a figure.

    Attributes
    ----------
    section : the part of the report that it belongs to; figures of a section follow each other
    title, text : heading and caption
    needs : tables without which there is no figure
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
        "Effect with 95 % interval and verdict of every claim in every variant, when the networks "
        "first mastered their targets and at the end of training. A claim of one colour has the "
        "same verdict in every variant and at both times; effects may differ in size and, where "
        "only a difference is claimed, in sign. White: not decided at this time.",
        ("claims",),
    ),
    "learning": Caption(
        "Learning and bias",
        "Learning and representation",
        "Top: validation accuracy of every network. Bottom: variance of the analysed layer that "
        "each feature explains, as a share of the final representation's variance (M1b), so that "
        "all points share a scale. A line ends where its network stopped.",
        ("learning", "variance_explained"),
    ),
    "variance": Caption(
        "Learning and bias",
        "Variance explained by feature",
        "R² from feature to representation (M1) on test stimuli in the analysed layer: untrained, "
        "when a network first mastered all its targets, and at the end of training. Dots are "
        "networks that met the inclusion criterion; circles are means with 95 % bootstrap "
        "intervals over them (those of two or three networks may leave the panel). Lighter shades "
        "are sub-components of a feature.",
        ("variance_explained",),
    ),
    "sweeps": Caption(
        "Learning and bias",
        "What moves the bias",
        "Variance explained (R², M1, analysed layer) by each feature in every condition of every "
        "experiment that varies something, at first mastery and at the end of training: means over "
        "networks that met the inclusion criterion, with 95 % bootstrap intervals (those of two or "
        "three networks may leave the panel). On the right: how many networks were included, of "
        "how many.",
        ("variance_explained", "learning"),
    ),
    "variance_decomposition": Caption(
        "Learning and bias",
        "variance decomposition",
        "What the variance of the analysed layer is spent on: the features, their interactions, "
        "sub-components of the features (such as inner XORs), the input's bits, and what is left. "
        "Means over networks that met the inclusion criterion. Shares sum to 1; those estimated "
        "below 0 are drawn as 0, so a bar may be longer.",
        ("variance_decomposition",),
    ),
    "units": Caption(
        "Codes",
        "Codes over units",
        "Top: share of units of the analysed layer whose variance a feature explains to more than "
        "the value on the horizontal axis, at the end of training; thin lines are networks that "
        "met the inclusion criterion, thick ones their mean. Bottom: Gini coefficient and "
        "participation ratio of the R² over units, means with 95 % intervals.",
        ("units", "sparsity"),
    ),
    "components": Caption(
        "Codes",
        "Principal components",
        "At the end of training. Left of each pair: accuracy of the network's own outputs, for its "
        "targets, when only the first k principal components of the analysed layer are passed on. "
        "Right: how much of each component's variance a feature explains. Means over networks that "
        "met the inclusion criterion; bands are 95 % intervals.",
        ("components",),
    ),
    "encryption": Caption(
        "Codes",
        "Computing under encryption",
        "Systems that compute a feature from encrypted inputs: accuracy of the task after "
        "decryption, accuracy of probes on their activations, variance explained, and correlation "
        "of RDMs with the plaintext's and under another key. Small dots are keys, large ones "
        "means with 95 % intervals.",
        ("encryption",),
    ),
    "steering": Caption(
        "Use",
        "Steering",
        "The representation of every test stimulus is moved towards the other class of a feature, "
        "along the difference of the class means; a strength of 1 is that difference. Shown is on "
        "how many stimuli the outputs of the network's targets flip, by strength (left of each "
        "pair) and by the mean length of the step in standard deviations of the layer's activity "
        "(right), at the end of training. Colours: the feature that is steered. Bands are 95 % "
        "intervals over networks that met the inclusion criterion.",
        ("steering",),
    ),
    "probes": Caption(
        "Use",
        "Decoders",
        "Top: accuracy of linear (left of each pair) and nonlinear probes on test stimuli, in "
        "every layer. Bottom: which feature a classifier follows where two features disagree, "
        "after it was trained on stimuli where they agree. Means over networks that met the "
        "inclusion criterion, with 95 % intervals; dotted: chance.",
        ("probes",),
    ),
    "behaviour": Caption(
        "Use",
        "What the outputs follow",
        "How often an output that training rewards equals each feature's label on test stimuli, "
        "where the features are independent: what wins where training rewarded a label that "
        "several features predict. Means over networks that met the inclusion criterion, with 95 % "
        "intervals; dotted: chance.",
        ("behaviour",),
    ),
    "rsa_models": Caption(
        "Comparisons",
        "Networks compared with each other",
        "Similarity of RDMs (by the first measure of geometry.rdm_similarities) of the analysed "
        "layer between all networks, by condition and stage of training; for models of your own, "
        "between all their layers. Networks with the same seed start from the same weights. "
        "Grey: a network with itself.",
        ("rsa_models",),
    ),
    "similarity": Caption(
        "Comparisons",
        "Measures of similarity compared",
        "Mean similarity between included networks of two conditions (never of one seed) by every "
        "measure, with 95 % bootstrap intervals over seeds (from three networks on); grey: 95th "
        "percentile of the similarity of permuted stimuli. Crosses, from the features' shares of "
        "variance (R², end of training) alone: linear CKA if every feature were one dimension, "
        "orthogonal to the others, and the rest were spread over so many dimensions that it adds "
        "nothing; and what regression reaches at least, the share of the features that the "
        "predicting condition represents (R² above .05). Of many conditions only the means at the "
        "end are drawn, from row to column; intervals and predictions are in the data.",
        ("similarity", "variance_explained"),
    ),
    "identification": Caption(
        "Comparisons",
        "Which measure recognises the same computation?",
        "A network that computes all features is measured with noise; candidates are one network "
        "of each condition. Shown is how often each measure gives the highest similarity to the "
        "candidate that computes the same, against the reliability of the measured units, with "
        "95 % bootstrap intervals over networks. Top: plain RSA and what is meant to repair it; "
        "bottom: plain RSA and other measures. Dotted: chance.",
        ("identification",),
    ),
    "quality": Caption(
        "Recordings",
        "Quality of the recordings",
        "How reliable units are (of the mean over their repeats; split-half, Spearman-Brown "
        "corrected), the highest correlation that a perfect model reaches with them, and how often "
        "a stimulus was repeated. Units whose reliability cannot be told from chance have no "
        "ceiling. Colours: regions, or subjects.",
        ("reliability", "quality"),
    ),
    "model_comparison": Caption(
        "Models and recordings",
        "Models compared on recordings",
        "Similarity of RDMs with 95 % interval, for every layer of every model, or for one layer "
        "chosen beforehand (the analysed or last one) where there are too many. A filled dot is "
        "significantly above 0, an open one is not; a triangle at the right edge says that the "
        "model is significantly below the lower end of the noise ceiling (grey band). Beside it "
        "the differences between models, row minus column; a dot marks significant ones. "
        "Significant: p below .05 after correction for the false discovery rate. Grey: not tested. "
        "With fewer than three subjects no model is tested against the ceiling.",
        ("rsa_tests", "rsa_recordings"),
    ),
    "rsa_recordings": Caption(
        "Models and recordings",
        "Networks compared with recordings: RSA",
        "Similarity of RDMs, mean over subjects, for networks that met the inclusion criterion. "
        "Lines are means over networks and small dots single networks, stars the network that "
        "generated a simulated recording; where a condition has one network, bars are its 95 % "
        "interval (the table says what it generalises to). The grey band is the noise ceiling; "
        "where there is none, it could not be estimated.",
        ("rsa_recordings",),
    ),
    "rsa_fitted": Caption(
        "Models and recordings",
        "Fixed and fitted models",
        "Similarity of RDMs of models as they are, and of models that were fitted to the recording "
        "on other stimuli (and, of three or more, other subjects) than those that their similarity "
        "is measured on, so that they may be worse than fixed ones. Means over networks that met "
        "the inclusion criterion, with 95 % intervals.",
        ("rsa_fitted",),
    ),
    "rsa_times": Caption(
        "Models and recordings",
        "Similarity over time",
        "Similarity of RDMs with the recording's RDM at every time bin. Means over networks that "
        "met the inclusion criterion; bands are 95 % intervals of single time bins, not corrected "
        "for their number. Lighter shades are earlier layers. Grey: noise ceiling, where it could "
        "be estimated.",
        ("rsa_times",),
    ),
    "encoding": Caption(
        "Models and recordings",
        "Networks compared with recordings: encoding",
        "Correlation of nested cross-validated ridge predictions with responses to left-out "
        "stimuli, not normalised; lines and dots as above. The dotted line is the mean ceiling of "
        "the units that have one. Bars, for single networks: 95 % bootstrap intervals over units.",
        ("encoding",),
    ),
    "encoding_regions": Caption(
        "Models and recordings",
        "Encoding by region",
        "Held-out correlation by region and layer (means over units and networks that met the "
        "inclusion criterion, with 95 % intervals), and how it is distributed over all units, as "
        "it is and divided by each unit's ceiling, for one layer of every model (the analysed or "
        "last one; networks averaged; values beyond the ends are in the outermost bars). "
        "Significant: p below .05 after correction for the false discovery rate. "
        "The scores of single units are in the table encoding.csv.",
        ("encoding_regions", "encoding"),
    ),
    "variance_partition": Caption(
        "Models and recordings",
        "Variance shared by models",
        "Held-out R² of every part of what joint models explain: all of it; what each member "
        "explains alone, or together with one other; what is unique to it (lost without it); what "
        "is shared (all minus the unique parts); and how the joint prediction's R² is split among "
        "its members. Means over units, with 95 % bootstrap intervals over units. Nothing is "
        "clipped: parts may be below 0.",
        ("variance_partition",),
    ),
    "model_recovery": Caption(
        "Models and recordings",
        "Model recovery",
        "A simulated recording's generating layer (outlined) is known. Shown is which layer scores "
        "highest, over the included networks of the generating condition. One of them is the "
        "generator itself; the others are new instances of it, as models of a real brain are at "
        "best.",
        ("model_recovery",),
    ),
}

#: Pictures of a recording, by the word that their file names begin with: rdms_{recording}.svg.
#: :mod:`repbias.report.figures.pictures` draws them, from more than tables.
PICTURES: dict[str, Caption] = {
    "rdms": Caption(
        "Recordings",
        "RDMs",
        "Dissimilarity of every pair of stimuli, as a percentile within its RDM: the recording "
        "(mean over subjects), and one layer of every model (the analysed or last one, mean over "
        "networks). Lines separate groups of stimuli.",
        (),
    ),
    "mds": Caption(
        "Recordings",
        "Map of the stimuli",
        "Stimuli with similar responses lie close together: classical multidimensional scaling of "
        "the same RDMs. The percentages say how much of the variance two dimensions show; where "
        "they are low, distances in the map mislead.",
        (),
    ),
}


def picture_of(name: str) -> tuple[str, str] | None:
    """Return the kind of a picture and its recording, from its file's name without ending."""
    kind, _, recording = name.partition("_")
    return (kind, recording) if kind in PICTURES and recording else None
