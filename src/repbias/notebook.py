"""What ``import repbias`` offers in a notebook: results as objects, and the analyses of arrays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from repbias.auditing.spec import Audit
from repbias.auditing.tables import audit_recording
from repbias.base.identities import as_ids
from repbias.base.spec import RepbiasError, nearest
from repbias.config.file import read_config
from repbias.geometry.distances import dissimilarities
from repbias.geometry.spec import Distance, Geometry
from repbias.io import provenance
from repbias.io.activations import Activations
from repbias.io.hdf5 import open_checked
from repbias.io.recordings import Recording
from repbias.rsa.rdms import Rdms, make_rdms, read_rdms
from repbias.rsa.tables import compare_with_recording
from repbias.tables import read_table

if TYPE_CHECKING:
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import RDMs

#: Name to the activations (stimulus, unit) of a model, or to those of each of its layers.
Models = Mapping[str, ArrayLike | Mapping[str, ArrayLike]]
#: What the only set of stimuli is called in tables.
SHOWN = "stimuli"


def recording(
    responses: ArrayLike | Mapping[str, ArrayLike], stimulus_ids: Sequence[Any] | None = None
) -> Recording:
    """Make a recording of arrays.

    Parameters
    ----------
    responses
        (stimulus, unit) or (stimulus, repeat, unit); NaN where a unit was not observed. Of several
        subjects, their names to such arrays.
    stimulus_ids
        Their ids; by default they are numbered from 0.

    Returns
    -------
    Recording
        As the pipeline reads it from files.

    Raises
    ------
    RepbiasError
        If an array has other axes, or not as many stimuli as there are ids.

    Examples
    --------
    >>> import numpy as np
    >>> counts = np.random.default_rng(0).poisson(3.0, (10, 4, 8))
    >>> made = recording({"monkey1": counts, "monkey2": counts[:, :2]})
    >>> made.responses.shape
    (40, 16)
    """
    of_subjects = responses if isinstance(responses, Mapping) else {"subject1": responses}
    arrays = {name: _with_repeats(name, values) for name, values in of_subjects.items()}
    if not arrays:
        raise RepbiasError("responses: found no subject; expected an array, or one for each")
    ids = _ids(stimulus_ids, [len(array) for array in arrays.values()], "responses")
    n_repeats = max(array.shape[1] for array in arrays.values())
    filled = [
        np.pad(
            array, [(0, 0), (0, n_repeats - array.shape[1]), (0, 0)], constant_values=float("nan")
        )
        for array in arrays.values()
    ]
    values = np.concatenate(filled, axis=2).reshape(len(ids) * n_repeats, -1)
    seen = ~np.isnan(values).all(axis=1)
    subjects = [name for name, array in arrays.items() for _ in range(array.shape[2])]
    return Recording(
        stimuli={"stimulus_id": ids},
        responses=values[seen],
        trials={
            "stimulus_id": np.repeat(ids, n_repeats)[seen],
            "repeat": np.tile(np.arange(n_repeats), len(ids))[seen],
        },
        units={
            "unit": np.array([f"{name}/{i}" for i, name in enumerate(subjects)]),
            "subject": np.array(subjects),
            "region": np.full(len(subjects), ""),
        },
    )


def _with_repeats(name: str, values: ArrayLike) -> np.ndarray:
    """Return responses as (stimulus, repeat, unit)."""
    array = np.asarray(values, float)
    if array.ndim not in (2, 3):
        raise RepbiasError(
            f"responses of {name}: found {array.ndim} axes; expected (stimulus, unit) or "
            "(stimulus, repeat, unit)"
        )
    return array if array.ndim == 3 else array[:, None]


def _ids(given: Sequence[Any] | None, lengths: Sequence[int], what: str) -> np.ndarray:
    """Return ids of stimuli, of which every array has as many."""
    n = lengths[0] if given is None else len(given)
    if any(length != n for length in lengths):
        found = ", ".join(map(str, dict.fromkeys(lengths)))
        raise RepbiasError(f"{what}: found {found} stimuli; expected {n}, as others or ids have")
    return as_ids(range(n) if given is None else given)


def rdms(
    models: Models, stimulus_ids: Sequence[Any] | None = None, distance: Distance = "correlation"
) -> RDMs:
    """Compute the RDMs of models.

    Parameters
    ----------
    models
        Name to activations (stimulus, unit), or to those of each of the model's layers.
    stimulus_ids
        Their ids; by default they are numbered from 0.
    distance
        "correlation", "euclidean" or "squared_euclidean", as rsatoolbox computes them.

    Returns
    -------
    rsatoolbox.rdm.RDMs
        With the descriptors "network" and "layer".

    Raises
    ------
    RepbiasError
        If models differ in their stimuli, or the distance is undefined: a pattern is constant.
    """
    return _rdms(models, stimulus_ids, distance).as_rsatoolbox()


def _rdms(models: Models, stimulus_ids: Sequence[Any] | None, distance: Distance) -> Rdms:
    """Compute the RDMs of models' layers."""
    layers = list(_layers(models))
    if not layers:
        raise RepbiasError("models: found none; expected names with activations")
    ids = _ids(stimulus_ids, [len(values) for _, _, values in layers], "models")
    info: dict[str, list[Any]] = {
        "network": [network for network, _, _ in layers],
        "layer": [layer for _, layer, _ in layers],
        "seed": [0] * len(layers),
        "snapshot": ["final"] * len(layers),
        "step": [0] * len(layers),
        "included": [True] * len(layers),
    }
    vectors = []
    for network, layer, values in layers:
        try:
            vectors.append(dissimilarities(values, distance))
        except RepbiasError as error:
            raise RepbiasError(f"{network}, layer {layer}: {error}") from error
    return make_rdms(np.stack(vectors), ids, distance, info)


