"""``repbias figures``: figures of a study for a paper, as PDF or PNG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from repbias.base.spec import RepbiasError, nearest
from repbias.config.file import read_config
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.report.figures import draw_figures
from repbias.report.figures.paper import save_for_paper

#: Millimetres, points and dots per inch that a figure can have.
RANGES = {"width": (20, 1000), "font_size": (3, 30), "dpi": (50, 2400)}


def run(
    folder: Path,
    names: Sequence[str] = (),
    format: str = "pdf",
    width: float = 180,
    font_size: float | None = None,
    dpi: int = 300,
    out: Path | None = None,
) -> tuple[int, dict[str, Any]]:
    """Draw figures of a study, print and return their files."""
    for option, value in (("width", width), ("font_size", font_size), ("dpi", dpi)):
        low, high = RANGES[option]
        if value is not None and not low <= value <= high:
            option = option.replace("_", "-")
            raise RepbiasError(f"--{option} {value:g}: expected a number from {low} to {high}")
    config = folder / "config.yaml"
    if not config.is_file():
        raise RepbiasError(f"{folder}: no results of a study; expected a folder with a config.yaml")
    study = load_study(read_config(config), str(config), try_networks=False)
    plan = Plan(study)
    known = plan.figures()
    for name in names:
        if name not in known:
            raise RepbiasError(f"{name}: no figure of {folder}; {nearest(name, known)}")
    tables = [folder / "tables" / f"{table}.csv" for table in plan.tables]
    if missing := [table for table in tables if not table.is_file()]:
        raise RepbiasError(f"{missing[0]}: no such file; run the study first")
    out = out or folder / "figures"
    out.mkdir(parents=True, exist_ok=True)
    files = [out / f"{name}.{format}" for name in names or known]
    draw_figures(
        map(str, files),
        map(str, tables),
        plan.all_analysed_layers(),
        plan.generators(),
        plan.reported_orders(),
        plan.spaces(),
        {name: question.model_dump(mode="json") for name, question in study.questions.items()},
        plan.settings(),
        write=partial(save_for_paper, width=width, font_size=font_size, dpi=dpi),
    )
    for file in files:
        print(file)
    return 0, {"folder": folder, "width_mm": width, "files": files}
