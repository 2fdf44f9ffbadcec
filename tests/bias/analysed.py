"""Do one analysis of networks, as a job does."""

from repbias.bias.spec import Bias
from repbias.config.analyses import OF_NETWORKS
from repbias.pipeline.network_analyses import analyse_networks


def analysed(name, networks, stimuli, spec, bias=None, experiment="tasks", condition="both"):
    entry, bias = OF_NETWORKS[name], bias or Bias()
    settings = {setting: getattr(bias, setting) for setting in entry.settings}
    analyses = {name: entry._asdict() | {"settings": settings}}
    return analyse_networks(experiment, condition, networks, stimuli, spec, analyses)[name]
