"""Figures for papers: PDF and PNG of a width, with letters of a size."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import matplotlib as mpl
from matplotlib.backend_bases import FigureCanvasBase, RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_pdf import Op, PdfFile, RendererPdf
from matplotlib.figure import Figure

from repbias.report.figures.drawing import STYLE, lay_out, legend_below

#: Millimetres in an inch.
INCH = 25.4


def save_for_paper(
    figure: Figure, path: str | Path, width: float, font_size: float | None = None, dpi: int = 300
) -> None:
    """Write a figure as PDF, whose text can be edited, or as PNG.

    All of it is made smaller or larger together: letters, lines and marks.

    Parameters
    ----------
    figure
        The figure, as it is drawn for the report.
    path
        With the ending .pdf or .png.
    width
        In millimetres.
    font_size
        Of the labels of axes, in points; other letters are smaller in proportion. The panels get
        narrower or wider for it. By default as the width makes them.
    dpi
        Of a PNG, and of images in a PDF.
    """
    inches, height = figure.get_size_inches()
    scale = width / INCH / inches
    if font_size is not None:
        scale = font_size / STYLE["font.size"]
        figure.set_size_inches(width / INCH / scale, height)
        _fold_legends(figure)
    lay_out(figure)
    if Path(path).suffix == ".png":
        FigureCanvasAgg(figure)
        resolution = {"dpi": (dpi, dpi)}
        figure.savefig(path, format="png", dpi=scale * dpi, pil_kwargs=resolution)
    else:
        _write_pdf(figure, path, scale, dpi)


def _fold_legends(figure: Figure) -> None:
    """Put legends into as many columns as now fit."""
    for legend in list(figure.legends):
        with mpl.rc_context(STYLE):
            handles = [handle for handle in legend.legend_handles if handle is not None]
            for handle, text in zip(handles, legend.get_texts(), strict=True):
                handle.set_label(text.get_text())
            legend.remove()
            legend_below(figure, handles, legend.get_title().get_text())


def _write_pdf(figure: Figure, path: str | Path, scale: float, dpi: int) -> None:
    """Write a figure as matplotlib does, on a page of another size."""
    FigureCanvasBase(figure)
    width, height = figure.get_size_inches()
    figure.dpi = 72
    with mpl.rc_context({"pdf.fonttype": 42}):
        file = PdfFile(path, metadata={"CreationDate": None})
        try:
            file.newPage(scale * width, scale * height)
            file.width, file.height = width, height  # what lies outside is not written
            file.output(scale, 0, 0, scale, 0, 0, Op.concat_matrix)
            pdf = RendererPdf(file, scale * dpi, height, width)
            renderer = MixedModeRenderer(figure, width, height, scale * dpi, pdf)
            figure.draw(cast(RendererBase, renderer))
            renderer.finalize()
            file.finalize()
        finally:
            file.close()
