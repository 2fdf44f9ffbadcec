"""Every figure of the report: a function of the tables that gives the figure and its data.

To add one, write such a function, enter it in :data:`DRAWINGS`, and its caption, with the tables
that it needs, in :data:`repbias.report.captions.FIGURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from repbias.io.files import atomic
from repbias.report.figures.audit import (
    audit,
    audit_networks,
    audit_range,
    audit_shares,
    energy_law,
    energy_law_networks,
)
from repbias.report.figures.codes import components, encryption, units
from repbias.report.figures.comparisons import identification, rsa_models, similarity
from repbias.report.figures.drawing import STYLE, save
from repbias.report.figures.model_tests import model_comparison, rsa_fitted, rsa_times
from repbias.report.figures.order import Reported, order
from repbias.report.figures.recorded_units import encoding_regions, quality, variance_partition
from repbias.report.figures.recordings import both_ways, encoding, rsa_recordings
from repbias.report.figures.recovery import recovery, recovery_layers
from repbias.report.figures.training import learning, sweeps, variance, variance_decomposition
from repbias.report.figures.use import behaviour, probes, steering
from repbias.report.figures.verdicts import verdicts
from repbias.report.selection import Generators, Layers, Tables, of_regions
from repbias.tables import read_tables

#: A figure: the tables and the analysed layers to the drawing and the numbers behind it.
Drawing = Callable[[Tables, Layers], tuple[Figure, pd.DataFrame]]

DRAWINGS: dict[str, Drawing] = {
    "verdicts": verdicts,
    "learning": learning,
    "variance": variance,
    "sweeps": sweeps,
    "order": order,
    "variance_decomposition": variance_decomposition,
    "units": units,
    "components": components,
    "encryption": encryption,
    "steering": steering,
    "probes": probes,
    "behaviour": behaviour,
    "rsa_models": rsa_models,
    "similarity": similarity,
    "identification": identification,
    "audit": audit,
    "audit_range": audit_range,
    "audit_shares": audit_shares,
    "energy_law": energy_law,
    "audit_networks": audit_networks,
    "energy_law_networks": energy_law_networks,
    "recovery": recovery,
    "recovery_layers": recovery_layers,
    "quality": quality,
    "model_comparison": model_comparison,
    "rsa_recordings": rsa_recordings,
    "rsa_fitted": rsa_fitted,
    "rsa_times": rsa_times,
    "encoding": encoding,
    "both_ways": both_ways,
    "encoding_regions": encoding_regions,
    "variance_partition": variance_partition,
}


def draw_figures(
    svg_paths: Iterable[str],
    table_paths: Iterable[str],
    layers: Layers,
    generators: Generators,
    reported: Reported | None = None,
    spaces: Collection[str] = (),
    questions: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    processes: int = 1,
    write: Callable[[Figure, Path], None] = save,
) -> None:
    """Draw the figures that the paths name; the data of SVG files go beside them as CSV.

    `spaces` are the models ("set of images/network") whose layers are feature spaces or RDMs, of
    which none stands for the others. `write` writes a figure to a file.
    """
    tables = of_regions(read_tables(table_paths))
    drawings = DRAWINGS | {
        "rsa_recordings": partial(rsa_recordings, generators=generators, spaces=spaces),
        "encoding": partial(encoding, generators=generators, spaces=spaces),
        "both_ways": partial(both_ways, spaces=spaces),
        "encoding_regions": partial(encoding_regions, spaces=spaces),
        "order": partial(order, reported=reported),
        "audit_shares": partial(audit_shares, spaces=spaces),
        "verdicts": partial(verdicts, questions=questions, settings=settings),
    }
    draw = partial(_draw, drawings, tables, layers, write)
    if processes == 1:
        list(map(draw, svg_paths))
    else:
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(draw, svg_paths))


def _draw(
    drawings: dict[str, Drawing],
    tables: Tables,
    layers: Layers,
    write: Callable[[Figure, Path], None],
    file: str,
) -> None:
    """Draw a figure, and write its data beside it."""
    path = Path(file)
    with mpl.rc_context(STYLE):
        figure, data = drawings[path.stem](tables, layers)
        with atomic(path) as temporary:
            write(figure, temporary)
    if path.suffix != ".svg":
        return
    with atomic(path.with_suffix(".csv")) as temporary:
        data.to_csv(temporary, index=False, float_format="%.9g")
