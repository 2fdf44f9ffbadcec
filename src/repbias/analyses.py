"""The analyses that an experiment can be asked for, each named after the table that it fills.

To add one, write a function with the arguments of :func:`repbias.bias.variance.variance_table`,
enter it here, and give its table's columns in :mod:`repbias.tables`.
"""

#: Analyses of one condition's networks, and the functions that do them.
OF_CONDITIONS = {
    "variance_explained": "repbias.bias.variance:variance_table",
    "ledger": "repbias.bias.ledger:ledger_table",
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
    "steering": {"doses"},
    "probes": {"probe_steps"},
}
#: Analyses that compare an experiment's networks with each other.
BETWEEN_NETWORKS = ("rsa_models", "similarity")
ANALYSES = (*OF_CONDITIONS, *BETWEEN_NETWORKS)
