"""The analyses, each named after the table that it fills.

To add one of an experiment's networks, write a function with the arguments of
:func:`repbias.bias.variance.variance_table`; to add one of a recording, a function with the
arguments that its entry in :data:`OF_RECORDINGS` says. Enter it here, and give its table's columns
in :mod:`repbias.io.tables`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

#: Analyses of one condition's networks, and the functions that do them.
OF_CONDITIONS = {
    "variance_explained": "repbias.bias.variance:variance_table",
    "variance_decomposition": "repbias.bias.decomposition:decomposition_table",
    "behaviour": "repbias.bias.behaviour:behaviour_table",
    "units": "repbias.bias.units:units_table",
    "sparsity": "repbias.bias.units:sparsity_table",
    "components": "repbias.bias.components:components_table",
    "steering": "repbias.bias.steering:steering_table",
    "probes": "repbias.bias.probes:probes_table",
    "conflict": "repbias.bias.probes:conflict_table",
}
#: The settings in `bias` that an analysis depends on; a change of others does not concern it.
SETTINGS = {
    "variance_explained": {"definition"},
    "steering": {"steering_strengths"},
    "probes": {"probe_steps"},
}
#: Analyses that compare an experiment's networks with each other.
BETWEEN_NETWORKS = ("rsa_models", "similarity")
ANALYSES = (*OF_CONDITIONS, *BETWEEN_NETWORKS)


class OfRecording(NamedTuple):
    """An analysis of a recording: a function of its name, the recording, and what is named here.

    Attributes
    ----------
    function : package.module:name
    networks : what it needs of the networks that saw the stimuli, if anything; the function is
        given the experiment or stimulus set, and a mapping from condition or network to these
    settings : the section of the configuration that it is given, if any
    ignored : settings of the section that it does not depend on
    """

    function: str
    networks: Literal["rdms", "activations"] | None
    settings: Literal["geometry", "encoding"] | None
    ignored: frozenset[str] = frozenset()


#: Settings of `geometry` that concern the networks' own RDMs, which are files.
_OF_NETWORKS = frozenset({"distance", "n_stimuli"})
_INFERENCE = frozenset({"permutations", "fitted", "folds", "reweighting_units"})
#: Analyses of one recording.
OF_RECORDINGS = {
    "reliability": OfRecording("repbias.recordings.reliability:reliability_table", None, None),
    "quality": OfRecording(
        "repbias.rsa.quality:quality_table",
        *(None, "geometry", _OF_NETWORKS | _INFERENCE | {"bootstraps", "time_resolved"}),
    ),
    "rsa_recordings": OfRecording(
        "repbias.rsa.tables:compare_with_recording",
        *("rdms", "geometry", _OF_NETWORKS | _INFERENCE | {"time_resolved"}),
    ),
    "rsa_tests": OfRecording(
        "repbias.rsa.model_tests:model_tests_table",
        *("rdms", "geometry", _OF_NETWORKS | {"fitted", "folds", "reweighting_units"}),
    ),
    "rsa_times": OfRecording(
        "repbias.rsa.tables:compare_times",
        *("rdms", "geometry", _OF_NETWORKS | _INFERENCE),
    ),
    "rsa_fitted": OfRecording(
        "repbias.rsa.fitted:fitted_models", "activations", "geometry", frozenset({"n_stimuli"})
    ),
    "encoding": OfRecording(
        "repbias.encoding.tables:encode_recording",
        *("activations", "encoding", frozenset({"partition", "partition_iterations"})),
    ),
    "variance_partition": OfRecording(
        "repbias.encoding.partition:partition_variance", "activations", "encoding"
    ),
}
