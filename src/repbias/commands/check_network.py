"""What ``repbias check`` says of networks: each is made, and shown what it will be shown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from repbias.base.spec import RepbiasError
from repbias.commands.description import count, some
from repbias.commands.findings import Findings, problems_in
from repbias.geometry.distances import dissimilarities
from repbias.io.activations import ONLY_RDMS
from repbias.io.networks import SNAPSHOTS
from repbias.networks.model_activations import layers_in_batches
from repbias.networks.model_arrays import ArrayNetwork, survey
from repbias.networks.model_rdms import RdmNetwork, read_model_rdms
from repbias.networks.spec import (
    FeatureNetwork,
    PixelNetwork,
    TextNetwork,
    TorchNetwork,
    TrainedNetwork,
    preprocessed,
)

if TYPE_CHECKING:
    from repbias.config.study import Study
    from repbias.stimuli.images import Images

#: RDMs of fewer stimuli are refused.
MIN_STIMULI = 4
#: Sets of generated stimuli that are tried; one takes some 50 ms.
MOST_GENERATED = 100


def check_network(findings: Findings, study: Study, name: str, images: Images) -> tuple[float, int]:
    """Compute a network's layers: of all stimuli for feature spaces, of a few images for others.

    What is already computed is read. Of networks that the study trains, which are not there yet,
    nothing is computed.

    Returns
    -------
    seconds : float
        That the network will take for all stimuli.
    n_bytes : int
        Of its activations.
    """
    spec = study.networks[name]
    if len(images) < MIN_STIMULI:
        findings.problems.append(f"{len(images)} stimuli; RSA needs at least {MIN_STIMULI}")
    seconds = 0.0
    units: dict[str, int] = {}
    with problems_in(findings):
        if isinstance(spec, TrainedNetwork):
            units, seconds = _trained(findings, study, spec)
        elif isinstance(spec, RdmNetwork):
            units = _rdms(findings, spec, images)
        elif isinstance(spec, ArrayNetwork):
            units, seconds = _surveyed(findings, study, spec, images)
        elif isinstance(spec, FeatureNetwork):
            _, layers = next(layers_in_batches(spec, images, "cpu"))
            _check_rdms(findings, spec, layers)
            units = {layer: x.shape[1] for layer, x in layers.items()}
        else:
            _describe_shown(findings, spec, images)
            layers, seconds = _timed_layers(spec, images.first(4))
            units = {layer: x.shape[1] for layer, x in layers.items()}
        if units:
            findings.facts["units"] = ", ".join(f"{layer} {n:,}" for layer, n in units.items())
    return seconds * len(images), 4 * sum(units.values()) * len(images)


def _trained(
    findings: Findings, study: Study, spec: TrainedNetwork
) -> tuple[dict[str, int], float]:
    """Return the units of networks that the study trains, and their seconds for a stimulus."""
    condition = study.condition(spec.condition)
    _, height, width = condition.stimuli.inputs.shape
    n, sizes = spec.seeds or condition.seeds, condition.sizes()
    findings.facts["networks"] = f"{n} of {spec.condition}, each at {len(SNAPSHOTS)} snapshots"
    findings.facts["images"] = f"resized to {width} x {height} pixels, as in training"
    # A forward pass is a third of a training step.
    return sizes.units, n * len(SNAPSHOTS) * sizes.stimulus_seconds / 3


def _describe_shown(
    findings: Findings, spec: TorchNetwork | TextNetwork | PixelNetwork, images: Images
) -> None:
    """Say what becomes of images before a network is shown them."""
    if isinstance(spec, TextNetwork) or images.load is None:
        return
    if isinstance(spec, PixelNetwork):
        done = f"resized to {spec.size} x {spec.size} pixels, RGB (size)"
    else:
        done = f"{preprocessed(spec.preprocess)} (preprocess)"
    width, height = images.load(0).size
    findings.facts["images"] = f"{width} x {height} pixels (the first), {done}"


def _surveyed(
    findings: Findings, study: Study, spec: ArrayNetwork, images: Images
) -> tuple[dict[str, int], float]:
    """Read the layers of a model that is already computed; return units, and seconds a stimulus."""
    before = time.process_time()
    found = survey(spec, images)
    # They are read twice in a run.
    seconds = 2 * (time.process_time() - before) / len(images)
    findings.facts["stimuli"] = f"{len(images)}, all found by their ids"
    flat = [stimulus for layer in found.values() for stimulus in layer.flat]
    if flat and (spec.distance or study.geometry.distance) == "correlation":
        names = [layer for layer, of_layer in found.items() if of_layer.flat]
        findings.warnings.append(
            f"{some(names)}: all units are the same for {some(dict.fromkeys(flat))}, so that "
            "correlation distance is undefined: no RDM of these layers; say distance: euclidean"
        )
    return {layer: of_layer.n_units for layer, of_layer in found.items()}, seconds


def _rdms(findings: Findings, spec: RdmNetwork, images: Images) -> dict[str, int]:
    """Read the RDMs of a model; it has no units."""
    rdms = read_model_rdms(spec, images)
    findings.facts["stimuli"] = f"{len(images)}, all found by their ids"
    each = (f"{layer} from {rdm.min():.4g} to {rdm.max():.4g}" for layer, rdm in rdms.items())
    findings.facts["RDMs"] = f"{len(rdms)}: {some(each, 8)}"
    findings.facts["not done"] = f"encoding, recovery from units: {ONLY_RDMS}"
    if spec.distance == "unknown":
        findings.facts["audit"] = "not divided among features, as the entry does not say 'distance'"
    return {}


def _timed_layers(
    spec: TorchNetwork | TextNetwork | PixelNetwork, images: Images
) -> tuple[dict[str, np.ndarray], float]:
    """Return layers of some images, and the seconds that one takes once the network is loaded."""
    if not isinstance(spec, PixelNetwork):
        spec = spec.model_copy(update={"batch_size": 2})
    batches = layers_in_batches(spec, images, "cpu")
    _, layers = next(batches)
    before = time.process_time()
    others = sum(len(next(iter(more.values()))) for _, more in batches)
    return layers, (time.process_time() - before) / others if others else 0.0


def _check_rdms(findings: Findings, spec: FeatureNetwork, layers: dict[str, np.ndarray]) -> None:
    """Compute RDMs of feature spaces; the run leaves out those that have none, but not all."""
    undefined = []
    for space, features in layers.items():
        try:
            dissimilarities(features, spec.distance)
        except RepbiasError as error:
            undefined.append(f"feature space {space!r} has no RDM: {error}")
    said = findings.problems if len(undefined) == len(layers) else findings.warnings
    said += undefined


def check_generated(findings: Findings, study: Study) -> None:
    """Generate the stimuli of conditions; each different set once."""
    tried: set[str] = set()
    for experiment, name, condition in study.conditions():
        settings = condition.stimuli.model_dump_json()
        if settings in tried or len(tried) == MOST_GENERATED:
            continue
        tried.add(settings)
        try:
            stimuli = condition.stimuli.generate()
            if condition.trained:
                condition.stimuli.training_set(0, stimuli)
        except RepbiasError as error:
            findings.problems.append(f"experiments.{experiment}, condition {name}: {error}")
    findings.facts["stimuli"] = f"{count(len(tried), 'set')} generated"
