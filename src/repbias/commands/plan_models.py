"""What ``repbias plan`` starts from: the models of a study, and the stimuli that they saw."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from repbias.auditing.features import chosen_features, complete_stimuli, regressors
from repbias.auditing.tables import in_order, labels_of
from repbias.base.groups import StimulusGroups
from repbias.base.spec import RepbiasError, nearest
from repbias.commands.description import count, some
from repbias.config.file import read_config
from repbias.config.study import Study
from repbias.io.activations import Activations
from repbias.io.recordings import Recording
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.recordings.parts import name_groups, stimulus_groups
from repbias.recovery.candidates import Candidates
from repbias.recovery.twins import Twins
from repbias.rsa.common import on_common_stimuli
from repbias.rsa.rdms import read_rdms
from repbias.stimuli.images import open_images
from repbias.stimuli.statistics import read_statistics


@dataclass(frozen=True, eq=False)
class Models:
    """The models of a study, and the stimuli that they saw.

    Attributes
    ----------
    study : the study
    folder : of its results
    shown : the experiment or set of images
    candidates : the models
    ids : (stimulus,)
    columns : what is known of the stimuli, name to (stimulus,)
    groups : which stimuli belong together
    left_out : models of which nothing can be compared
    pilot : what noise is like; None if it is assumed
    """

    study: Study
    folder: Path
    shown: str
    candidates: Candidates
    ids: np.ndarray
    columns: dict[str, np.ndarray]
    groups: StimulusGroups
    left_out: list[str]
    pilot: Twins | None

    @classmethod
    def of(
        cls, config: Path, shown: str | None, models: Sequence[str] | None, pilot: str | None
    ) -> Models:
        """Read the models' activations and RDMs from the results of a study.

        Parameters
        ----------
        config
            The study.
        shown
            The experiment or set of images; may be None if there is only one with networks.
        models
            The conditions or networks; None for all.
        pilot
            A recording of the study.

        Raises
        ------
        RepbiasError
            If there is no such thing, or files must be made first: the message has the command.
        """
        # As the Snakefile does: code of the user's is found where one is, and beside the study.
        sys.path[:0] = dict.fromkeys([str(Path.cwd()), str(config.resolve().parent)])
        study = load_study(read_config(config), str(config))
        plan = Plan(study)
        groups = {name: members for name, members in plan.groups.items() if members}
        if not groups:
            raise RepbiasError(f"{config}: no models; expected experiments, or networks of images")
        if shown is None and len(groups) > 1:
            raise RepbiasError(
                f"plan: models saw different stimuli ({some(groups, 8)}); choose with --shown"
            )
        group = _among("--shown", shown or next(iter(groups)), groups)
        members = [_among("--models", m, groups[group]) for m in dict.fromkeys(models or ())]
        members = members or groups[group]
        needed = [plan.file_of(f, group, m) for m in members for f in ("rdms", "activations")]
        if pilot is not None:
            _among("--pilot", pilot, list(study.recordings))
            if pilot not in study.with_responses():
                raise RepbiasError(f"--pilot {pilot}: has RDMs alone; expected responses of units")
            needed.append(f"{plan.results}/recordings/{pilot}.h5")
        _refuse_missing(list(dict.fromkeys(needed)), config)
        rdms = {m: read_rdms(plan.file_of("rdms", group, m)) for m in members}
        ids = np.asarray(rdms[members[0]].pattern_descriptors["stimulus_id"]).astype(str)
        activations = {
            m: Activations.open(plan.file_of("activations", group, m), m) for m in members
        }
        images = study.images.get(group)
        columns = labels_of(rdms, ids) if images is None else _columns_of_images(plan, group, ids)
        stimuli = Recording(stimuli={"stimulus_id": ids} | columns)
        if images is not None and images.groups is not None:
            name_groups(stimuli, images.groups, group)
        candidates = Candidates.of("plan", stimuli, group, rdms, activations, study.recovery)
        return cls(
            study,
            Path(plan.results),
            group,
            candidates,
            ids,
            columns,
            stimulus_groups(stimuli),
            [m for m in members if m not in candidates.models],
            _pilot(needed[-1], study) if pilot else None,
        )

    def regressors(self) -> dict[str, np.ndarray]:
        """Return the regressors of the features that are audited.

        Raises
        ------
        RepbiasError
            If a stimulus has no value of one.
        """
        spec = self.study.audit
        features = chosen_features(spec, self.columns)
        if not complete_stimuli(spec, features, self.columns).all():
            raise RepbiasError(
                "plan: some stimuli of the pool have no value of a feature; fill them in, leave "
                f"these stimuli out (images.{self.shown}.exclude), or choose --by models"
            )
        return regressors(features, self.columns)


def _pilot(file: str, study: Study) -> Twins:
    """Read a recording whose noise the planned one has, of the stimuli that all subjects saw."""
    recording = on_common_stimuli(Recording.read(file), study.geometry.min_units)
    return Twins.of(recording, study.recovery.reliability)


def _columns_of_images(plan: Plan, group: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    images = open_images(plan.study.images[group])
    row = {str(s): i for i, s in enumerate(images.ids)}
    if gone := [s for s in ids if s not in row]:
        raise RepbiasError(
            f"{plan.results}/rdms/{group}: of stimuli that images.{group} no longer has "
            f"({some(gone)}); run Snakemake again"
        )
    rows = [row[s] for s in ids]
    columns = {name: np.asarray(values)[rows] for name, values in images.columns.items()}
    files = [file for file in plan.statistics_of(group) if Path(file).exists()]
    return columns | in_order(read_statistics(files), ids)


def _among(option: str, name: str, names: Sequence[str] | dict[str, list[str]]) -> str:
    if name not in names:
        raise RepbiasError(f"{option} {name}: the study has none; " + nearest(name, names))
    return name


def _refuse_missing(files: Sequence[str], config: Path) -> None:
    missing = [file for file in files if not Path(file).exists()]
    if missing:
        raise RepbiasError(
            f"plan: the results lack {count(len(missing), 'file')} that planning starts from; make "
            f"them first:\n  {shlex.join(['repbias', 'run', str(config), '--only', *missing])}"
        )
