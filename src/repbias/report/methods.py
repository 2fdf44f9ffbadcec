"""The methods of a study in words for a paper, with the papers that they are from.

What a study was to do is in its configuration; what depends on its data (such as how many subjects
there are to resample) is in its tables. A sentence is written only of what was done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from repbias.claims.evidence import MIN_NETWORKS
from repbias.networks.spec import Preprocess, preprocessed
from repbias.report.references import REFERENCES

Settings = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]

#: Sections of an experiment, of which a level of `vary` may give several settings.
_SECTIONS = ("stimuli", "network", "training")
#: Citations in sentences: the keys of references in braces.
_CITED = re.compile(r"\{([a-z0-9; ]+)\}")


@dataclass(frozen=True)
class Methods:
    """Text for the section on methods of a paper.

    Attributes
    ----------
    paragraphs : heading to text
    references : the papers that the text cites, in alphabetical order
    """

    paragraphs: dict[str, str]
    references: list[str]


def methods(
    study: Settings, tables: Tables, layers: Mapping[str, str], versions: Mapping[str, str]
) -> Methods:
    """Describe what a study did.

    Parameters
    ----------
    study
        The resolved configuration.
    tables
        The study's tables by name; those that it does not have may be empty.
    layers
        "experiment/condition" to its analysed layer.
    versions
        Libraries to their versions.
    """
    experiments = study.get("experiments", {})
    parts = {
        "Stimuli and networks": _networks(experiments, layers),
        "Analyses of networks": _of_networks(study, experiments),
        "Models": _models(study.get("networks", {})),
        "Recordings": _recordings(study, tables),
        "Representational similarity analysis": _rsa(study, tables),
        "Encoding models": _encoding(study, tables),
        "Shares of scores": _audit(study, tables),
        "Model recovery": _recovery(study, tables),
        "Claims": _claims(tables),
    }
    said = {heading: " ".join(sentences) for heading, sentences in parts.items()}
    said = {heading: text for heading, text in said.items() if text}
    if said:
        used = {"numpy", "scipy", "snakemake"}
        kinds = {spec["kind"] for spec in study.get("networks", {}).values()}
        used |= {"torch"} if experiments or kinds & {"torch", "text"} else set()
        used |= {"himalaya"} if len(tables["variance_partition"]) else set()
        said["Software"] = _software(used, versions)
    cited: set[str] = set()

    def citation(match: re.Match[str]) -> str:
        keys = match[1].split("; ")
        if not REFERENCES.keys() >= set(keys):
            return match[0]  # words of the user's
        cited.update(keys)
        return f"({'; '.join(REFERENCES[key].short for key in keys)})"

    paragraphs = {heading: _CITED.sub(citation, text) for heading, text in said.items()}
    return Methods(paragraphs, sorted(REFERENCES[key].full for key in cited))


def listed(items: Iterable[str]) -> str:
    """List in words.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def _words(name: str) -> str:
    return name.replace("_", " ")


# Experiments


def _networks(experiments: Mapping[str, Settings], layers: Mapping[str, str]) -> Iterator[str]:
    for describe in (_stimuli, _manipulated, _splits, _architecture, _training, _inclusion):
        yield from _grouped({name: describe(spec) for name, spec in experiments.items()})
    yield from _grouped(
        {
            name: _conditions(spec, sum(c.startswith(f"{name}/") for c in layers))
            for name, spec in experiments.items()
        }
    )


def _grouped(texts: Mapping[str, str]) -> Iterator[str]:
    """Yield every sentence once: that of most experiments, and others with their experiments."""
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        if text:
            names.setdefault(text, []).append(name)
    n = sum(map(len, names.values()))
    for text, of in sorted(names.items(), key=lambda entry: -len(entry[1])):
        yield text if len(of) > n / 2 else f"In {listed(of)}, {text[0].lower()}{text[1:]}"


def _varied(spec: Settings) -> set[str]:
    """Return the settings that differ between an experiment's conditions."""
    found = set()
    for path, levels in spec.get("vary", {}).items():
        if path in _SECTIONS:
            values = levels.values() if isinstance(levels, Mapping) else levels
            found |= {f"{path}.{key}" for value in values for key in value}
        else:
            found.add(path)
    return found


