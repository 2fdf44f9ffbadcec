"""What ``config.yaml`` may say, and the conditions it expands to."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pydantic import Field, ValidationError, field_validator, model_validator

from repbias.analyses import ANALYSES
from repbias.bias.spec import Bias
from repbias.claims import CLAIMS
from repbias.config_errors import explain
from repbias.config_file import MOST_PROBLEMS, ConfigError, refuse_strange_values
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry, Identification, Similarity
from repbias.networks.spec import MLP, FeatureNetwork, Network, Training
from repbias.recordings.readers import RecordingSpec
from repbias.recordings.simulate import SimulatedRecording
from repbias.references import SIMILARITIES, Reference
from repbias.report.captions import FIGURES
from repbias.spec import Name, Spec, nearest, refuse_repetition
from repbias.stimuli.manipulations import LABEL, training_probabilities
from repbias.stimuli.spec import Bits, ImageSet

#: Sections of a condition; a level of one of them is merged into it, not put in its place.
SECTIONS = ("stimuli", "network", "training")
#: Analyses of recordings that need responses; the others are done from RDMs alone as well.
OF_RESPONSES = ("encoding", "variance_partition", "reliability")
#: Conditions of a study: planning takes minutes for as many.
MOST_CONDITIONS = 10_000
#: Folders of files that a study can do without once its tables are there.
Intermediate = Literal["stimuli", "networks", "activations", "rdms"]
INTERMEDIATE: tuple[Intermediate, ...] = get_args(Intermediate)
if TYPE_CHECKING:
    Analysis = str  # type checkers read no literal from a variable
else:
    Analysis = Literal[ANALYSES]


class Condition(Spec):
    """Stimuli, network and training of one group of networks that differ in their seed only."""

    stimuli: Bits
    """What is shown."""
    network: MLP = MLP()
    """The architecture."""
    training: Training = Training()
    """How it is trained."""
    seeds: int = Field(10, ge=1, le=1000)
    """How many networks; their seeds are 0, 1, 2, ..."""

    @model_validator(mode="after")
    def _targets_exist(self) -> Condition:
        possible = self.stimuli.targets
        for where in ("targets", "curriculum"):
            for target in getattr(self.training, where) or []:
                if target not in possible:
                    raise ValueError(
                        f"training.{where}: no feature {target!r}; {nearest(target, possible)}"
                    )
        self._label_can_be_met()
        if self.training.batch_size != "full" and self.training.batch_size > self.stimuli.n_train:
            raise ValueError(
                f"training.batch_size is {self.training.batch_size}, more than stimuli.n_train "
                f"({self.stimuli.n_train})"
            )
        return self

    def _label_can_be_met(self) -> None:
        """Refuse an inclusion criterion that no network can meet on the extra target."""
        targets = self.training.targets or self.stimuli.targets
        if not self.stimuli.label or LABEL not in targets:
            return
        # On test stimuli the features are balanced, and the label is drawn given them.
        _, given = training_probabilities(self.stimuli.features, self.stimuli)
        best = float(np.maximum(given, 1 - given).mean())
        if self.training.inclusion > best:
            raise ValueError(
                f"training.inclusion is {self.training.inclusion}, but no network can predict "
                f"{LABEL!r} on more than {best:.3f} of the test stimuli; lower it (0 keeps all)"
            )


class Experiment(Condition):
    """A condition, and the settings that vary from it: the levels of `vary` are crossed."""

    vary: dict[str, dict[str, Any] | list[Any]] = {}
    """Dotted path of a setting to its levels: a list, or a mapping of names to values. A level of
    `training`, `network` or `stimuli` gives some of the section's settings and leaves the others
    as they are."""
    analyses: list[Analysis] = list(ANALYSES)
    """What is measured; each is a table. Comparisons between networks grow with their square."""
    conditions_per_job: int = Field(1, ge=1)
    """Conditions that one job goes through, at every step: many make sweeps of small conditions
    quick, as they are trained stacked where their shapes agree, and keep the number of jobs low. An
    edit of one condition then does all of its job anew."""

    @field_validator("analyses")
    @classmethod
    def _different(cls, analyses: list[str]) -> list[str]:
        return _refuse_twice(analyses)

    def n_conditions(self) -> int:
        """Return how many conditions there are, without expanding them."""
        return prod(len(levels) for levels in self.vary.values())

    def expand(self) -> dict[str, Condition]:
        """Return the conditions by name, such as ``optimizer=adam,batch_size=128``.

        Raises
        ------
        ConfigError
            If a path does not exist or a level is not possible.
        """
        base = self.model_dump(include=set(Condition.model_fields))
        paths = _paths(base)
        problems: list[str] = []
        axes = []
        for path, levels in self.vary.items():
            if path not in paths:
                problems.append(f"vary: no setting {path!r}; {nearest(path, paths)}")
                continue
            named = _named_levels(path, levels, problems)
            axes.append([(path, name, value) for name, value in named.items()])
            problems += self._overlaps(path, named.values())
        if problems:
            raise ConfigError("vary", problems)
        short = _short_names(list(self.vary))
        conditions = {}
        for combination in product(*axes):
            if len(problems) >= MOST_PROBLEMS:
                break
            settings = copy.deepcopy(base)
            # A section before what is in it.
            for path, _, value in sorted(combination, key=lambda axis: len(paths[axis[0]])):
                _set(settings, paths[path], copy.deepcopy(value))
            name = ",".join(f"{short[path]}={level}" for path, level, _ in combination) or "base"
            if len(name) > 200:
                problems.append(f"vary: the name {name!r} is too long for a file (200 characters)")
                continue
            try:
                conditions[name] = Condition.model_validate(settings)
            except ValidationError as error:
                for problem in explain(error, Condition):
                    problem = problem.removeprefix("top level: ")
                    if not any(known.endswith(problem) for known in problems):
                        problems.append(f"vary, condition {name}: {problem}")
        if problems:
            raise ConfigError("vary", problems)
        return conditions

    def _overlaps(self, path: str, levels: Iterable[Any]) -> Iterator[str]:
        """Go through the varied settings that a level of this one sets as well."""
        for other in self.vary:
            if other.startswith(f"{path}."):
                key = other.removeprefix(f"{path}.").split(".")[0]
                if path not in SECTIONS or any(key in (level or {}) for level in levels):
                    yield f"vary: {path!r} and {other!r} overlap; vary one"


class Study(Spec):
    """A study: everything that one ``config.yaml`` says."""

    study: Name
    """Name of the study; results go to results/<study>/."""
    title: str = ""
    """Title of the report."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where networks are computed; `auto` takes CUDA, then MPS, then the CPU."""
    keep: list[Intermediate] = list(INTERMEDIATE)
    """Files between the configuration and the tables that stay; others are deleted as soon as no
    job needs them, and made anew if a later edit needs them."""
    experiments: dict[Name, Experiment] = {}
    """Networks trained on generated stimuli."""
    images: dict[Name, ImageSet] = {}
    """Sets of stimuli: images, or a table of what is known of them."""
    networks: dict[Name, Network] = {}
    """Models of your own, run on every set of stimuli."""
    recordings: dict[Name, RecordingSpec] = {}
    """Recordings that the networks are compared with."""
    geometry: Geometry = Geometry()
    """RSA."""
    encoding: Encoding = Encoding()
    """Encoding models."""
    bias: Bias = Bias()
    """Variance explained, steering and probes."""
    similarity: Similarity = Similarity()
    """Similarity measures between networks, beside RSA."""
    identification: Identification | None = None
    """Whether similarity measures name the network that computes the same."""
    encryption: str | None = None
    """A condition (experiment/condition) on whose stimuli encrypted computations are analysed."""
    references: list[Reference] = []
    """Published numbers, shown beside those that are measured here."""
    claims: dict[str, dict[str, str]] = {}
    """Claims to decide, each with the conditions and features that fill its roles. Words behind a
    claim name a variant of it: `C1 momentum`."""

    @field_validator("keep")
    @classmethod
    def _different(cls, keep: list[str]) -> list[str]:
        return _refuse_twice(keep)

    def condition(self, name: str) -> Condition:
        """Return the condition called "experiment/condition"."""
        experiment, _, condition = name.partition("/")
        return self.experiments[experiment].expand()[condition]

    def conditions(self) -> Iterator[tuple[str, str, Condition]]:
        """Go through (experiment, condition name, condition)."""
        for experiment, spec in self.experiments.items():
            for name, condition in spec.expand().items():
                yield experiment, name, condition

    def batches(self) -> Iterator[tuple[str, int, list[str]]]:
        """Go through (experiment, number from 1, names of the conditions that one job does)."""
        for experiment, spec in self.experiments.items():
            names, size = list(spec.expand()), spec.conditions_per_job
            for start in range(0, len(names), size):
                yield experiment, start // size + 1, names[start : start + size]

    def groups(self) -> dict[str, list[str]]:
        """Return, for each experiment its conditions, and for each stimulus set its networks."""
        groups = {e: list(spec.expand()) for e, spec in self.experiments.items()}
        shown = {name: self._shown(stimuli) for name, stimuli in self.images.items()}
        return groups | {name: networks for name, networks in shown.items() if networks}

    def _shown(self, stimuli: ImageSet) -> list[str]:
        """Return the networks that a stimulus set can be shown to."""
        return [
            name
            for name, network in self.networks.items()
            if (stimuli.table if isinstance(network, FeatureNetwork) else stimuli.path)
        ]

    def with_common_stimuli(self) -> list[str]:
        """Return the recordings, not simulated, that share their stimulus set with another."""
        read = [name for name in self.recordings if name not in self.simulated()]
        sets = [self.shown_to(name) for name in read]
        return [name for name in read if sets.count(self.shown_to(name)) > 1]

    def analysed(self, analysis: str) -> list[str]:
        """Return the experiments (and sets of images) that an analysis is done for."""
        images = []
        if analysis == "rsa_models":
            layers = {
                name: [layer for network in shown for layer in self.networks[network].layers]
                for name, stimuli in self.images.items()
                if (shown := self._shown(stimuli))
            }
            images = [name for name, names in layers.items() if len(names) > 1]
        return [e for e, spec in self.experiments.items() if analysis in spec.analyses] + images

    def shown_to(self, recording: str) -> str:
        """Return the experiment or image set whose stimuli a recording was made with."""
        spec = self.recordings[recording]
        if isinstance(spec, SimulatedRecording):
            return spec.source.split("/")[0]
        return spec.stimuli

    def simulated(self) -> dict[str, SimulatedRecording]:
        """Return the simulated recordings."""
        return {
            name: spec
            for name, spec in self.recordings.items()
            if isinstance(spec, SimulatedRecording)
        }

    def with_responses(self) -> list[str]:
        """Return the recordings that have responses of units, not only RDMs."""
        return [name for name, spec in self.recordings.items() if spec.kind != "rdms"]

    def recordings_of(self, analysis: str) -> list[str]:
        """Return the recordings that an analysis is done for."""
        return self.with_responses() if analysis in OF_RESPONSES else list(self.recordings)

    def tables(self) -> list[str]:
        """Return the names of the tables that the study fills."""
        filled = {
            "learning": self.experiments,
            **{analysis: self.analysed(analysis) for analysis in ANALYSES},
            "identification": self.identification,
            "encryption": self.encryption,
            "rsa_recordings": self.recordings,
            "rsa_tests": self.recordings,
            "rsa_fitted": self.recordings and self.geometry.fitted,
            "rsa_times": self.recordings and self.geometry.time_resolved,
            "rsa_between_recordings": self.with_common_stimuli(),
            "encoding": self.with_responses(),
            "encoding_regions": self.with_responses(),
            "variance_partition": self.with_responses() and self.encoding.partition,
            "reliability": self.with_responses(),
            "quality": self.recordings,
            "references": self.references,
            "planted_truth": self.simulated(),
            "claims": self.claims,
        }
        return [name for name, source in filled.items() if source]

    def figures(self) -> list[str]:
        """Return the figures that the report shows: those for which there are data."""
        tables = set(self.tables())
        drawn = [name for name, figure in FIGURES.items() if set(figure.needs) <= tables]
        if not any(experiment.vary for experiment in self.experiments.values()):
            drawn = [name for name in drawn if name != "sweeps"]
        return drawn


