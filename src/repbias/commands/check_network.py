"""What ``repbias check`` says of networks: each is made, and shown what it will be shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from repbias.base.spec import RepbiasError
from repbias.commands.findings import Findings, problems_in
from repbias.geometry.distances import dissimilarities
from repbias.networks.activations import layers_in_batches
from repbias.networks.spec import FeatureNetwork

if TYPE_CHECKING:
    from repbias.config.study import Study
    from repbias.stimuli.images import Images

#: RDMs of fewer stimuli are refused.
MIN_STIMULI = 4
#: Sets of generated stimuli that are tried; one takes some 50 ms.
MOST_GENERATED = 100


def check_network(findings: Findings, study: Study, name: str, images: Images) -> None:
    """Compute a network's layers: of all stimuli for feature spaces, of two images for others."""
    spec = study.networks[name]
    if len(images) < MIN_STIMULI:
        findings.problems.append(f"{len(images)} stimuli; RSA needs at least {MIN_STIMULI}")
    shown = images if isinstance(spec, FeatureNetwork) else replace(images, ids=images.ids[:2])
    with problems_in(findings):
        _, layers = next(layers_in_batches(spec, shown, "cpu"))
        findings.facts["units"] = ", ".join(
            f"{layer} {x.shape[1]:,}" for layer, x in layers.items()
        )
        if not isinstance(spec, FeatureNetwork):
            return
        undefined = {}
        for space, features in layers.items():
            try:
                dissimilarities(features, spec.distance)
            except RepbiasError as error:
                undefined[space] = f"feature space {space!r} has no RDM: {error}"
        said = findings.problems if len(undefined) == len(layers) else findings.warnings
        said += undefined.values()


def check_generated(findings: Findings, study: Study) -> None:
    """Generate the stimuli of conditions; each different set once."""
    tried: set[str] = set()
    for experiment, name, condition in study.conditions():
        settings = condition.stimuli.model_dump_json()
        if settings in tried or len(tried) == MOST_GENERATED:
            continue
        tried.add(settings)
        try:
            condition.stimuli.generate()
        except RepbiasError as error:
            findings.problems.append(f"experiments.{experiment}, condition {name}: {error}")
    findings.facts["stimuli"] = f"{len(tried)} sets generated"