def _fixed(spec: Settings, path: str, words: str) -> str:
    """Return words about a setting, in which it is {}; nothing where it varies."""
    if any(f"{v}.".startswith(f"{path}.") or f"{path}.".startswith(f"{v}.") for v in _varied(spec)):
        return ""
    value: Any = spec
    for key in path.split("."):
        value = value[key]
    return words.replace("{}", f"{value:,}" if isinstance(value, int) else str(value))


def _stimuli(spec: Settings) -> str:
    given = spec["stimuli"]
    kind = given["kind"]
    if kind == "trifeature":
        size = _fixed(spec, "stimuli.size", " of {} × {} pixels")
        return (
            f"Stimuli were images{size} of a shape with a texture and a colour {{hermann2020}}, "
            f"with the features {listed(given['features'])}."
        )
    if kind == "navon":
        size = _fixed(spec, "stimuli.size", " of {} × {} pixels")
        return (
            f"Stimuli were images{size} of large letters that consist of small letters "
            f"{{navon1977}}, with the features {listed(given['features'])}."
        )
    if kind not in ("bits", "tokens"):  # a family that was added
        of = f", with the features {listed(given['features'])}" if given.get("features") else ""
        return f"Stimuli were of the family {_words(kind)}{of}."
    features = listed(f"{n} ({_words(f['function'])})" for n, f in given["features"].items())
    if kind == "tokens":
        what = "Stimuli were sequences of random tokens"
    elif any(p.startswith("stimuli.features") or p == "stimuli.noise_bits" for p in _varied(spec)):
        what = "Stimuli were strings of bits"
    else:
        n_bits = sum(f["bits"] for f in given["features"].values()) + given["noise_bits"]
        what = f"Stimuli were strings of {n_bits} bits"
    return f"{what} with binary features {{hermann2020; lampinen2024}}: {features}."


def _manipulated(spec: Settings) -> str:
    """Say which features go together in training stimuli."""
    agreement, label = spec["stimuli"].get("agreement"), spec["stimuli"].get("label")
    if agreement:
        which = listed(agreement["features"])
        which = which if _fixed(spec, "stimuli.agreement.features", "{}") else "two features"
        often = _fixed(spec, "stimuli.agreement.probability", " in {} of stimuli")
        return f"In training only, the labels of {which} agreed{often}."
    if label:
        often = [_fixed(spec, f"stimuli.label.{name}", f"{name} in {{}}") for name in label]
        known = " (" + ", ".join(filter(None, often)) + " of training stimuli)"
        return (
            f"In training only, {listed(label)} predicted a further label"
            f"{known if any(often) else ''}, independently of each other."
        )
    return ""


def _splits(spec: Settings) -> str:
    if not _is_trained(spec):
        return ""
    own = spec["stimuli"]["training_sets"] == "own"
    n = _fixed(spec, "stimuli.n_train", " of {} stimuli")
    whose = "a training set of its own" if own else "the training set of its condition"
    whose = _fixed(spec, "stimuli.training_sets", whose) or "a training set"
    checked = _fixed(spec, "stimuli.n_validation", "{} ")
    tested = _fixed(spec, "stimuli.n_test", "{} ")
    return (
        f"Each network had {whose}{n}; {checked}validation stimuli decided when training stopped "
        f"and served to fit linear models, and results are of {tested}other, test stimuli."
    )


def _is_trained(spec: Settings) -> bool:
    return "training" in spec and spec["network"]["kind"] != "pretrained"


def _mlp(spec: Settings) -> str:
    units = _fixed(spec, "network.hidden", "hidden layers of {} units").replace("[", "")
    nonlinearity = _words(_fixed(spec, "network.activation", "{} nonlinearities"))
    parts = [words for words in (units.replace("]", ""), nonlinearity) if words]
    return "Networks were multi-layer perceptrons" + (f" with {listed(parts)}" if parts else "")