def _layers(models: Models) -> Iterator[tuple[str, str, np.ndarray]]:
    for name, layers in models.items():
        named = layers if isinstance(layers, Mapping) else {"features": layers}
        for layer, values in named.items():
            array = np.asarray(values, float)
            if array.ndim < 2:
                raise RepbiasError(f"{name}, layer {layer}: expected (stimulus, unit)")
            yield name, layer, array.reshape(len(array), -1)


def compare(recorded: Recording, models: Models, **settings: Any) -> pd.DataFrame:
    """Compare models with a recording by RSA.

    Parameters
    ----------
    recorded
        Of :func:`recording`, or of a study's results.
    models
        As of :func:`rdms`, for the stimuli of the recording, in its order.
    **settings
        Of the section ``geometry`` of a study: docs/configuration.md.

    Returns
    -------
    pandas.DataFrame
        The table rsa_recordings: similarity, interval and noise ceiling of every layer.
    """
    spec = Geometry(**settings)
    return compare_with_recording(
        "recording", recorded, SHOWN, _shown(recorded, models, spec), spec
    )


def _shown(recorded: Recording, models: Models, spec: Geometry) -> dict[str, Rdms]:
    """Return the RDMs of models of a recording's stimuli, each under its name."""
    ids = recorded.stimulus_ids
    return {m: _rdms({m: layers}, list(ids), spec.distance) for m, layers in models.items()}


@dataclass(frozen=True)
class Audited:
    """How much of every score is which feature, as three tables (docs/audit.md).

    Attributes
    ----------
    shares : the table audit, with a row for each layer and feature
    remaining : the table audit_remaining: scores without each feature
    range : the table audit_range: how far a score can move while everything stays decodable
    """

    shares: pd.DataFrame
    remaining: pd.DataFrame
    range: pd.DataFrame

    def _repr_html_(self) -> str:
        """Show the share of every feature, and what is said of it."""
        shown = self.shares[self.shares["subject"] == ""]
        columns = ["network", "layer", "score", "feature", "share", "ci_low", "ci_high"]
        html: str = shown[columns].to_html(index=False, float_format="{:z.3f}".format)
        warnings = list(dict.fromkeys(chain(*(w.split("; ") for w in shown["warning"] if w))))
        return html + "".join(f"<p>{warning}</p>" for warning in warnings)