def load_study(config: dict[str, Any], source: str = "config") -> Study:
    """Check a configuration and return the study.

    Parameters
    ----------
    config
        What the YAML file says.
    source
        The file's name, for messages.

    Raises
    ------
    ConfigError
        With every problem found: its path, the value, and what is allowed.
    """
    refuse_strange_values(config, source)
    try:
        study = Study.model_validate(config)
    except ValidationError as error:
        raise ConfigError(source, explain(error, Study)) from None
    n_conditions = sum(experiment.n_conditions() for experiment in study.experiments.values())
    if n_conditions > MOST_CONDITIONS:
        raise ConfigError(
            source,
            [
                f"experiments: {n_conditions:,} conditions, the crossed levels of `vary`; expected "
                f"at most {MOST_CONDITIONS:,}: vary less, or split the study"
            ],
        )
    # What claims require is asked of a study that is consistent.
    problems = list(_inconsistencies(study)) or list(_unmet_claims(study))
    if problems:
        raise ConfigError(source, problems)
    return study


def _inconsistencies(study: Study) -> Iterator[str]:
    """Go through what is wrong between the sections."""
    expanded: dict[str, dict[str, Condition]] = {}
    for name, experiment in study.experiments.items():
        try:
            expanded[name] = experiment.expand()
        except ConfigError as error:
            yield from (f"experiments.{name}.{problem}" for problem in error.problems)
    if len(expanded) < len(study.experiments):
        return
    if not study.experiments and not (study.images and study.networks):
        yield "nothing to do: give experiments, or images and networks"
    folded = {name.casefold() for name in study.experiments}
    for name in study.images:
        if name.casefold() in folded:
            yield f"images.{name}: an experiment has the same name; rename one"
    named: dict[str, Mapping[str, object]] = {
        "experiments": study.experiments,
        "images": study.images,
        "networks": study.networks,
        "recordings": study.recordings,
        **{f"experiments.{name}.vary": conditions for name, conditions in expanded.items()},
    }
    for where, names in named.items():
        folded = [name.casefold() for name in names]
        if len(set(folded)) < len(folded):
            yield f"{where}: names differ in upper and lower case only: {', '.join(names)}"
    if study.networks and not study.images:
        yield "networks: there are no images to show them; add a section images"
    shown = {network for networks in study.groups().values() for network in networks}
    for name in study.networks.keys() - shown if study.images else ():
        needed = "table" if isinstance(study.networks[name], FeatureNetwork) else "path"
        yield f"networks.{name}: no set of images has a {needed}, so it is shown nothing"
    yield from _reference_problems(study)
    conditions = {
        f"{experiment}/{name}": condition
        for experiment, names in expanded.items()
        for name, condition in names.items()
    }
    yield from _partition_problems(study, conditions)
    for name, recording in study.recordings.items():
        where = f"recordings.{name}"
        if isinstance(recording, SimulatedRecording):
            yield from _simulated_problems(where, recording, conditions, study)
        elif recording.stimuli not in study.images:
            yield (
                f"{where}.stimuli: no images are called {recording.stimuli!r}; "
                f"{nearest(recording.stimuli, study.images)}"
            )
    for name, roles in study.claims.items():
        yield from _claim_problems(f"claims.{name}", name, roles, conditions, study)
    encrypted = study.encryption
    if encrypted is not None and encrypted not in conditions:
        yield f"encryption: no condition {encrypted!r}; {nearest(encrypted, conditions)}"
    if study.identification is not None:
        yield from _identification_problems(study.identification, conditions)


