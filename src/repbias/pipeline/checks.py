"""Load a study, and find what contradicts itself between its sections."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from repbias.base.spec import RepbiasError, nearest
from repbias.claims.catalogue import CLAIMS
from repbias.claims.evidence import (
    ENOUGH_NETWORKS,
    MIN_NETWORKS,
    ROLE_WORDS,
    conditions_matching,
)
from repbias.config.analyses import ANALYSES
from repbias.config.explain import explain
from repbias.config.file import ConfigError, require_plain_data
from repbias.config.references import CEILINGS, SIMILARITIES
from repbias.config.study import MOST_CONDITIONS, Condition, Study
from repbias.geometry.spec import Identification
from repbias.io.activations import ONLY_RDMS
from repbias.networks.kinds import why_not_shown
from repbias.networks.spec import TrainedNetwork
from repbias.pipeline.question_checks import question_problems
from repbias.recordings.simulate import SimulatedRecording
from repbias.stimuli.spec import STATISTIC
from repbias.stimuli.statistics import STATISTICS

if TYPE_CHECKING:
    Analysis = str  # type checkers read no literal from a variable
else:
    Analysis = Literal[ANALYSES]


def load_study(config: dict[str, Any], source: str = "config", try_networks: bool = True) -> Study:
    """Check a configuration and return the study.

    Parameters
    ----------
    config
        What the YAML file says.
    source
        The file's name, for messages.
    try_networks
        Whether one network of every architecture is built and shown stimuli.

    Raises
    ------
    ConfigError
        With every problem found: its path, the value, and what is allowed.
    """
    require_plain_data(config, source)
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
    # What claims and questions require is asked of a study that is consistent.
    problems = [*(_impossible_networks(study) if try_networks else ()), *_inconsistencies(study)]
    problems = problems or [*_unmet_claims(study), *question_problems(study)]
    if problems:
        raise ConfigError(source, problems)
    return study


def _inconsistencies(study: Study) -> Iterator[str]:
    """Go through what is wrong between the sections."""
    expanded: dict[str, dict[str, Condition]] = {}
    for name in study.experiments:
        try:
            expanded[name] = study.expanded(name)
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
        yield f"networks.{name}{why_not_shown(study.networks[name], study.images)}"
    yield from _reference_problems(study)
    conditions = {
        f"{experiment}/{name}": condition
        for experiment, names in expanded.items()
        for name, condition in names.items()
    }
    trained = list(_trained_problems(study, conditions))
    yield from trained
    if not trained:  # as it is asked for their layers
        yield from _partition_problems(study, conditions)
    yield from _audit_problems(study, conditions)
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


def _impossible_networks(study: Study) -> Iterator[str]:
    """Go through networks that cannot be built, shown their stimuli, or trained."""
    found: dict[str, str] = {}
    try:
        conditions = list(study.conditions())
    except ConfigError:  # told elsewhere
        return
    for experiment, name, condition in conditions:
        try:
            condition.sizes()
        except RepbiasError as error:
            found.setdefault(str(error), f"experiments.{experiment}, condition {name}")
    yield from (f"{where}: {problem}" for problem, where in found.items())


def _trained_problems(study: Study, conditions: dict[str, Condition]) -> Iterator[str]:
    """Go through entries of `networks` whose networks are not trained here on images."""
    shown_images = {name: c for name, c in conditions.items() if _shows_images(c)}
    for name, network in study.networks.items():
        if not isinstance(network, TrainedNetwork):
            continue
        where, condition = f"networks.{name}", conditions.get(network.condition)
        if condition is None:
            yield (
                f"{where}.condition: no condition {network.condition!r}; "
                f"{nearest(network.condition, shown_images)}"
            )
        elif condition.trained_in is not None:
            yield (
                f"{where}.condition: networks of {network.condition} are trained in "
                f"{condition.trained_in}; name that"
            )
        elif not condition.trained:
            yield (
                f"{where}.condition: the network of {network.condition} is not trained here; name "
                "it as a network of kind 'torch'"
            )
        elif network.condition not in shown_images:
            inputs = condition.stimuli.inputs
            yield (
                f"{where}.condition: networks of {network.condition} are trained on stimuli of "
                f"shape {inputs.shape} ({inputs.dtype}), so they cannot be shown images; expected "
                f"(3, height, width) (uint8); {nearest(network.condition, shown_images)}"
            )
        elif network.seeds and network.seeds > condition.seeds:
            yield (
                f"{where}.seeds: {network.seeds}, but {network.condition} has {condition.seeds} "
                "networks"
            )


def _shows_images(condition: Condition) -> bool:
    inputs = condition.stimuli.inputs
    return inputs.dtype == "uint8" and len(inputs.shape) == 3 and inputs.shape[0] == 3


def _partition_problems(study: Study, conditions: dict[str, Condition]) -> Iterator[str]:
    """Go through joint models that no recording can be predicted by; columns need the data."""
    groups = study.groups()
    recordings = {name: study.shown_to(name) for name in study.with_responses()}
    for model, bands in study.encoding.partition.items():
        problems: dict[str, str] = {}
        for group in dict.fromkeys(recordings.values()):
            named = groups.get(group, [])
            shown = {c: conditions[f"{group}/{c}"] for c in named if group in study.experiments}
            members = {name: c.network.layers for name, c in shown.items()}
            if group in study.images:
                members = {name: study.layers_of(name) for name in named}
            labels = {name for c in shown.values() for name in c.stimuli.classes}
            only_rdms = {name for name in named if name in study.only_rdms()}
            found = (_band_problem(band, members, labels, only_rdms) for band in bands)
            problems[group] = next(filter(None, found), "")
        if all(problems.values()):
            for group, problem in problems.items():
                yield f"encoding.partition.{model}: {problem} (of {group!r})"


def _audit_problems(study: Study, conditions: dict[str, Condition]) -> Iterator[str]:
    """Go through audited features that no stimuli have, whatever their values."""
    wanted = {n: f.column or n for n, f in study.audit.features.items() if not f.product_of}
    if not wanted:
        return
    known = {name for condition in conditions.values() for name in condition.stimuli.classes}
    for images in study.images.values():
        try:
            known |= {*images.column_names()}
        except RepbiasError as error:
            yield f"audit.features: {error}"
            return
        known |= {STATISTIC + name for name in STATISTICS} if images.path else set()
    for name, column in wanted.items():
        if column not in known:
            key = f"{name}.column" if column != name else name
            yield (
                f"audit.features.{key}: no stimuli have a column or feature {column!r}; "
                f"{nearest(column, known)}"
            )


def _band_problem(
    band: str, members: dict[str, list[str]], labels: set[str], only_rdms: Collection[str]
) -> str:
    """Return what is wrong with a band, given the layers of what can be a member."""
    member, _, layer = band.rpartition(":")
    if band != "labels" and not (member and layer):
        owners = [name for name, layers in members.items() if band in layers]
        expected = "expected 'member:layer', 'labels:feature', 'labels' or 'stimuli:column'"
        if len(owners) == 1:
            expected = f"did you mean '{owners[0]}:{band}'? ({expected})"
        return f"{band!r} is no band; {expected}"
    if member == "stimuli":
        return ""
    if "labels" in (band, member):
        if not labels:
            return f"{band!r}: only generated stimuli have labels"
        if band == "labels" or layer in labels:
            return ""
        return f"{band!r}: no feature {layer!r}; {nearest(layer, labels)}"
    if member not in members:
        options = nearest(member, {*members, "labels", "stimuli"})
        return f"{band!r}: no condition or network {member!r}; {options}"
    if layer not in members[member]:
        return f"{band!r}: {member!r} has no layer {layer!r}; {nearest(layer, members[member])}"
    return f"{band!r} is no band: {ONLY_RDMS}" if member in only_rdms else ""


def _reference_problems(study: Study) -> Iterator[str]:
    groups = study.groups()
    alone = {name for name in study.recordings if study.shown_to(name) not in groups}
    for number, reference in enumerate(study.references):
        where = f"references.{number}"
        for key in ("recording", "other"):
            value = getattr(reference, key)
            if value is not None and value not in study.recordings:
                yield f"{where}.{key}: no recording {value!r}; {nearest(value, study.recordings)}"
        if reference.rdm_similarity not in (None, *study.geometry.rdm_similarities):
            yield (
                f"{where}.rdm_similarity: {reference.rdm_similarity!r} is not among "
                f"geometry.rdm_similarities ({', '.join(study.geometry.rdm_similarities)})"
            )
        if reference.measure in CEILINGS and reference.recording in alone:
            yield f"{where}: no network is compared with {reference.recording!r}, so it has no RSA"
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
    if spec.residualise is not None and spec.residualise not in first.stimuli.classes:
        yield (
            f"identification.residualise: no feature {spec.residualise!r}; "
            f"{nearest(spec.residualise, first.stimuli.classes)}"
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
        yield f"{where}.{role}: missing; name {ROLE_WORDS[wanted[role]]}"
    filled = {r: v for r, v in roles.items() if wanted.get(r) == "condition"}
    for role, pattern in roles.items():
        if wanted.get(role) == "conditions":
            matching = conditions_matching(pattern, conditions)
            if not matching:
                yield f"{where}.{role}: no condition {pattern!r}; {nearest(pattern, conditions)}"
            filled |= {f"{role}.{condition}": condition for condition in matching}
    pooled = _pooled(filled, conditions)
    if pooled and (entry.same_stimuli or entry.contrast or len(filled) > 1):
        yield f"{where}: {name} compares conditions one by one; name them, without a pattern"
        return
    filled = pooled or filled
    layers = {conditions[value].network.analysed for value in pooled.values()}
    if len(layers) > 1:
        yield f"{where}: conditions that are taken together must have one analysed layer, {layers}"
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
    if entry.contrast:
        yield from (f"{where}: {problem}" for problem in entry.contrast.problems(roles, conditions))
    for role, value in features.items():
        for condition, spec in known.items():
            possible = list(spec.stimuli.classes)
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
        condition: {name: spec.stimuli.definition(name) for name in spec.stimuli.classes}
        for condition, spec in known.items()
    }
    # With more classes, or with other values where stimuli are what varies, it is another one.
    varied = entry.contrast.settings if entry.contrast else ()
    other = bool(pooled) or "stimuli.n_classes" in varied
    if not other and len({str(features) for features in computed.values()}) > 1:
        yield f"{where}: {' and '.join(computed)} compute different features"
    elsewhere = [c for c, spec in known.items() if spec.trained_in is not None]
    if elsewhere and "learning" in entry.tables:
        yield (
            f"{where}: {name} is about learning, and networks of {elsewhere[0]} learned in "
            f"{known[elsewhere[0]].trained_in}; name that"
        )
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


def _pooled(filled: Mapping[str, str], conditions: Collection[str]) -> dict[str, str]:
    """Return the conditions that patterns name in roles of one condition; none without pattern."""
    return {
        f"{role}.{condition}": condition
        for role, pattern in filled.items()
        if pattern not in conditions
        for condition in conditions_matching(pattern, conditions)
    }


def few_networks(study: Study) -> Iterator[str]:
    """Go through claims about conditions with too few networks for a verdict, whatever they do."""
    conditions = {f"{e}/{name}": spec for e, name, spec in study.conditions()}
    for name, roles in study.claims.items():
        if CLAIMS[name.partition(" ")[0]].units == "tasks":
            yield from _few_tasks(name, roles, conditions)
            continue
        for role, kind in CLAIMS[name.partition(" ")[0]].roles.items():
            if kind not in ("condition", "conditions"):
                continue
            seeds = {
                condition: conditions[condition].seeds
                for condition in conditions_matching(roles[role], conditions)
            }
            if kind == "condition" and len(seeds) > 1:  # their networks are taken together
                seeds = {roles[role]: sum(seeds.values())}
            few = next((c for c, n in seeds.items() if n < MIN_NETWORKS), None)
            if few is not None:
                yield (
                    f"claims.{name}: {few} has {seeds[few]} networks (seeds), where a verdict "
                    f"needs {MIN_NETWORKS} and reviewers ask for {ENOUGH_NETWORKS}"
                )
                break


def _few_tasks(
    name: str, roles: Mapping[str, str], conditions: Mapping[str, Condition]
) -> Iterator[str]:
    """Say if a claim about tasks has too few for a verdict."""
    for role, kind in CLAIMS[name.partition(" ")[0]].roles.items():
        if kind == "conditions":
            members = conditions_matching(roles[role], conditions)
            tasks = {getattr(conditions[member].stimuli, "task", 0) for member in members}
            if len(tasks) < MIN_NETWORKS:
                yield (
                    f"claims.{name}: {roles[role]} has {len(tasks)} tasks (stimuli.task), where a "
                    f"verdict needs {MIN_NETWORKS} and reviewers ask for {ENOUGH_NETWORKS}"
                )
                return


def _unmet_claims(study: Study) -> Iterator[str]:
    """Go through what claims require of the conditions and features that fill their roles."""
    for name, roles in study.claims.items():
        entry = CLAIMS[name.partition(" ")[0]]
        if entry.requires is None:
            continue
        conditions = study.names_of_conditions()
        alone = {r: v for r, v in roles.items() if entry.roles.get(r) == "condition"}
        # Of conditions that are taken together, each must be what is required.
        for pooled in _pooled(alone, conditions).values() or [None]:
            filled = roles if pooled is None else roles | dict.fromkeys(alone, pooled)
            yield from (f"claims.{name}: {problem}" for problem in entry.requires(study, **filled))
