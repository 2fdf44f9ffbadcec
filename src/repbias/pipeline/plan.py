"""What a study makes: its batches of conditions, its tables and its figures."""

from __future__ import annotations

from collections.abc import Iterator

from repbias.config.analyses import ANALYSES
from repbias.config.study import Study
from repbias.report.captions import FIGURES

#: Analyses of recordings that need responses; the others are done from RDMs alone as well.
OF_RESPONSES = ("encoding", "variance_partition", "reliability")


class Plan:
    """What the pipeline makes of a study.

    Attributes
    ----------
    study : the configuration
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def batches(self) -> Iterator[tuple[str, int, list[str]]]:
        """Go through (experiment, number from 1, names of the conditions that one job does)."""
        for experiment, spec in self.study.experiments.items():
            names, size = list(spec.expand()), spec.conditions_per_job
            for start in range(0, len(names), size):
                yield experiment, start // size + 1, names[start : start + size]

    def analysed(self, analysis: str) -> list[str]:
        """Return the experiments (and sets of images) that an analysis is done for."""
        study, images = self.study, []
        if analysis == "rsa_models":
            layers = {
                name: [layer for network in shown for layer in study.networks[network].layers]
                for name, shown in study.groups().items()
                if name in study.images
            }
            images = [name for name, names in layers.items() if len(names) > 1]
        return [e for e, spec in study.experiments.items() if analysis in spec.analyses] + images

    def recordings_of(self, analysis: str) -> list[str]:
        """Return the recordings that an analysis is done for."""
        if analysis in OF_RESPONSES:
            return self.study.with_responses()
        return list(self.study.recordings)

    def tables(self) -> list[str]:
        """Return the names of the tables that the study fills."""
        study = self.study
        filled = {
            "learning": study.experiments,
            **{analysis: self.analysed(analysis) for analysis in ANALYSES},
            "identification": study.identification,
            "encryption": study.encryption,
            "rsa_recordings": study.recordings,
            "rsa_tests": study.recordings,
            "rsa_fitted": study.recordings and study.geometry.fitted,
            "rsa_times": study.recordings and study.geometry.time_resolved,
            "rsa_between_recordings": study.with_common_stimuli(),
            "encoding": study.with_responses(),
            "encoding_regions": study.with_responses(),
            "variance_partition": study.with_responses() and study.encoding.partition,
            "reliability": study.with_responses(),
            "quality": study.recordings,
            "references": study.references,
            "model_recovery": study.simulated(),
            "claims": study.claims,
        }
        return [name for name, source in filled.items() if source]

    def figures(self) -> list[str]:
        """Return the figures that the report shows: those for which there are data."""
        tables = set(self.tables())
        drawn = [name for name, figure in FIGURES.items() if set(figure.needs) <= tables]
        if not any(experiment.vary for experiment in self.study.experiments.values()):
            drawn = [name for name in drawn if name != "sweeps"]
        return drawn