def _partition_problems(study: Study, conditions: dict[str, Condition]) -> Iterator[str]:
    """Go through bands whose layer no condition or network has; others need the data."""
    layers = {name: network.layers for name, network in study.networks.items()}
    layers |= {name.partition("/")[2]: c.network.layers for name, c in conditions.items()}
    for model, bands in study.encoding.partition.items():
        for band in bands:
            member, _, layer = band.rpartition(":")
            if band == "labels" or member in ("labels", "stimuli"):
                continue
            where = f"encoding.partition.{model}: {band!r}"
            if member not in layers:
                options = nearest(member, {*layers, "labels", "stimuli"})
                yield f"{where}: no condition or network {member!r}; {options}"
            elif layer not in layers[member]:
                options = nearest(layer, layers[member])
                yield f"{where}: {member!r} has no layer {layer!r}; {options}"


def _reference_problems(study: Study) -> Iterator[str]:
    for number, reference in enumerate(study.references):
        where = f"references.{number}"
        for key in ("recording", "other"):
            value = getattr(reference, key)
            if value is not None and value not in study.recordings:
                yield f"{where}.{key}: no recording {value!r}; {nearest(value, study.recordings)}"
        if reference.comparator not in (None, *study.geometry.comparators):
            yield (
                f"{where}.comparator: {reference.comparator!r} is not among geometry.comparators "
                f"({', '.join(study.geometry.comparators)})"
            )
        pair = {reference.recording, reference.other}
        if reference.measure in SIMILARITIES and not pair <= set(study.with_common_stimuli()):
            yield f"{where}: {' and '.join(sorted(map(str, pair)))} saw different stimuli"