def _of_stages(what: str, spec: Settings) -> str:
    channels = _fixed(spec, "network.widths", "{}").strip("[]")
    return what + f" with stages of {channels} channels" * bool(channels)


def _transformer(spec: Settings) -> str:
    which = _words(_fixed(spec, "network.architecture", "{}")).replace(" ", "-")
    width = _fixed(spec, "network.width", " with {} units per token")
    return f"Networks were {which + ' ' * bool(which)}transformers {{vaswani2017}}{width}"


ARCHITECTURES: dict[str, Callable[[Settings], str]] = {
    "mlp": _mlp,
    "cnn": lambda spec: _of_stages("Networks were convolutional networks", spec),
    "resnet": lambda spec: _of_stages("Networks were residual networks {he2016}", spec),
    "vit": lambda spec: "Networks were vision transformers {dosovitskiy2021}",
    "transformer": _transformer,
    "torch": lambda spec: f"Networks were of the PyTorch class {spec['network']['factory']}",
    "pretrained": lambda spec: (
        f"The network was {spec['network']['factory']}, not trained any further"
    ),
}


def _architecture(spec: Settings) -> str:
    if "network" not in spec:
        return "Networks that were trained in another experiment were shown these stimuli."
    if "network.kind" in _varied(spec):
        return "Networks were of several architectures."
    kind = spec["network"]["kind"]
    if kind not in ARCHITECTURES:  # one that was added
        return f"Networks were of the kind {_words(kind)}."
    return f"{ARCHITECTURES[kind](spec)}."


OPTIMISERS = {
    "adam": "Adam {kingma2015}",
    "adamw": "AdamW {loshchilov2019}",
    "sgd": "stochastic gradient descent",
}


def _training(spec: Settings) -> str:
    if not _is_trained(spec):
        return ""
    training = spec["training"]
    optimiser = OPTIMISERS[training["optimizer"]]
    how = [
        _fixed(spec, "training.optimizer", optimiser),
        _fixed(spec, "training.learning_rate", "a learning rate of {}"),
        _fixed(spec, "training.batch_size", "batches of {} stimuli").replace(
            "batches of full stimuli", "all stimuli in each step"
        ),
    ]
    if training["weight_decay"]:
        how.append(_fixed(spec, "training.weight_decay", "a weight decay of {}"))
    if training["momentum"]:
        how.append(_fixed(spec, "training.momentum", "a momentum of {}"))
    how = [words for words in how if words]
    most = _fixed(spec, "training.max_steps", " for at most {} steps")
    text = "Networks were trained" + f" with {listed(how)}" * bool(how) + most
    if training["extra_steps"] is not None:
        extra = _fixed(spec, "training.extra_steps", "{} steps ")
        level = _fixed(spec, "training.mastery", "{}")
        criterion = _percent(level) if level else "the criterion"
        text += (
            f"; training stopped {extra}after the validation accuracy of all targets had reached "
            f"{criterion}"
        )
    return f"{text}."


def _inclusion(spec: Settings) -> str:
    if not _is_trained(spec):
        return ""
    seeds = _fixed(spec, "seeds", "{}")
    n = f"{seeds} networks" if seeds else "networks"
    what = "initial weights and order of training stimuli"
    text = f"In each condition, {n} with different random seeds ({what}) were trained"
    if seeds == "1":
        text = "In each condition, one network was trained"
    level = _fixed(spec, "training.inclusion", "{}")
    if level and float(level) > 0:
        text += f"; networks whose test accuracy on any target was below {_percent(level)} were "
        text += "excluded"
    return f"{text}."


def _percent(share: str) -> str:
    return f"{100 * float(share):g} %"


def _conditions(spec: Settings, n: int) -> str:
    axes = []
    for path, levels in spec.get("vary", {}).items():
        names = levels if isinstance(levels, str) else ", ".join(map(str, levels))
        axes.append(f"{path} ({names})")
    return f"There were {n} conditions, which differed in {listed(axes)}." if axes else ""


