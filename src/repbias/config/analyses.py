"""The analyses, each named after the table that it fills.

To add one of an experiment's networks, write a function of a
:class:`repbias.networks.snapshots.Snapshot`; to add one of a recording, a function with the
arguments that its entry in :data:`OF_RECORDINGS` says. Enter it here, and describe its table in
:mod:`repbias.tables`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class OfNetworks(NamedTuple):
    """An analysis of a condition's networks: a function of a snapshot that returns rows.

    Attributes
    ----------
    function : package.module:name
    settings : the settings in `bias` that it is given, by name
    every_checkpoint : whether it is done at every checkpoint, not only for untrained, first
        mastered and final networks
    order : columns that its table is sorted by; else rows stand in the order of the snapshots
    """

    function: str
    settings: tuple[str, ...] = ()
    every_checkpoint: bool = False
    order: tuple[str, ...] = ()


#: Analyses of the networks of one condition.
OF_NETWORKS = {
    "variance_explained": OfNetworks(
        "repbias.bias.variance:variance_rows",
        settings=("definition",),
        every_checkpoint=True,
        # A network that was mastered at its end has two rows there, the final one first.
        order=("seed", "layer", "feature", "step", "snapshot"),
    ),
    "variance_decomposition": OfNetworks("repbias.bias.decomposition:decomposition_rows"),
    "behaviour": OfNetworks("repbias.bias.behaviour:behaviour_rows"),
    "units": OfNetworks("repbias.bias.units:units_rows"),
    "sparsity": OfNetworks("repbias.bias.units:sparsity_rows"),
    "components": OfNetworks("repbias.bias.components:components_rows"),
    "steering": OfNetworks("repbias.bias.steering:steering_rows", settings=("steering_strengths",)),
    "probes": OfNetworks("repbias.bias.probes:probes_rows", settings=("probe_steps",)),
    "conflict": OfNetworks("repbias.bias.probes:conflict_rows"),
}
#: Those of what networks report of the features; others are of their layers.
OF_OUTPUTS = ("behaviour", "components", "steering")
#: Analyses that compare an experiment's networks with each other.
BETWEEN_NETWORKS = ("rsa_models", "similarity")
ANALYSES = (*OF_NETWORKS, *BETWEEN_NETWORKS)


class OfRecording(NamedTuple):
    """An analysis of a recording: a function of its name, the recording, and what is named here.

    Attributes
    ----------
    function : package.module:name
    networks : what it needs of the networks that saw the stimuli, if anything; the function is
        given the experiment or stimulus set, and a mapping from condition or network to these
    settings : the section of the configuration that it is given, if any
    ignored : settings of the section that it does not depend on
    tested : whether it is given the columns of the stimuli that models, and the audit, are of
    """

    function: str
    networks: Literal["rdms", "activations"] | None
    settings: Literal["geometry", "encoding"] | None
    ignored: frozenset[str] = frozenset()
    tested: bool = False


#: Settings of `geometry` that concern the networks' own RDMs, which are files.
_OF_NETWORKS = frozenset({"distance", "n_stimuli"})
#: And those of single subjects.
_OTHERS = _OF_NETWORKS | {"subject_stimuli"}
_INFERENCE = frozenset({"permutations", "fitted", "folds", "reweighting_units"})
#: Analyses of one recording.
OF_RECORDINGS = {
    "reliability": OfRecording("repbias.recordings.reliability:reliability_table", None, None),
    "quality": OfRecording(
        "repbias.rsa.quality:quality_table",
        None,
        "geometry",
        _OTHERS | _INFERENCE | {"bootstraps", "time_resolved"},
    ),
    "cautions": OfRecording(
        "repbias.rsa.cautions:cautions_table",
        None,
        "geometry",
        _OTHERS | _INFERENCE | {"bootstraps", "generalise", "time_resolved"},
        tested=True,
    ),
    "rsa_recordings": OfRecording(
        "repbias.rsa.tables:compare_with_recording",
        "rdms",
        "geometry",
        _OTHERS | _INFERENCE | {"time_resolved"},
    ),
    "rsa_subjects": OfRecording(
        "repbias.rsa.tables:compare_with_subjects",
        "rdms",
        "geometry",
        _OF_NETWORKS | _INFERENCE | {"generalise", "time_resolved"},
    ),
    "rsa_tests": OfRecording(
        "repbias.rsa.model_tests:model_tests_table",
        "rdms",
        "geometry",
        _OTHERS | {"fitted", "folds", "reweighting_units"},
    ),
    "rsa_times": OfRecording(
        "repbias.rsa.tables:compare_times",
        "rdms",
        "geometry",
        _OTHERS | _INFERENCE,
    ),
    "rsa_fitted": OfRecording(
        "repbias.rsa.fitted:fitted_models",
        "activations",
        "geometry",
        frozenset({"n_stimuli", "subject_stimuli"}),
    ),
    "encoding": OfRecording(
        "repbias.encoding.tables:encode_recording",
        "activations",
        "encoding",
        frozenset({"partition", "partition_iterations"}),
    ),
    "variance_partition": OfRecording(
        "repbias.encoding.partition:partition_variance", "activations", "encoding"
    ),
}