def _identification_problems(
    spec: Identification, conditions: dict[str, Condition]
) -> Iterator[str]:
    unknown = [c for c in [spec.target, *spec.candidates] if c not in conditions]
    for name in dict.fromkeys(unknown):
        yield f"identification: no condition {name!r}; {nearest(name, conditions)}"
    if unknown:
        return
    first = conditions[spec.target]
    for name in spec.candidates:
        if conditions[name].stimuli != first.stimuli:
            yield f"identification: {spec.target} and {name} saw different stimuli"
    if spec.residualise is not None and spec.residualise not in first.stimuli.features:
        yield (
            f"identification.residualise: no feature {spec.residualise!r}; "
            f"{nearest(spec.residualise, first.stimuli.features)}"
        )


def _simulated_problems(
    where: str, recording: SimulatedRecording, conditions: dict[str, Condition], study: Study
) -> Iterator[str]:
    if recording.source not in conditions:
        yield (
            f"{where}.source: no condition {recording.source!r}; "
            f"{nearest(recording.source, conditions)}"
        )
        return
    condition = conditions[recording.source]
    if recording.layer not in condition.network.layers:
        yield (
            f"{where}.layer: {recording.source} has no layer {recording.layer!r}; "
            f"{nearest(recording.layer, condition.network.layers)}"
        )
    if recording.seed_of_network >= condition.seeds:
        yield (
            f"{where}.seed_of_network: {recording.source} has seeds 0 to {condition.seeds - 1}, "
            f"found {recording.seed_of_network}"
        )
    available = min(condition.stimuli.n_test, study.geometry.n_stimuli)
    if recording.n_stimuli > available:
        yield (
            f"{where}.n_stimuli: {recording.n_stimuli} is more than the stimuli of the RDMs "
            f"({available}: the smaller of geometry.n_stimuli and the condition's n_test)"
        )
    folds = study.encoding.folds * study.encoding.inner_folds
    if recording.n_stimuli < folds:
        yield f"{where}.n_stimuli: {recording.n_stimuli} are too few for encoding's {folds} folds"