#: What analyses do, in the order of the text.
ANALYSES = {
    "variance_explained": (
        "The share of a layer's variance that a feature explains was R² of a linear regression of "
        "the layer's activity on the feature, fitted to validation stimuli and evaluated on test "
        "stimuli {lampinen2024}."
    ),
    "variance_decomposition": (
        "The variance of the analysed layer was divided by least squares among features, their "
        "interactions, their sub-components, the input and a residual."
    ),
    "behaviour": (
        "The agreement of outputs with the labels of every feature was measured on test stimuli, "
        "on which features are independent."
    ),
    "units": "R² was also computed for single units.",
    "sparsity": (
        "How sparse a feature's code is was measured by the Gini coefficient and the participation "
        "ratio over units."
    ),
    "components": (
        "Accuracy was measured when only the first k principal components of the analysed layer "
        "were passed on."
    ),
    "steering": (
        "Representations were moved along the difference of a feature's class means, and the "
        "stimuli on which the output flipped were counted."
    ),
    "probes": (
        "Features were decoded by linear probes (logistic regression with an L2 penalty) and by "
        "nonlinear probes (a perceptron with 64 hidden units), fitted to validation stimuli and "
        "evaluated on test stimuli {hermann2020}."
    ),
    "conflict": (
        "Classifiers that were trained on stimuli on which two features agree were tested on "
        "stimuli on which they disagree."
    ),
}
#: Measures of similarity to the papers that proposed them.
PROPOSED = {
    "rsa": "kriegeskorte2008",
    "rsa_euclidean": "kriegeskorte2008",
    "rsa_whitened": "diedrichsen2021",
    "rsa_reweighted": "kaniuth2022",
    "cka": "kornblith2019",
    "cka_debiased": "song2012; nguyen2021",
    "cka_rbf": "kornblith2019",
    "nbs": "tang2020",
    "procrustes": "williams2021; cloos2024",
    "soft_matching": "khosla2023",
    "mutual_knn": "huh2024",
    "ridge": "hoerl1970; allen1974",
}


def _measures(names: Iterable[str], cited: Container[str] = ()) -> str:
    """List measures, with the papers that proposed them where these are not cited already."""
    from repbias.geometry.similarity import METRICS  # imports SciPy, which most pages do not need

    return listed(
        METRICS[name].label + f" {{{PROPOSED[name]}}}" * (name not in cited) for name in names
    )


def _of_networks(study: Settings, experiments: Mapping[str, Settings]) -> Iterator[str]:
    done = {analysis for spec in experiments.values() for analysis in spec["analyses"]}
    yield from (sentence for analysis, sentence in ANALYSES.items() if analysis in done)
    if "rsa_models" in done:
        geometry = study["geometry"]
        yield (
            f"Networks were compared with each other by representational similarity analysis "
            f"{{kriegeskorte2008}}: {DISTANCES[geometry['distance']]} between the patterns of "
            f"{geometry['n_stimuli']} test stimuli, compared by "
            f"{_rdm_similarities(geometry['rdm_similarities'])}."
        )
    if "similarity" in done:
        yield f"Networks were also compared by {_measures(study['similarity']['metrics'])}."
    if study.get("identification"):
        noisy = study["identification"]
        cited = study["similarity"]["metrics"] if "similarity" in done else ()
        yield (
            f"Networks of {noisy['target']} were measured with noise, and it was counted how often "
            f"a measure finds them most similar to the one of {len(noisy['candidates'])} "
            f"conditions that they are of {{han2023}}: {_measures(noisy['metrics'], cited)}."
        )


# Recordings

#: Models that are not trained in an experiment, by kind; settings in braces.
MODELS = {
    "pixels": "the pixels of the images at {size} × {size} pixels",
    "torch": "the PyTorch module {factory}, shown images {shown}",
    "text": "the PyTorch module {factory}, which read the texts of the stimuli",
    "features": "columns of the table of stimuli",
    "array": "activations that were computed before",
    "rdm": "RDMs that were computed before",
    "trained": "networks of {condition}",
}


