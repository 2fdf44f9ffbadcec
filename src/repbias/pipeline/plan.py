"""What a study makes: batches of conditions, files, tables and figures, and what each depends on.

The rules of the workflow ask a :class:`Plan` for everything that is not the name of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from repbias.config.analyses import ANALYSES, BETWEEN_NETWORKS, OF_NETWORKS, OF_RECORDINGS
from repbias.config.study import Condition, Study, settings_of
from repbias.networks.convolutional import Convolutional
from repbias.networks.spec import TrainedNetwork
from repbias.networks.transformer import Transformer
from repbias.networks.vit import VisionTransformer
from repbias.report.captions import FIGURES
from repbias.stimuli.pictures import Pictures
from repbias.stimuli.spec import STATISTIC
from repbias.stimuli.tokens import Tokens

#: Analyses of recordings that need responses; the others are done from RDMs alone as well.
OF_RESPONSES = ("encoding", "variance_partition")
#: Tables that follow from other tables, and from which; where a study fills those.
DERIVED = {
    "encoding_regions": ("encoding",),
    "variance_partition_regions": ("variance_partition",),
    "references": ("quality", "rsa_recordings", "rsa_between_recordings"),
}
#: Conditions of which the report shows pictures of a network, and sets of generated images that it
#: shows, at most.
MOST_PICTURED, MOST_SETS = 12, 6
#: Conditions of which the report shows what a transformer attends to, at most.
MOST_ATTENDED = 6
#: Kinds of networks whose layers have no order: none stands for the others.
UNORDERED = ("features", "rdm")
#: Architectures whose first layer has filters of pixels.
WITH_FILTERS = (Convolutional, VisionTransformer)
#: Settings of generated images that their test stimuli do not depend on, where each network has a
#: training set of its own.
OF_TRAINING_SETS = {"n_train", "agreement", "prevalence", "supervised", "label_noise"}
#: Settings of `geometry` that concern the RDMs of networks, not those of recordings.
OF_NETWORK_RDMS = {"distance", "n_stimuli"}


class Plan:
    """What the pipeline makes of a study.

    A batch is what one job does of an experiment at every step of its networks: a condition, or
    several where the study puts several in a job. Its files have a group for each condition.

    Attributes
    ----------
    study : the configuration
    results : the folder of everything
    conditions : (experiment, condition) to its settings
    groups : experiment to its conditions, stimulus set to the networks that it is shown to
    batches : (experiment, batch) to the names of its conditions
    common_stimuli : stimulus set to its recordings, where there are several
    with_images : (experiment, condition) of networks that are trained on generated images
    pictured : those of which the report shows a network
    attended : (experiment, condition) of transformers of which it shows attention
    layers : every entry of `networks` to its layers
    tables : names of the tables that the study fills
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.layers = {name: study.layers_of(name) for name in study.networks}
        self.results = f"results/{study.study}"
        self.conditions = {(e, name): spec for e, name, spec in study.conditions()}
        self.groups = study.groups()
        self.batches = {
            (experiment, name): conditions
            for experiment, spec in study.experiments.items()
            for name, conditions in _batches(self.groups[experiment], spec.conditions_per_job)
        }
        self._batch_of = {(e, c): b for (e, b), names in self.batches.items() for c in names}
        shared = study.with_common_stimuli()
        self.common_stimuli = {
            images: [name for name in shared if study.shown_to(name) == images]
            for images in dict.fromkeys(map(study.shown_to, shared))
        }
        self.with_images = [
            key for key, spec in self.conditions.items() if isinstance(spec.stimuli, Pictures)
        ]
        self.pictured = _first_of_each(self.with_images, MOST_PICTURED)
        self.attended = _first_of_each(
            [
                key
                for key, spec in self.conditions.items()
                if isinstance(spec.network, Transformer) and spec.trained
            ],
            MOST_ATTENDED,
        )
        self.tables = self._tables()

    # What there is

    def analysed(self, analysis: str) -> list[str]:
        """Return the experiments (and sets of images) that an analysis is done for."""
        study, images = self.study, []
        if analysis == "rsa_models":
            layers = {
                name: [layer for network in shown for layer in self.layers[network]]
                for name, shown in self.groups.items()
                if name in study.images
            }
            images = [name for name, names in layers.items() if len(names) > 1]
        return [e for e, spec in study.experiments.items() if analysis in spec.analyses] + images

    def recordings_of(self, analysis: str) -> list[str]:
        """Return the recordings that an analysis is done for."""
        if analysis in OF_RESPONSES:
            return self.study.with_responses()
        return list(self.study.recordings)

    def audited_recordings(self) -> list[str]:
        """Return the recordings whose scores with networks are divided among features."""
        enabled = self.study.audit.enabled
        return [
            r for r in self.study.recordings if enabled and self.groups.get(self.study.shown_to(r))
        ]

    def recovered_recordings(self) -> list[str]:
        """Return the recordings at whose noise brains are simulated."""
        enabled = self.study.recovery.enabled
        return [
            r for r in self.study.recordings if enabled and self.groups.get(self.study.shown_to(r))
        ]

    def recovered_shares(self) -> list[str]:
        """Return the recordings at whose noise shares of scores are tested."""
        wanted = self.study.audit.enabled and self.study.recovery.shares
        return self.recovered_recordings() if wanted else []

    def activations_for(self, recording: str) -> list[str]:
        """Return the files of the activations that brains are simulated from; none for RDMs."""
        if recording not in self.study.with_responses():
            return []
        return self.files_of("activations", self.study.shown_to(recording))

    def audited_networks(self) -> list[str]:
        """Return the experiments and sets of images whose networks are divided in pairs."""
        return self.analysed("rsa_models") if self.study.audit.enabled else []

    def audited_pairs(self) -> list[str]:
        """Return the sets of stimuli whose recordings are divided in pairs."""
        return list(self.common_stimuli) if self.study.audit.enabled else []

    def with_statistics(self) -> list[str]:
        """Return the sets of images whose statistics are audited."""
        study = self.study
        chosen = [feature.column or name for name, feature in study.audit.features.items()]
        named = any(column.startswith(STATISTIC) for column in chosen)
        return [
            name
            for name, images in study.images.items()
            if study.audit.enabled and images.path
            if named or not (chosen or images.is_described)
        ]

    def statistics_of(self, group: str) -> list[str]:
        """Return the file of the image statistics of a group, if they are audited."""
        return [f"{self.results}/stimuli/{group}/statistics.csv"] * (
            group in self.with_statistics()
        )

    def _tables(self) -> list[str]:
        study = self.study
        filled = {
            "learning": study.experiments,
            **{analysis: self.analysed(analysis) for analysis in ANALYSES},
            "rsa_untrained": set(self.analysed("rsa_models")) & set(study.experiments),
            "identification": study.identification,
            "encryption": study.encryption,
            "rsa_recordings": study.recordings,
            "rsa_subjects": study.recordings,
            "rsa_tests": study.recordings,
            "rsa_fitted": study.recordings and study.geometry.fitted,
            "rsa_times": study.recordings and study.geometry.time_resolved,
            "rsa_between_recordings": self.common_stimuli,
            "audit": self.audited_recordings() or self.audited_pairs(),
            "audit_networks": self.audited_networks(),
            "audit_remaining": self.audited_recordings(),
            "audit_range": self.audited_recordings(),
            "recovery": self.recovered_recordings(),
            "recovery_shares": self.recovered_shares(),
            "encoding": study.with_responses(),
            "encoding_regions": study.with_responses(),
            "variance_partition": study.with_responses() and study.encoding.partition,
            "variance_partition_regions": study.with_responses() and study.encoding.partition,
            "reliability": study.with_responses(),
            "quality": study.recordings,
            "cautions": study.recordings,
            "references": study.references,
            "claims": study.claims or study.questions,
        }
        return [name for name, source in filled.items() if source]

    def derived(self) -> list[str]:
        """Return the tables that follow from other tables."""
        return [table for table in self.tables if table in DERIVED]

    def evidence_of_derived(self) -> list[str]:
        """Return the tables that those follow from."""
        needed = {source for table in self.derived() for source in DERIVED[table]}
        return [table for table in self.tables if table in needed]

    def evidence(self) -> list[str]:
        """Return the tables that claims are decided on."""
        apart = ("claims", "recovery", "recovery_shares", "references")
        return [t for t in self.tables if t not in apart]

    def figures(self) -> list[str]:
        """Return the figures that the report shows: those for which there are data."""
        tables = set(self.tables)
        drawn = [name for name, figure in FIGURES.items() if set(figure.needs) <= tables]
        if not any(experiment.vary for experiment in self.study.experiments.values()):
            drawn = [name for name in drawn if name != "sweeps"]
        if not self._orders_vary():
            drawn = [name for name in drawn if name != "order"]
        if not any(condition.trained for condition in self.conditions.values()):
            drawn = [name for name in drawn if name != "learning"]
        return drawn

    def _orders_vary(self) -> bool:
        """Whether networks of a task report features in several orders."""
        found: dict[tuple[str, int], set[str]] = {}
        for name, about in self.reported_orders().items():
            key = name.partition("/")[0], about["task"]
            found.setdefault(key, set()).add(str(about["order"]))
        return any(len(orders) > 1 for orders in found.values())

    # Pictures of generated images, and of networks that see them

    def image_sets(self) -> list[list[str]]:
        """Return the conditions ("experiment/condition") of each set of generated images."""
        sets: dict[str, list[str]] = {}
        for experiment, condition in self.with_images:
            stimuli = self.conditions[experiment, condition].stimuli
            own = stimuli.training_sets == "own"
            key = stimuli.model_dump_json(exclude=OF_TRAINING_SETS if own else set())
            sets.setdefault(key, []).append(f"{experiment}/{condition}")
        return list(sets.values())

    def shown_sets(self) -> list[str]:
        """Return a condition of each set of generated images that is shown."""
        return [conditions[0] for conditions in self.image_sets()[:MOST_SETS]]

    def described_sets(self) -> list[dict[str, Any]]:
        """Return, for each of these, the condition, the values of features, and whose it is."""
        described = []
        for conditions in self.image_sets()[:MOST_SETS]:
            experiment, condition = conditions[0].split("/", 1)
            described.append(
                {
                    "condition": condition,
                    "values": self.values_of(experiment, condition),
                    "words": self.in_words(conditions),
                }
            )
        return described

    def values_of(self, experiment: str, condition: str) -> dict[str, list[str]]:
        """Return the names of the classes of every feature of generated images."""
        stimuli = self.conditions[experiment, condition].stimuli
        assert isinstance(stimuli, Pictures)
        return {name: stimuli.shown_values[name] for name in stimuli.features}

    def in_words(self, conditions: list[str]) -> str:
        """Name conditions, by their experiments where all of one are meant."""
        named = []
        by_experiment: dict[str, list[str]] = {}
        for name in conditions:
            experiment, condition = name.split("/", 1)
            by_experiment.setdefault(experiment, []).append(condition)
        for experiment, names in by_experiment.items():
            if names == self.groups[experiment]:
                counted = "both" if len(names) == 2 else f"all {len(names)}"
                named.append(experiment + f" ({counted} conditions)" * (len(names) > 1))
            elif len(names) <= 3:
                named += [f"{experiment}/{name}" for name in names]
            else:
                named.append(f"{experiment} ({len(names)} of its conditions, as {names[0]})")
        return ", ".join(named)

    def network_pictures(self) -> list[str]:
        """Return the pictures of networks that the report shows: kind/experiment/condition."""
        names = []
        for experiment, condition in self.pictured:
            kinds = ["rdm", "map"]
            if "units" in self.study.experiments[experiment].analyses:
                kinds.insert(0, "preferred")
            if isinstance(self.conditions[experiment, condition].network, WITH_FILTERS):
                kinds.insert(0, "filters")
            names += [f"{kind}/{experiment}/{condition}" for kind in kinds]
        return names + [f"attention/{e}/{c}" for e, c in self.attended]

    def attended_conditions(self) -> list[dict[str, Any]]:
        """Return the conditions of which attention is drawn, and what their pictures depend on.

        Returns
        -------
        list of dict
            The "condition", its "network", the "places" of a sequence that features read, and the
            "order" in which these are reported.
        """
        reported = self.reported_orders()
        described = []
        for experiment, condition in self.attended:
            spec = self.conditions[experiment, condition]
            described.append(
                {
                    "condition": condition,
                    "network": _plain(spec.network),
                    "places": spec.stimuli.places() if isinstance(spec.stimuli, Tokens) else {},
                    "order": reported[f"{experiment}/{condition}"]["order"],
                }
            )
        return described

    def not_pictured(self) -> list[str]:
        """Return the conditions of generated images of which the report shows no network."""
        pictured = set(self.pictured)
        return [f"{e}/{c}" for e, c in self.with_images if (e, c) not in pictured]

    def units_of(self, experiment: str, condition: str) -> str | list[str]:
        """Return the file of the units of a condition; [] if they are not analysed."""
        if "units" not in self.study.experiments[experiment].analyses:
            return []
        batch = self._batch_of[experiment, condition]
        return f"{self.results}/tables/parts/units/{experiment}/{batch}.csv"

    # Files

    def file_of(self, folder: str, group: str, member: str) -> str:
        """Return the file that holds a condition's activations or the like, or a network's.

        Parameters
        ----------
        folder
            "stimuli", "networks", "activations" or "rdms".
        group
            The experiment or stimulus set.
        member
            The condition or network; RDMs have a file for each, others one for a batch.
        """
        batched = folder != "rdms" and (group, member) in self._batch_of
        name = self._batch_of[group, member] if batched else member
        return f"{self.results}/{folder}/{group}/{name}.h5"

    def files_of(self, folder: str, group: str) -> list[str]:
        """Return the files of all conditions or networks of a group, each once."""
        members = self.groups.get(group, [])
        return list(dict.fromkeys(self.file_of(folder, group, member) for member in members))

    def places_of(self, folder: str, group: str) -> dict[str, int]:
        """Return each condition or network, and which of the group's files it is in."""
        files = self.files_of(folder, group)
        members = self.groups.get(group, [])
        return {member: files.index(self.file_of(folder, group, member)) for member in members}

    def file_of_condition(self, folder: str, condition: str) -> str:
        """Return the file of "experiment/condition"."""
        return self.file_of(folder, *condition.split("/", 1))

    def candidate_files(self) -> list[str]:
        """Return the files of the activations that identification reads, each once."""
        spec = self.study.identification
        names = spec.candidates if spec else []
        return list(dict.fromkeys(self.file_of_condition("activations", name) for name in names))

    def candidate_places(self) -> dict[str, int]:
        """Return each candidate of identification, and which of those files it is in."""
        spec, files = self.study.identification, self.candidate_files()
        names = spec.candidates if spec else []
        return {name: files.index(self.file_of_condition("activations", name)) for name in names}

    def parts(self) -> dict[str, list[str]]:
        """Return, for every table that is gathered, the files that its parts are in."""
        study, folder = self.study, f"{self.results}/tables/parts"
        named = {
            "learning": [f"{e}/{b}" for e, b in self.batches],
            **{
                t: [f"{e}/{b}" for e, b in self.batches if t in study.experiments[e].analyses]
                for t in OF_NETWORKS
            },
            **{t: self.analysed(t) for t in BETWEEN_NETWORKS},
            "rsa_untrained": [e for e in self.analysed("rsa_models") if e in study.experiments],
            **{t: self.recordings_of(t) for t in OF_RECORDINGS},
            "rsa_between_recordings": list(self.common_stimuli),
            "identification": ["all"],
            "encryption": ["all"],
            "audit": [
                *(f"recordings/{name}" for name in self.audited_recordings()),
                *(f"images/{name}" for name in self.audited_pairs()),
            ],
            "audit_remaining": [f"recordings/{name}" for name in self.audited_recordings()],
            "audit_range": [f"recordings/{name}" for name in self.audited_recordings()],
            "audit_networks": self.audited_networks(),
            "recovery": self.recovered_recordings(),
            "recovery_shares": self.recovered_shares(),
        }
        return {
            table: [f"{folder}/{table}/{name}.csv" for name in named[table]]
            for table in self.tables
            if table in named
        }

    # What jobs depend on, as plain values

    def stimuli_of_batch(self, experiment: str, batch: str) -> dict[str, Any]:
        """Return the settings of the stimuli of every condition of a batch."""
        return {c: _plain(spec.stimuli) for c, spec in self._specs(experiment, batch)}

    def networks_of_batch(
        self, experiment: str, batch: str, with_analysed_layer: bool = False
    ) -> dict[str, Any]:
        """Return the architecture of every condition of a batch.

        Which layer is analysed is a question to the networks, no part of them.
        """
        exclude = set() if with_analysed_layer else {"analysed_layer"}
        return {
            c: _plain(spec.network, exclude=exclude) for c, spec in self._specs(experiment, batch)
        }

    def training_of_batch(self, experiment: str, batch: str) -> dict[str, Any]:
        """Return what the training of every condition of a batch depends on."""
        networks = self.networks_of_batch(experiment, batch)
        return {
            c: {
                "stimuli": _plain(spec.stimuli),
                "network": networks[c],
                "training": _plain(spec.training),
                "seeds": spec.seeds,
                **({"trained_in": spec.trained_in} if spec.trained_in else {}),
            }
            for c, spec in self._specs(experiment, batch)
        }

    def sources_of_batch(self, experiment: str, batch: str) -> list[str]:
        """Return the file of the networks of every condition that shows those of another one."""
        names = [c.trained_in for _, c in self._specs(experiment, batch) if c.trained_in]
        return [self.file_of_condition("networks", name) for name in names]

    def code_of_batch(self, experiment: str, batch: str) -> list[str]:
        """Return the files of the user's code that networks of a batch, or stimuli, are made by."""
        files = self.code_of_stimuli(experiment, batch)
        files += [f for _, c in self._specs(experiment, batch) for f in c.network.source_files()]
        return list(dict.fromkeys(files))

    def code_of_stimuli(self, experiment: str, batch: str) -> list[str]:
        """Return the files of the user's code that the stimuli of a batch are made by."""
        files = [f for _, c in self._specs(experiment, batch) for f in c.stimuli.source_files()]
        return list(dict.fromkeys(files))

    def reported_orders(self) -> dict[str, dict[str, Any]]:
        """Return the conditions of transformers that are trained here, and what they report when.

        Returns
        -------
        dict
            "experiment/condition" to its "task", and its "order", the features as they are
            reported; empty where they are reported at once.
        """
        found = {}
        for (experiment, name), spec in self.conditions.items():
            if isinstance(spec.network, Transformer) and spec.trained:
                targets = list(spec.stimuli.targets)
                numbers = spec.network.numbers(len(targets))
                at_once = spec.network.answers == "heads"
                found[f"{experiment}/{name}"] = {
                    "task": getattr(spec.stimuli, "task", 0),
                    "order": [] if at_once else [targets[i] for i in numbers],
                }
        return found

    def shown_networks(self) -> dict[str, dict[str, Any]]:
        """Return, for networks that are trained here and shown images, what these depend on.

        Returns
        -------
        dict
            Entry of `networks` to the "condition" of its "experiment", its "network", the "shape"
            of the images that it was trained on, its "layers", the files of the user's "code" that
            it is made by, and the number of "seeds" that are shown other images.
        """
        shown = {}
        for name, spec in self.study.networks.items():
            if isinstance(spec, TrainedNetwork):
                experiment, _, condition = spec.condition.partition("/")
                trained = self.conditions[experiment, condition]
                shown[name] = {
                    "experiment": experiment,
                    "condition": condition,
                    "network": _plain(trained.network, exclude={"analysed_layer"}),
                    "shape": list(trained.stimuli.inputs.shape),
                    "layers": self.layers[name],
                    "code": trained.network.source_files(),
                    "seeds": spec.seeds or trained.seeds,
                }
        return shown

    def analyses_of(self, experiment: str) -> dict[str, dict[str, Any]]:
        """Return the analyses of an experiment's networks, each with its settings."""
        bias = _plain(self.study.bias)
        return {
            name: entry._asdict() | {"settings": {key: bias[key] for key in entry.settings}}
            for name, entry in OF_NETWORKS.items()
            if name in self.study.experiments[experiment].analyses
        }

    def by_rdms(self) -> list[str]:
        """Return the analyses of recordings that need RDMs of networks or none, in one job."""
        return [t for t in self.tables if t in OF_RECORDINGS and t not in self.by_activations()]

    def by_activations(self) -> list[str]:
        """Return the analyses of recordings that need activations of networks, each a job."""
        return [
            table
            for table in self.tables
            if table in OF_RECORDINGS and OF_RECORDINGS[table].networks == "activations"
        ]

    def analyses_of_recordings(self, analyses: list[str]) -> dict[str, dict[str, Any]]:
        """Return the entries of analyses of recordings, with the settings they depend on."""
        entries = {}
        for name in analyses:
            function, networks, section, ignored, tested = OF_RECORDINGS[name]
            settings = _plain(getattr(self.study, section), exclude=set(ignored)) if section else {}
            entries[name] = {
                "function": function,
                "networks": networks,
                "section": section,
                "settings": settings,
                "tested": self.study.tested_columns() if tested else None,
            }
        return entries

    def analysed_layers(self, group: str) -> dict[str, str]:
        """Return the analysed layer of every condition, or the last one of every network."""
        if group in self.study.experiments:
            return {c: self.conditions[group, c].network.analysed for c in self.groups[group]}
        return {name: self.layers[name][-1] for name in self.groups.get(group, [])}

    def all_analysed_layers(self) -> dict[str, str]:
        """Return "experiment/condition" to its analysed layer."""
        return {f"{e}/{c}": spec.network.analysed for (e, c), spec in self.conditions.items()}

    def spaces(self) -> list[str]:
        """Return the models, "set of images/network", whose layers are feature spaces or RDMs."""
        return [f"{images}/{n}" for images in self.study.images for n in self.spaces_of(images)]

    def spaces_of(self, group: str) -> list[str]:
        """Return the networks of a group whose layers are feature spaces or RDMs."""
        networks = self.study.networks
        members = self.groups.get(group, [])
        return [name for name in members if name in networks and networks[name].kind in UNORDERED]

    def generators(self) -> dict[str, dict[str, Any]]:
        """Return the layer and the network that every simulated recording is made from."""
        what = {"source", "layer", "seed_of_network"}
        return {name: _plain(spec, include=what) for name, spec in self.study.simulated().items()}

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return what questions are told of every condition."""
        return settings_of(self.study) if self.study.questions else {}

    def images_of(self, recording: str) -> dict[str, Any] | None:
        """Return the settings of the stimuli that were shown; None of generated stimuli."""
        return self.plain_images(self.study.shown_to(recording))

    def image_files_of(self, recording: str) -> list[str]:
        """Return the files of the stimuli that were shown; none of generated stimuli."""
        images = self.study.images.get(self.study.shown_to(recording))
        return list(map(str, images.input_files())) if images else []

    def recording_geometry(self) -> dict[str, Any]:
        """Return what the RDMs of recordings and their comparison depend on."""
        return _plain(self.study.geometry, exclude=OF_NETWORK_RDMS | {"subject_stimuli"})

    def plain_images(self, group: str) -> dict[str, Any] | None:
        """Return the settings of a set of images; None for an experiment."""
        images = self.study.images.get(group)
        return _plain(images) if images else None

    def columns_file_of(self, group: str) -> list[str]:
        """Return the file that properties of a set of images are read from, if there is one."""
        images = self.study.images.get(group)
        return [str(images.table or images.path)] if images and images.is_described else []

    def audit(self) -> dict[str, Any]:
        """Return the settings of the audit."""
        return _plain(self.study.audit)

    def recovery(self) -> dict[str, Any]:
        """Return what simulated brains and their scores depend on, by section."""
        study = self.study
        return {
            "recovery": _plain(study.recovery, exclude={"enabled", "shares"}),
            "geometry": self.recording_geometry(),
            "encoding": _plain(
                study.encoding, include={"folds", "log10_alpha", "n_alphas", "seed"}
            ),
        }

    def audited_layers(self, group: str) -> dict[str, list[str]]:
        """Return the layers that are compared in pairs: analysed ones, or of `networks` all."""
        if group in self.study.experiments:
            return {c: [layer] for c, layer in self.analysed_layers(group).items()}
        return {name: self.layers[name] for name in self.groups.get(group, [])}

    def n_stimuli_of_rdms(self, group: str) -> int | None:
        """Return how many stimuli RDMs are of: of generated ones the first n, of images all."""
        return self.study.geometry.n_stimuli if group in self.study.experiments else None

    def _specs(self, experiment: str, batch: str) -> list[tuple[str, Condition]]:
        return [(c, self.conditions[experiment, c]) for c in self.batches[experiment, batch]]


def _first_of_each(conditions: list[tuple[str, str]], most: int) -> list[tuple[str, str]]:
    """Return at most so many conditions, in their order: the first of every experiment first."""
    seen: dict[str, int] = {}
    turns = {}
    for key in conditions:
        turns[key] = seen[key[0]] = seen.get(key[0], -1) + 1
    chosen = set(sorted(conditions, key=lambda key: turns[key])[:most])
    return [key for key in conditions if key in chosen]


def _batches(conditions: list[str], size: int) -> list[tuple[str, list[str]]]:
    """Divide an experiment's conditions; a condition alone gives its batch its name."""
    if size == 1:
        return [(name, [name]) for name in conditions]
    starts = range(0, len(conditions), size)
    return [(f"batch{n}", conditions[i : i + size]) for n, i in enumerate(starts, 1)]


def _plain(spec: Any, **options: Any) -> Any:
    """Return settings as numbers, texts, lists and mappings."""
    dumped: Mapping[str, Any] = spec.model_dump(mode="json", **options)
    return dumped