def audit(
    recorded: Recording,
    models: Models,
    features: Mapping[str, ArrayLike] | pd.DataFrame,
    settings: Mapping[str, Any] | None = None,
    **geometry: Any,
) -> Audited:
    """Divide the scores of models with a recording among features of the stimuli.

    Parameters
    ----------
    recorded
        Of :func:`recording`, or of a study's results.
    models
        As of :func:`rdms`, for the stimuli of the recording, in its order.
    features
        Name to a value for each stimulus, in the same order: numbers, or names of categories.
    settings
        Of the section ``audit`` of a study: docs/configuration.md.
    **geometry
        Of the section ``geometry``.

    Returns
    -------
    Audited
        Its tables.

    Raises
    ------
    RepbiasError
        If a feature has not a value for each stimulus, or models saw other stimuli.
    """
    columns = {str(name): np.asarray(features[name]) for name in features}
    n = len(recorded.stimulus_ids)
    for name, values in columns.items():
        if values.shape != (n,):
            raise RepbiasError(f"features: {name!r} has shape {values.shape}; expected ({n},)")
    ours = Recording(**{**vars(recorded), "stimuli": recorded.stimuli | columns})
    spec = Geometry(**geometry)
    chosen = Audit(**{"features": list(columns), **(settings or {})})
    tables = audit_recording(
        "recording", ours, SHOWN, _shown(recorded, models, spec), {}, spec, chosen
    )
    return Audited(tables["audit"], tables["audit_remaining"], tables["audit_range"])