def _models(networks: Mapping[str, Settings]) -> Iterator[str]:
    if networks:
        named = [
            f"{name} ({MODELS[spec['kind']].format(**spec, shown=_shown(spec))})"
            for name, spec in networks.items()
        ]
        yield f"Models were {listed(named)}."


def _shown(spec: Settings) -> str:
    """Say what becomes of images before a module is shown them."""
    given = spec.get("preprocess", {})
    done = preprocessed(given if isinstance(given, str) else Preprocess(**given))
    return done.replace(" x ", " × ")


DISTANCES = {
    "correlation": "correlation distances (1 − Pearson's r)",
    "euclidean": "Euclidean distances",
    "squared_euclidean": "squared Euclidean distances",
    "mahalanobis": "Mahalanobis distances {walther2016}",
    "crossnobis": "cross-validated Mahalanobis (crossnobis) distances {walther2016}",
    "poisson": "symmetrised Kullback-Leibler divergences of Poisson distributions",
    "poisson_cv": (
        "cross-validated symmetrised Kullback-Leibler divergences of Poisson distributions"
    ),
}
#: Distances that are normalised by noise.
WHITENED = ("mahalanobis", "crossnobis")
NOISE = {
    "shrinkage": (
        "the noise covariance of units, estimated from deviations between repeats and shrunk "
        "towards its diagonal {schafer2005}"
    ),
    "diagonal": "each unit's noise variance",
}
RDM_SIMILARITIES = {
    "corr": "Pearson correlation",
    "cosine": "cosine similarity",
    "spearman": "Spearman's rank correlation",
    "rho-a": "ρa {schutt2023}",
    "tau-a": "Kendall's τa {nili2014}",
    "corr_cov": "the correlation of whitened RDMs {diedrichsen2021}",
    "cosine_cov": "the cosine similarity of whitened RDMs {diedrichsen2021}",
}


def _rdm_similarities(names: Sequence[str]) -> str:
    return listed(RDM_SIMILARITIES[name] for name in names)


def _recordings(study: Settings, tables: Tables) -> Iterator[str]:
    scores = tables["rsa_recordings"]
    for name, spec in study.get("recordings", {}).items():
        if spec.get("kind") == "simulated":
            yield (
                f"The recording {name} was simulated from {spec['layer']} of a network of "
                f"{spec['source']}: {spec['units']} units in each of {spec['subjects']} subjects, "
                f"random mixtures of the layer's units with trial noise, and {spec['repeats']} "
                f"repeats of {spec['n_stimuli']} stimuli."
            )
        else:
            source = f" ({spec['source']})" if spec.get("source") else ""
            rows = scores[scores["recording"] == name]
            shown = ""
            if len(rows):
                subjects, stimuli = rows[["n_subjects", "n_stimuli"]].max()
                shown = f", of {subjects} subject{'s' * (subjects > 1)} and {stimuli} stimuli,"
            yield f"The recording {name}{source}{shown} was analysed."
        if spec.get("window"):
            start, stop = spec["window"]
            yield f"Its responses were averaged from {start} to {stop} s."
        if spec.get("standardise"):
            yield "Every unit was divided by the standard deviation of its mean responses."
        if spec.get("min_reliability") is not None:
            yield f"Units with a reliability below {spec['min_reliability']} were left out."
        if spec.get("min_repeats") is not None:
            least = spec["min_repeats"]
            yield f"Units with fewer than {least} repeats of a stimulus were left out."
    conventions = set(tables["reliability"]["convention"])
    if any(c.startswith("sqrt of split-half reliability") for c in conventions):
        yield (
            "The noise ceiling of a unit was the square root of the split-half reliability of its "
            "mean responses, Spearman-Brown corrected {spearman1910; brown1910}."
        )
    if any("Allen" in c for c in conventions):
        yield (
            "The noise ceiling of a unit was estimated from the variances between and within "
            "stimuli {allen2022}."
        )
    if any("standard errors" in c for c in conventions):
        yield "The noise ceiling of a unit was estimated from the standard errors of its means."


