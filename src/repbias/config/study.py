"""What ``config.yaml`` may say, and the conditions it expands to."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import product
from math import factorial, prod
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import (
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from repbias.auditing.spec import Audit
from repbias.base.inputs import Inputs, Task
from repbias.base.spec import (
    Name,
    Spec,
    kind_of,
    nearest,
    nearest_key,
    refuse_duplicates,
    refuse_periodic,
)
from repbias.bias.spec import Bias
from repbias.config.analyses import ANALYSES, OF_OUTPUTS
from repbias.config.explain import explain
from repbias.config.file import MAX_PROBLEMS, ConfigError
from repbias.config.orders import named_orders
from repbias.config.questions import Question
from repbias.config.references import Reference
from repbias.encoding.spec import Encoding
from repbias.geometry.spec import Geometry, Identification, Similarity
from repbias.networks.architecture import Sizes
from repbias.networks.architectures import ARCHITECTURES, AnyArchitecture
from repbias.networks.heads import Heads
from repbias.networks.kinds import ComputedNetwork, Network, is_shown
from repbias.networks.modules import Modules, Readout
from repbias.networks.spec import FeatureNetwork, TrainedNetwork, Training
from repbias.networks.transformer import Transformer
from repbias.recordings.readers import RecordingSpec
from repbias.recordings.simulate import SimulatedRecording
from repbias.recovery.spec import Recovery
from repbias.stimuli.families import Family
from repbias.stimuli.spec import ImageSet

#: Sections of a condition; a level of one of them is merged into it, not put in its place.
SECTIONS = ("stimuli", "network", "training")
#: Arguments of a user's own architecture have names of the user's.
ARGUMENTS = "network.arguments."
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

    stimuli: Family
    """What is shown."""
    network: AnyArchitecture = ARCHITECTURES[0]()
    """The architecture."""
    training: Training = Training()
    """How it is trained."""
    seeds: int = Field(10, ge=1, le=1000)
    """How many networks; their seeds are 0, 1, 2, ..."""
    trained_in: str | None = None
    """A condition (experiment/condition) of another experiment whose networks are shown these
    stimuli, as they are: untrained, first mastered and at the end. `network` and `training` are
    that condition's, and `seeds` too when left out."""
    readout: Readout | dict[str, Readout] | None = None
    """With `trained_in`: how layers are read, if not as in that condition."""

    @property
    def trained(self) -> bool:
        """Whether networks are trained in this condition, and not shown its stimuli as they are."""
        return self.network.trained and self.trained_in is None

    def sizes(self) -> Sizes:
        """Return how large a network of this condition is, and what a training step costs.

        Raises
        ------
        RepbiasError
            If there can be no such network.
        """
        heads = Heads.of(list(self.stimuli.targets.values()), self.training.two_classes)
        return self.network.sizes(Task(self.stimuli.inputs, heads.n_outputs))

    @model_validator(mode="after")
    def _targets_exist(self) -> Condition:
        if self.trained_in is not None:
            return self  # of another condition, which is checked itself
        if self.readout is not None:
            raise ValueError("readout goes with trained_in; use network.readout")
        if not self.network.trained:
            self._is_as_given()
            return self
        possible = self.stimuli.targets
        for where in ("targets", "curriculum"):
            for target in getattr(self.training, where) or []:
                if target not in possible:
                    raise ValueError(
                        f"training.{where}: no feature {target!r}; {nearest(target, possible)}"
                    )
        for target in self.training.targets or possible:
            if target not in self.stimuli.learnable:
                raise ValueError(
                    f"training.targets: with stimuli.unseen_values, some classes of {target!r} "
                    f"occur in validation and test stimuli only; expected "
                    f"{self.stimuli.learnable}"
                )
        self._targets_can_be_met()
        if self.training.batch_size != "full" and self.training.batch_size > self.stimuli.n_train:
            raise ValueError(
                f"training.batch_size is {self.training.batch_size}, more than stimuli.n_train "
                f"({self.stimuli.n_train})"
            )
        return self

    def _is_as_given(self) -> None:
        """Refuse what nothing can follow from where networks are not trained here."""
        kind = kind_of(type(self.network))
        if self.training != Training():
            raise ValueError(f"training: networks of kind {kind!r} are not trained; leave it out")
        if self.seeds != 1:
            raise ValueError(
                f"seeds is {self.seeds}, but a network of kind {kind!r} is one; expected seeds: 1 "
                "(vary stimuli.seed for other stimuli)"
            )

    def _targets_can_be_met(self) -> None:
        """Refuse an inclusion criterion that no network can meet."""
        for target in self.training.targets or self.stimuli.targets:
            best = self.stimuli.best_accuracy(target)
            if self.training.inclusion > best:
                raise ValueError(
                    f"training.inclusion is {self.training.inclusion}, but no network can predict "
                    f"{target!r} on more than {best:.3f} of the test stimuli; lower it (0 keeps "
                    "all)"
                )