def _claim_problems(
    where: str,
    key: str,
    roles: dict[str, str],
    conditions: dict[str, Condition],
    study: Study,
) -> Iterator[str]:
    name = key.partition(" ")[0]
    if name not in CLAIMS:
        yield f"{where}: unknown claim; {nearest(name, CLAIMS)}"
        return
    if not re.fullmatch(r"\S+( [A-Za-z0-9_.+-]+)?", key):
        yield (
            f"{where}: a variant is one word behind the claim and a space, of letters, digits and "
            f"_ . + -; found {key.removeprefix(name)!r}"
        )
    entry = CLAIMS[name]
    wanted = entry.roles
    for role in roles.keys() - wanted.keys():
        yield f"{where}.{role}: {name} has no such role; {nearest(role, wanted)}"
    for role in wanted.keys() - roles.keys():
        yield f"{where}.{role}: missing; name a {wanted[role]}"
    filled = {r: v for r, v in roles.items() if wanted.get(r) == "condition"}
    for role, value in filled.items():
        if value not in conditions:
            yield f"{where}.{role}: no condition {value!r}; {nearest(value, conditions)}"
    features = {r: v for r, v in roles.items() if wanted.get(r) in ("feature", "target")}
    for kind, named in (("condition", filled), ("feature", features)):
        values = list(named.values())
        if len(set(values)) < len(values):
            twice = next(value for value in values if values.count(value) > 1)
            yield f"{where}: two roles are filled by the same {kind}, {twice!r}"
    known = {value: conditions[value] for value in filled.values() if value in conditions}
    experiments = {value.split("/")[0] for value in filled.values()}
    different = len({c.stimuli.model_dump_json() for c in known.values()}) > 1
    if entry.same_stimuli and (len(experiments) > 1 or different):
        yield (
            f"{where}: {', '.join(filled.values())} cannot be compared: conditions of a claim must "
            "belong to one experiment and share their stimuli"
        )
    for role, value in features.items():
        for condition, spec in known.items():
            possible = list(spec.stimuli.features)
            if value not in possible:
                yield f"{where}.{role}: no feature {value!r}; {nearest(value, possible)}"
                break
            trained = spec.training.targets or possible
            if wanted[role] == "target" and value not in trained:
                yield (
                    f"{where}.{role}: {condition} is not trained on {value!r}; "
                    f"{nearest(value, trained)}"
                )
                break
    computed = {
        condition: {name: (f.function, f.reads) for name, f in spec.stimuli.features.items()}
        for condition, spec in known.items()
    }
    if len({str(features) for features in computed.values()}) > 1:
        yield f"{where}: {' and '.join(computed)} compute different features"
    for table in entry.tables:
        if table in ANALYSES:
            for experiment in sorted(experiments & study.experiments.keys()):
                if table not in study.experiments[experiment].analyses:
                    yield f"{where}: {name} needs {table!r} in experiments.{experiment}.analyses"
        elif table == "identification":
            spec = study.identification
            if spec is None or spec.target not in filled.values():
                yield f"{where}: {name} needs a section identification with this target"
        elif table == "encryption" and study.encryption is None:
            yield f"{where}: {name} needs a condition in encryption"