def _rsa(study: Settings, tables: Tables) -> Iterator[str]:
    scores = tables["rsa_recordings"]
    if scores.empty:
        return
    yield from _compared(study, set(scores["recording"]))
    yield from _intervals(study["geometry"], scores)
    yield from _ceilings(scores)
    yield from _tests(study["geometry"], tables["rsa_tests"])
    fitted = set(tables["rsa_fitted"]["model"]) - {"fixed"}
    folds = study["geometry"]["folds"]
    if "weighted" in fitted:
        yield (
            f"Models were also fitted as sums of their layers' RDMs with non-negative weights "
            f"{{khaligh2014}}, cross-validated over {folds} folds of stimuli."
        )
    if "reweighted" in fitted:
        yield (
            "Units of layers were also given non-negative weights {kaniuth2022}, cross-validated "
            f"over {folds} folds of stimuli."
        )
    if len(tables["rsa_times"]):
        yield "The comparison was repeated in every time bin."


def _compared(study: Settings, recordings: set[str]) -> Iterator[str]:
    geometry, specs = study["geometry"], study.get("recordings", {})
    # RDMs that were read have distances of their own.
    measured = any(specs.get(r, {}).get("kind") != "rdms" for r in recordings)
    shown = [spec for spec in study.get("networks", {}).values() if spec["kind"] != "rdm"]
    distances = [geometry["distance"]] * bool(study.get("experiments"))
    distances += [spec.get("distance") or geometry["distance"] for spec in shown]
    of_models = listed(DISTANCES[name] for name in dict.fromkeys(distances)) if distances else ""
    of_recordings = DISTANCES[geometry["recording_distance"]] if measured else ""
    noise = geometry["noise"]
    if measured and geometry["recording_distance"] in WHITENED and noise in NOISE:
        of_recordings += f", normalised by {NOISE[noise]}"
    yield (
        "Models and recordings were compared by representational similarity analysis "
        "{kriegeskorte2008}."
    )
    if of_models == of_recordings != "":
        yield f"Representational dissimilarity matrices (RDMs) of both held {of_models}."
    else:
        if of_models:
            yield f"Representational dissimilarity matrices (RDMs) of models held {of_models}."
        if of_recordings:
            yield f"Those of recordings held {of_recordings}."
    yield f"RDMs were compared by {_rdm_similarities(geometry['rdm_similarities'])}."


def _intervals(geometry: Settings, scores: pd.DataFrame) -> Iterator[str]:
    used = " ".join(scores["interval"].unique())
    n = f"{geometry['bootstraps']:,} samples"
    if "dual bootstrap" in used:
        yield (
            f"Intervals (95 %) are from a dual bootstrap of stimuli and subjects ({n}) "
            f"{{schutt2023}}."
        )
    for what in ("stimuli", "subjects"):
        if f"bootstrap of {what} (" in used:
            yield f"Intervals (95 %) are from a bootstrap of {what} ({n})."


def _ceilings(scores: pd.DataFrame) -> Iterator[str]:
    used = " ".join(scores["ceiling_convention"].unique())
    if "leave one subject out" in used:
        yield (
            "The lower bound of the noise ceiling is the mean similarity of each subject's RDM "
            "with the mean of the others', the upper bound that with the mean of all {nili2014}."
        )
    if "split-half" in used:
        yield (
            "Of a single subject, the noise ceiling is the square root of the similarity between "
            "RDMs of random halves of the repeats, Spearman-Brown corrected "
            "{spearman1910; brown1910}."
        )


def _tests(geometry: Settings, tests: pd.DataFrame) -> Iterator[str]:
    kinds = set(tests["test"])
    against = [
        words
        for kind, words in (
            ("zero", "zero (one-sided)"),
            ("pair", "each other (two-sided)"),
            ("ceiling", "the lower bound of the noise ceiling (one-sided)"),
        )
        if kind in kinds
    ]
    if against:
        yield (
            f"Models, each the mean over its networks, were tested against {listed(against)} by t "
            "tests whose variance is that over bootstrap samples, and over networks where there "
            "are several."
        )
    if "permutation" in kinds:
        yield (
            "Whether there is any relation was tested by "
            f"{geometry['permutations']:,} permutations of the stimuli."
        )
    if kinds:
        yield (
            "p values were corrected for the false discovery rate over all tests of a kind "
            "{benjamini1995}."
        )