class Results:
    """What a study has left in its folder.

    Attributes
    ----------
    folder : where it is
    config : the configuration, with every default
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "config.yaml").exists():
            raise RepbiasError(f"{folder}: no config.yaml; expected the results of a study")
        self.config: dict[str, Any] = read_config(self.folder / "config.yaml")
        self._left_over = provenance.left_over(self.folder)
        if self._left_over:
            named = ", ".join(self._left_over)
            warnings.warn(
                f"{self.folder / 'tables'}: left over from an earlier configuration, and not in "
                f"`tables`: {named}; read them with pandas, or delete the files",
                stacklevel=3,
            )

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that the configuration makes, by name."""
        return {n: read_table(self._file("tables", n), n) for n in self._names("tables", ".csv")}

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """The conditions of experiments, with the values of the settings that vary.

        Columns experiment, condition, the path of every varied setting, layer (the analysed one)
        and seeds (how many). A setting that is a number, text or a truth value stands as it is; of
        others, the name of the level.
        """
        # Not at the top: the import takes as long as all others.
        from repbias.config.study import condition_rows
        from repbias.pipeline.checks import load_study

        # Without what the study reads from other files, which may be elsewhere now.
        given = {key: self.config[key] for key in ("study", "experiments")}
        if not given["experiments"]:
            return pd.DataFrame(columns=["experiment", "condition", "layer", "seeds"])
        study = load_study(given, str(self.folder / "config.yaml"), try_networks=False)
        return pd.DataFrame(condition_rows(study))

    @property
    def models(self) -> dict[str, list[str]]:
        """Experiments and sets of images, with the conditions and networks that have RDMs.

        Empty where the study does not keep RDMs, or no analysis reads them (docs/notebook.md).
        """
        groups = sorted(path for path in (self.folder / "rdms").glob("*") if path.is_dir())
        return {path.name: self._names(f"rdms/{path.name}") for path in groups}

    @property
    def recordings(self) -> list[str]:
        """Names of the recordings."""
        return self._names("recordings")

    def rdms(self, group: str, model: str) -> RDMs:
        """Return the RDMs of a model's networks and layers, as an object of rsatoolbox.

        Parameters
        ----------
        group, model
            As in :attr:`models`.
        """
        known = self._names(f"rdms/{group}")
        if model not in known:
            raise self._none("rdms", group, model, known)
        return read_rdms(self.folder / "rdms" / group / f"{model}.h5").as_rsatoolbox()

    def activations(self, group: str, model: str) -> Activations:
        """Open the activations of a model's networks and layers.

        Parameters
        ----------
        group, model
            As in :attr:`models`.
        """
        folder = self.folder / "activations" / group
        known: list[str] = []
        for file in sorted(folder.glob("*.h5")):  # a file may have several conditions
            with open_checked(file, "activations") as parts:
                known += parts
            if model in known:
                return Activations.open(file, model)
        raise self._none("activations", group, model, known)

    def _none(self, kind: str, group: str, model: str, known: list[str]) -> RepbiasError:
        """Say why there are no activations or RDMs of a model, but of others, if any."""
        what = "RDMs" if kind == "rdms" else kind
        groups = [*self.config["experiments"], *self.config["images"]]
        if group not in groups:
            why = f"no experiment or images {group!r}; {nearest(group, groups)}"
        elif known:
            why = nearest(model, known)
        elif kind not in self.config["keep"]:
            why = f"the study deletes them when its tables are made (keep: {self.config['keep']})"
        elif not (self.folder / "report.html").exists():
            why = "the study was not run to its end"
        else:
            why = (
                f"no analysis of {group} reads {what} from files, so they were not written "
                "(docs/notebook.md says which do, and how they are written all the same)"
            )
        return RepbiasError(f"{self.folder / kind / group}: no {what} of {model!r}; {why}")

    def recording(self, name: str) -> Recording:
        """Read a recording, with the responses of all trials."""
        return Recording.read(self._file("recordings", name))

    def dataset(self, name: str) -> Dataset:
        """Read the responses of a recording, as a dataset of rsatoolbox with a row per trial."""
        from rsatoolbox.data import Dataset

        found = self.recording(name)
        if found.responses is None:
            raise RepbiasError(f"{name}: has RDMs alone; expected responses of units")
        if len(found.responses.shape) != 2:
            raise RepbiasError(f"{name}: has a time axis, which recording({name!r}).responses has")
        return Dataset(
            np.asarray(found.responses),
            descriptors={"recording": name},
            obs_descriptors={k: v.tolist() for k, v in found.trials.items()},
            channel_descriptors={k: v.tolist() for k, v in found.units.items()},
        )

    def _names(self, folder: str, suffix: str = ".h5") -> list[str]:
        found = {path.stem for path in (self.folder / folder).glob(f"*{suffix}")}
        return sorted(found.difference(self._left_over if folder == "tables" else ()))

    def _file(self, folder: str, name: str) -> Path:
        suffix = ".csv" if folder == "tables" else ".h5"
        if name not in (names := self._names(folder, suffix)):
            raise RepbiasError(f"{self.folder / folder}: no {name!r}; {nearest(name, names)}")
        return self.folder / folder / f"{name}{suffix}"

    def __repr__(self) -> str:
        """Name the study, and where it is."""
        return f"Results of {self.config['study']} in {self.folder}"

    def _repr_html_(self) -> str:
        """List tables, models and recordings, as they are asked for."""
        asked = [f"tables[{name!r}]" for name in self._names("tables", ".csv")]
        asked += [f"rdms({g!r}, {m!r})" for g, models in self.models.items() for m in models]
        asked += [f"recording({name!r})" for name in self.recordings]
        listed = "".join(f"<li><code>{escape(call)}</code></li>" for call in asked)
        return f"<p>{escape(repr(self))}</p><ul>{listed}</ul>"


def load(folder: str | Path) -> Results:
    """Load the results of a study.

    Parameters
    ----------
    folder
        As ``results/<study>``.

    Raises
    ------
    RepbiasError
        If there are no results.
    """
    return Results(folder)