def _unmet_claims(study: Study) -> Iterator[str]:
    """Go through what claims require of the conditions and features that fill their roles."""
    for name, roles in study.claims.items():
        requires = CLAIMS[name.partition(" ")[0]].requires
        if requires:
            yield from (f"claims.{name}: {problem}" for problem in requires(study, **roles))


def _refuse_twice(names: list[str]) -> list[str]:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} occurs twice")
    return names


def _paths(settings: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """Return the dotted path of every setting, and its keys (which may have dots of their own)."""
    paths = {}
    for key, value in settings.items():
        keys = (*prefix, key)
        paths[".".join(keys)] = keys
        if isinstance(value, dict):
            paths |= _paths(value, keys)
    return paths


def _set(settings: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    *parents, last = keys
    for key in parents:
        settings = settings[key]
    merged = keys in {(section,) for section in SECTIONS} and isinstance(value, dict)
    settings[last] = settings[last] | value if merged else value


def _named_levels(
    path: str, levels: dict[str, Any] | list[Any], problems: list[str]
) -> dict[str, Any]:
    if isinstance(levels, list):
        if any(isinstance(value, list | dict) for value in levels):
            problems.append(f"vary.{path}: give each list or mapping a name (name: value)")
            return {}
        if len({str(value) for value in levels}) < len(levels):
            problems.append(f"vary.{path}: a level occurs twice in {levels}")
        levels = {str(value): value for value in levels}
    if not levels:
        problems.append(f"vary.{path}: no levels")
    for name in levels:
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", str(name)):
            problems.append(
                f"vary.{path}: the level {name!r} cannot be part of a file name; name it with "
                "letters, digits and _ . + - (name: value)"
            )
            continue
        try:
            refuse_repetition(str(name))
        except ValueError as error:
            problems.append(f"vary.{path}: {error}")
    return {str(name): value for name, value in levels.items()}


def _short_names(paths: list[str]) -> dict[str, str]:
    """Return the shortest endings of the paths that tell them apart."""
    short = {}
    for path in paths:
        parts = path.split(".")
        for n in range(1, len(parts) + 1):
            ending = ".".join(parts[-n:])
            if sum(p == ending or p.endswith("." + ending) for p in paths) == 1:
                break
        short[path] = ending
    return short