def _encoding(study: Settings, tables: Tables) -> Iterator[str]:
    spec = study.get("encoding", {})
    if len(tables["encoding_regions"]):
        low, high = spec["log10_alpha"]
        yield (
            "Mean responses of units were predicted from the activity of a layer by ridge "
            f"regression {{hoerl1970}} with nested cross-validation over stimuli: {spec['folds']} "
            f"outer folds, and {spec['inner_folds']} inner folds that chose the penalty of every "
            f"unit among {spec['n_alphas']} from 10^{low:g} to 10^{high:g}, relative to the mean "
            "squared norm of an activation pattern. Scores are correlations between predicted and "
            "measured responses to held-out stimuli."
        )
        if groups := [s["groups"] for s in study.get("images", {}).values() if s.get("groups")]:
            yield (
                f"Groups of stimuli ({listed(dict.fromkeys(groups))}) were left out as a whole, in "
                "as many folds as there are groups where these are fewer."
            )
        if spec["permutations"]:
            yield (
                f"Units were tested by {spec['permutations']:,} permutations of their responses "
                "over stimuli, with new fits, and p values corrected for the false discovery rate "
                "over units {benjamini1995}."
            )
    if len(tables["variance_partition"]):
        yield (
            "Variance was partitioned among feature spaces by banded ridge regression "
            "{nunez2019; dupre2022} in the same folds."
        )


def _audit(study: Settings, tables: Tables) -> Iterator[str]:
    audit = tables["audit"]
    divided = audit[audit["feature"] != ""]
    if divided.empty and tables["audit_networks"].empty:
        return
    yield (
        "Similarity by debiased centred kernel alignment {kornblith2019; song2012} was divided "
        "among features of the stimuli. A feature's share is what it adds, averaged over all "
        "orders in which features can be added {shapley1953; lindeman1980}."
    )
    if len(divided):
        yield (
            "Whether there is a score to divide was tested by "
            f"{study['audit']['permutations']:,} permutations of the stimuli."
        )
    yield (
        "p values of shares were corrected for the false discovery rate over features and layers "
        "{benjamini1995}."
    )


def _recovery(study: Settings, tables: Tables) -> Iterator[str]:
    if len(tables["recovery"]):
        yield (
            "Whether such data can tell which model is right was simulated {han2023}: "
            f"{study['recovery']['simulations']} brains from every layer of every model, with the "
            "units, repeats and noise of the recording, were analysed like the recording itself, "
            "and intervals of how often each model is named are exact binomial ones "
            "{clopper1934}."
        )


def _claims(tables: Tables) -> Iterator[str]:
    claims = tables["claims"]
    if claims.empty:
        return
    yield (
        "Effects are means over networks, or differences between conditions, positive in the "
        "claimed direction. A claim is supported where the 95 % interval lies above zero, not "
        "supported where it lies below, and inconclusive otherwise or with fewer than "
        f"{MIN_NETWORKS} networks; claims of no difference are decided by a margin."
    )
    if claims["p"].notna().any():
        yield (
            "Intervals are corrected for skewness {hall1992}. Verdicts are not corrected for the "
            "number of claims; beside them stand p values that are, for the false discovery rate "
            "under any dependence over all claims and times {benjamini2001}."
        )


#: Libraries to their papers.
SOFTWARE = {
    "torch": ("PyTorch", "paszke2019"),
    "numpy": ("NumPy", "harris2020"),
    "scipy": ("SciPy", "virtanen2020"),
    "himalaya": ("himalaya", "dupre2022"),
    "snakemake": ("Snakemake", "molder2021"),
}


def _software(used: Container[str], versions: Mapping[str, str]) -> str:
    named = [
        f"{name} {versions[library]} {{{paper}}}"
        for library, (name, paper) in SOFTWARE.items()
        if library in used
    ]
    return f"Analyses were run with repbias {versions['repbias']}, {listed(named)}."