class Experiment(Condition):
    """A condition, and the settings that vary from it: the levels of `vary` are crossed."""

    vary: dict[str, dict[str, Any] | list[Any] | Literal["balanced", "all"]] = {}
    """Dotted path of a setting to its levels: a list, or a mapping of names to values. A level of
    `training`, `network` or `stimuli` gives some of the section's settings and leaves the others
    as they are. For `network.order`, `balanced` is a balanced square of orders of the features,
    `all` every order."""
    analyses: list[Analysis] = list(ANALYSES)
    """What is measured; each is a table. Comparisons between networks grow with their square."""
    conditions_per_job: int = Field(1, ge=1)
    """Conditions that one job goes through, at every step: many make sweeps of small conditions
    quick, as they are trained stacked where their shapes agree, and keep the number of jobs low. An
    edit of one condition then reruns all of its job, but trains only what changed."""

    @model_validator(mode="before")
    @classmethod
    def _possible_analyses(cls, settings: Any) -> Any:
        """Leave analyses of outputs out where networks have none, unless they are named."""
        if not isinstance(settings, dict):
            return settings
        network, vary = settings.get("network"), settings.get("vary")
        given = {kind_of(a) for a in ARCHITECTURES if not a.trained}
        as_given = isinstance(network, dict) and network.get("kind") in given
        elsewhere = "trained_in" in settings or (isinstance(vary, dict) and "trained_in" in vary)
        if as_given or elsewhere:
            possible = [a for a in ANALYSES if a not in OF_OUTPUTS]
            return {"analyses": possible} | settings
        return settings

    @field_validator("analyses")
    @classmethod
    def _different(cls, analyses: list[str]) -> list[str]:
        return refuse_duplicates(analyses)

    @model_validator(mode="after")
    def _one_place_of_training(self) -> Experiment:
        """Refuse settings of networks that another condition sets."""
        if self.trained_in is not None or "trained_in" in self.vary:
            given: list[str] = [s for s in ("network", "training") if s in self.model_fields_set]
            given += [p for p in self.vary if p.split(".")[0] in ("network", "training")]
            if given:
                raise ValueError(
                    f"trained_in: networks are those of another condition, and so is {given[0]!r}; "
                    "leave it out"
                )
        return self

    @model_serializer(mode="wrap")
    def _as_written(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Leave defaults that may not be given out of JSON, so that it can be read again."""
        settings: dict[str, Any] = handler(self)
        if info.mode == "json" and self.shows_others:
            of_others = {"network", "training", *({"seeds"} - self.model_fields_set)}
            return {k: v for k, v in settings.items() if k not in of_others}
        return settings

    @property
    def shows_others(self) -> bool:
        """Whether networks are those of another experiment."""
        return self.trained_in is not None or "trained_in" in self.vary

    def n_conditions(self) -> int:
        """Return how many conditions there are, without expanding them."""
        n = len(self.stimuli.targets)
        counts = {"balanced": n if n % 2 == 0 else 2 * n, "all": factorial(n)}
        return prod(
            counts[levels] if isinstance(levels, str) else len(levels)
            for levels in self.vary.values()
        )

    def expand(self, experiments: Mapping[str, Experiment] | None = None) -> dict[str, Condition]:
        """Return the conditions by name, such as ``optimizer=adam,batch_size=128``.

        Parameters
        ----------
        experiments
            All experiments of the study, where networks may be those of another one.

        Raises
        ------
        ConfigError
            If a path does not exist or a level is not possible.
        """
        base = self.model_dump(include=set(Condition.model_fields))
        paths = _paths(base)
        problems: list[str] = []
        axes: dict[str, dict[str, Any]] = {}
        for path, levels in self.vary.items():
            if path.startswith(ARGUMENTS) and "arguments" in base["network"]:
                paths[path] = ("network", "arguments", path.removeprefix(ARGUMENTS))
            if path not in paths:
                problems.append(f"vary: no setting {path!r}; {nearest_key(path, paths)}")
                continue
            named = self._named_levels(path, levels, problems)
            axes[path] = named
            problems += self._overlaps(path, named.values())
        if problems:
            raise ConfigError("vary", problems)
        conditions = {}
        for name, chosen in _crossed(axes):
            if len(problems) >= MAX_PROBLEMS:
                break
            settings = copy.deepcopy(base)
            # A section before what is in it.
            for path in sorted(chosen, key=lambda path: len(paths[path])):
                _set(settings, paths[path], copy.deepcopy(axes[path][chosen[path]]))
            if len(name) > 200:
                problems.append(f"vary: the name {name!r} is too long for a file (200 characters)")
                continue
            try:
                condition = _in_order(Condition.model_validate(settings))
                conditions[name] = self._as_trained(condition, experiments or {})
            except ConfigError as error:
                problems += [p for p in error.problems if p not in problems]
            except ValidationError as error:
                for problem in explain(error, Condition):
                    problem = problem.removeprefix("top level: ")
                    if not any(known.endswith(problem) for known in problems):
                        problems.append(f"vary, condition {name}: {problem}")
        if any(not condition.trained for condition in conditions.values()):
            for name in [a for a in self.analyses if a in OF_OUTPUTS]:
                problems.append(
                    f"analyses: {name!r} is of outputs for the features, which networks that are "
                    "not trained here have none of; leave it out"
                )
        if problems:
            raise ConfigError("vary", problems)
        return conditions

    def levels(self) -> dict[str, dict[str, str]]:
        """Return, for each condition by name, the path of every varied setting and its level."""
        named = {p: self._named_levels(p, levels, []) for p, levels in self.vary.items()}
        return dict(_crossed(named))

    def _named_levels(
        self, path: str, levels: dict[str, Any] | list[Any] | str, problems: list[str]
    ) -> dict[str, Any]:
        """Return the levels of a setting by name."""
        if not isinstance(levels, str):
            return _named_levels(path, levels, problems)
        if path != "network.order":
            problems.append(f"vary.{path}: {levels!r} is for network.order only; give its levels")
            return {}
        try:
            return dict(named_orders(list(self.stimuli.targets), levels))
        except ValueError as error:
            problems.append(f"vary.{path}: {error}")
            return {}

    def _as_trained(self, condition: Condition, experiments: Mapping[str, Experiment]) -> Condition:
        """Return a condition with the networks of another one, if it names one."""
        name = condition.trained_in
        if name is None:
            return condition
        others = {e: spec for e, spec in experiments.items() if spec is not self}
        experiment, _, level = name.partition("/")
        source = None
        if experiment in others and not others[experiment].shows_others:
            try:
                source = others[experiment].expand().get(level)
            except ConfigError:
                return condition  # told of that experiment
        if source is None or not source.trained:
            known = [f"{e}/{c}" for e, spec in others.items() for c in _trained_here(spec)]
            raise ConfigError(
                "trained_in",
                [
                    f"trained_in: no condition {name!r} of another experiment trains networks; "
                    f"{nearest(name, known)}"
                ],
            )
        if condition.stimuli.inputs != source.stimuli.inputs:
            was, now = (_in_words(c.stimuli.inputs) for c in (source, condition))
            raise ConfigError(
                "trained_in",
                [
                    f"trained_in: networks of {name} are trained on stimuli of {was}, found {now}; "
                    "expected the same"
                ],
            )
        reported = list(source.stimuli.targets)
        if isinstance(source.network, Transformer) and reported != list(condition.stimuli.targets):
            raise ConfigError(
                "trained_in",
                [
                    f"trained_in: transformers of {name} report {', '.join(reported)}, in an "
                    "order; expected stimuli with these features, found "
                    f"{', '.join(condition.stimuli.targets)}"
                ],
            )
        given = "seeds" in self.model_fields_set or "seeds" in self.vary
        seeds = condition.seeds if given else source.seeds
        if seeds > source.seeds:
            raise ConfigError(
                "seeds", [f"seeds: {seeds}, but {name} has {source.seeds} networks; expected fewer"]
            )
        network = source.network
        if condition.readout is not None:
            if not isinstance(network, Modules):
                raise ConfigError("readout", ["readout: perceptrons have layers of units only"])
            settings = network.model_dump() | {"readout": condition.readout}
            network = type(network).model_validate(settings)
        # Stimuli may have other features than those that were trained.
        targets = source.training.targets or reported
        training = source.training.model_copy(update={"targets": targets})
        return condition.model_copy(
            update={"network": network, "training": training, "seeds": seeds}
        )

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
    """Networks that are trained on generated stimuli, or shown them as they are."""
    images: dict[Name, ImageSet] = {}
    """Sets of stimuli: images, or a table of what is known of them."""
    networks: dict[Name, Network] = {}
    """Models of your own, and networks that the study trains, run on every set of stimuli."""
    recordings: dict[Name, RecordingSpec] = {}
    """Recordings that the networks are compared with."""
    geometry: Geometry = Geometry()
    """RSA."""
    audit: Audit = Audit()
    """How much of every score is which feature of the stimuli."""
    recovery: Recovery = Recovery()
    """Whether the study of a recording would name the right model."""
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
    claim name a variant of it: `C1 momentum`. Where a claim is about one condition, a pattern
    (`mine/*`) takes the networks of several together."""
    questions: dict[Name, Question] = {}
    """Questions of your own, decided and shown like claims (docs/questions.md)."""

    @field_validator("keep")
    @classmethod
    def _different(cls, keep: list[str]) -> list[str]:
        return refuse_duplicates(keep)

    @model_serializer(mode="wrap")
    def _as_read(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Write levels in JSON as the numbers that they are: YAML reads 1e-4 as text."""
        settings: dict[str, Any] = handler(self)
        for name in self.experiments if info.mode == "json" else ():
            settings["experiments"][name]["vary"] |= self._levels_as_read(name)
        return settings

    def _levels_as_read(self, experiment: str) -> dict[str, dict[str, Any]]:
        """Return varied settings with levels that are numbers but text where they were written.

        Each with its levels by name, since names of conditions have them as they were written.
        """
        spec, conditions = self.experiments[experiment], self.expanded(experiment)
        first: dict[tuple[str, str], Condition] = {}
        for name, chosen in spec.levels().items():
            for level in chosen.items():
                first.setdefault(level, conditions[name])
        found = {}
        for path, levels in spec.vary.items():
            written = spec._named_levels(path, levels, [])
            read = {
                level: _with_numbers(value, _values_of(first[path, level], [path])[path])
                for level, value in written.items()
            }
            if read != written:
                found[path] = read
        return found

    def condition(self, name: str) -> Condition:
        """Return the condition called "experiment/condition"."""
        experiment, _, condition = name.partition("/")
        return self.expanded(experiment)[condition]

    @cached_property
    def _expansions(self) -> dict[str, dict[str, Condition]]:
        """Conditions by experiment, as far as they were asked for: sweeps have thousands."""
        return {}

    def expanded(self, experiment: str) -> dict[str, Condition]:
        """Return the conditions of an experiment by name."""
        if experiment not in self._expansions:
            conditions = self.experiments[experiment].expand(self.experiments)
            self._expansions[experiment] = conditions
        return self._expansions[experiment]

    def names_of_conditions(self) -> list[str]:
        """Return the names of all conditions, "experiment/condition"."""
        return [f"{experiment}/{name}" for experiment, name, _ in self.conditions()]

    def conditions(self) -> Iterator[tuple[str, str, Condition]]:
        """Go through (experiment, condition name, condition)."""
        for experiment in self.experiments:
            for name, condition in self.expanded(experiment).items():
                yield experiment, name, condition

    def groups(self) -> dict[str, list[str]]:
        """Return, for each experiment its conditions, and for each stimulus set its networks."""
        groups = {e: list(self.expanded(e)) for e in self.experiments}
        shown = {
            name: [n for n, network in self.networks.items() if is_shown(network, name, stimuli)]
            for name, stimuli in self.images.items()
        }
        return groups | {name: networks for name, networks in shown.items() if networks}

    def layers_of(self, network: str) -> list[str]:
        """Return the layers of an entry of `networks`: of one that is trained, its condition's."""
        spec = self.networks[network]
        if isinstance(spec, TrainedNetwork):
            return self.condition(spec.condition).network.layers
        return list(spec.layers or ())

    def computed(self) -> dict[str, ComputedNetwork]:
        """Return the models that are already computed."""
        found = self.networks.items()
        return {name: spec for name, spec in found if isinstance(spec, ComputedNetwork)}

    def only_rdms(self) -> list[str]:
        """Return the models of which only RDMs are known."""
        return [name for name, spec in self.networks.items() if spec.kind == "rdm"]

    def with_common_stimuli(self) -> list[str]:
        """Return the recordings, not simulated, that share their stimulus set with another."""
        read = [name for name in self.recordings if name not in self.simulated()]
        sets = [self.shown_to(name) for name in read]
        return [name for name in read if sets.count(self.shown_to(name)) > 1]

    def tested_columns(self) -> list[str]:
        """Return what names columns of the stimuli in models, joint models and the audit."""
        entries = [f.column or name for name, f in self.audit.features.items()]
        for network in self.networks.values():
            if isinstance(network, FeatureNetwork):
                entries += [entry for space in network.spaces.values() for entry in space]
        bands = [band for model in self.encoding.partition.values() for band in model]
        entries += [b.removeprefix("stimuli:") for b in bands if b.startswith("stimuli:")]
        return list(dict.fromkeys(entries))

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


def _in_order(condition: Condition) -> Condition:
    """Return a condition whose network knows features by their number, not their name."""
    network, targets = condition.network, list(condition.stimuli.targets)
    if not isinstance(network, Transformer):
        return condition
    if condition.training.two_classes == "softmax" or set(condition.stimuli.targets.values()) != {
        2
    }:
        raise ConfigError(
            "network",
            [
                "network.kind: a transformer reports features of two classes, each by one logit "
                "(training.two_classes: sigmoid); found others"
            ],
        )
    training = condition.training
    rewarded = [t for t in training.targets or targets if t not in training.curriculum]
    if network.answers == "fed" and set(rewarded) != set(targets):
        left = ", ".join(t for t in targets if t not in rewarded)
        raise ConfigError(
            "network",
            [
                f"network.answers: answers are fed with the true labels of all features in "
                f"training, but {left} are not rewarded, or not from the beginning; expected "
                "'unfed' or 'heads'"
            ],
        )
    order: list[str] | list[int] = network.order if network.order is not None else targets
    for feature in order:
        if isinstance(feature, str) and feature not in targets:
            raise ConfigError(
                "network", [f"network.order: no feature {feature!r}; {nearest(feature, targets)}"]
            )
    numbers = [targets.index(f) if isinstance(f, str) else f for f in order]
    if sorted(numbers) != list(range(len(targets))):
        raise ConfigError(
            "network", [f"network.order: expected each of {targets} once, found {order}"]
        )
    return condition.model_copy(update={"network": network.model_copy(update={"order": numbers})})


def _in_words(inputs: Inputs) -> str:
    """Say what networks are shown."""
    tokens = f", {inputs.vocabulary} tokens" if inputs.vocabulary else ""
    return f"shape {inputs.shape} ({inputs.dtype}{tokens})"


def _trained_here(experiment: Experiment) -> list[str]:
    """Return the conditions of an experiment whose networks it trains; none if it is wrong."""
    if experiment.shows_others:
        return []
    try:
        return [name for name, condition in experiment.expand().items() if condition.trained]
    except ConfigError:
        return []


def settings_of(study: Study) -> dict[str, dict[str, Any]]:
    """Return "experiment/condition" to the settings that are varied there, or questions name.

    Of a list or a section it is the level's name.
    """
    named = {c for q in study.questions.values() for c in q.named() if "." in c}
    settings: dict[str, dict[str, Any]] = {}
    for experiment, spec in study.experiments.items():
        levels, paths = spec.levels(), dict.fromkeys([*spec.vary, *sorted(named)])
        for name, condition in study.expanded(experiment).items():
            found = {
                path: value if isinstance(value, str | int | float) else levels[name].get(path)
                for path, value in _values_of(condition, paths).items()
            }
            known = {path: value for path, value in found.items() if value is not None}
            settings[f"{experiment}/{name}"] = known
    return settings


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
    if merged and "kind" in value and value["kind"] != settings[last].get("kind"):
        merged = False  # settings of one kind mean nothing to another
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
            refuse_periodic(str(name))
        except ValueError as error:
            problems.append(f"vary.{path}: {error}")
    return {str(name): value for name, value in levels.items()}


def _crossed(axes: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Go through the conditions: the name of each, and the level of every varied setting."""
    short = _short_names(list(axes))
    for levels in product(*axes.values()):
        chosen = dict(zip(axes, levels, strict=True))
        yield ",".join(f"{short[path]}={level}" for path, level in chosen.items()) or "base", chosen


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


def condition_rows(study: Study) -> list[dict[str, Any]]:
    """Return a row per condition, with what varies between conditions.

    Returns
    -------
    list of dict
        The "experiment", the "condition", every setting that an experiment varies by its path, the
        analysed "layer" and the number of "seeds". Of a setting that is a list, a mapping or null,
        the name of its level, or None in experiments that do not vary it.
    """
    paths = dict.fromkeys(path for spec in study.experiments.values() for path in spec.vary)
    rows = []
    for experiment, spec in study.experiments.items():
        levels = spec.levels()
        for name, condition in study.expanded(experiment).items():
            values = {
                path: value if isinstance(value, str | int | float) else levels[name].get(path)
                for path, value in _values_of(condition, paths).items()
            }
            about = {"layer": condition.network.analysed, "seeds": condition.seeds}
            rows.append({"experiment": experiment, "condition": name} | values | about)
    return rows


def _values_of(condition: Condition, paths: Iterable[str]) -> dict[str, Any]:
    """Return settings of a condition by their dotted paths; None where it has none."""
    settings = condition.model_dump()
    keys, found = _paths(settings), {}
    for path in paths:
        value: Any = settings
        for key in keys.get(path, (None,)):
            value = value[key] if key is not None else None
        found[path] = value
    return found


def _with_numbers(written: Any, read: Any) -> Any:
    """Return what was written, with the numbers that text in it was read as."""
    if isinstance(written, dict) and isinstance(read, dict):
        return {key: _with_numbers(part, read.get(key)) for key, part in written.items()}
    if isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        return list(map(_with_numbers, written, read))
    try:
        return read if isinstance(written, str) and float(written) == read else written
    except ValueError:
        return written
