"""The self-contained HTML report."""

from __future__ import annotations

import base64
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

import repbias
from repbias.claims import CLAIMS
from repbias.store import atomic
from repbias.tables import read_table

LIBRARIES = ("torch", "numpy", "scipy", "rsatoolbox", "himalaya", "h5py", "pandas", "snakemake")

CAPTIONS = {
    "learning": (
        "Learning and representation",
        "Top: validation accuracy of every network. Bottom: variance of the analysed layer that "
        "each feature explains, as a share of the final representation's variance (M1b), so that "
        "all points share a scale. A line ends where its network stopped.",
    ),
    "variance": (
        "Variance explained by feature",
        "R² from feature to representation (M1) on test stimuli in the analysed layer: untrained, "
        "when a network first mastered all its targets, and at the end of training. Dots are "
        "networks that met the inclusion criterion; circles are means with 95 % bootstrap "
        "intervals over them.",
    ),
    "rsa_models": (
        "Networks compared with each other",
        "Similarity of RDMs (first comparator) of the analysed layer between all networks, by "
        "condition and stage of training; for models of your own, between all their layers. "
        "Networks with the same seed start from the same weights. White: a network with itself.",
    ),
    "rsa_recordings": (
        "Networks compared with recordings: RSA",
        "Similarity of RDMs, mean over subjects, for networks that met the inclusion criterion. "
        "Lines are means over networks and small dots single networks, stars the network that "
        "generated a simulated recording; where a condition has one network, bars are its 95 % "
        "interval (the table says what it generalises to). The grey band is the noise ceiling; "
        "where there is none, it could not be estimated.",
    ),
    "encoding": (
        "Networks compared with recordings: encoding",
        "Correlation of nested cross-validated ridge predictions with responses to left-out "
        "stimuli, not normalised; lines and dots as above. The dotted line is the mean ceiling of "
        "the units that have one. Bars, for single networks: 95 % bootstrap intervals over units.",
    ),
    "planted_truth": (
        "Planted truth",
        "A simulated recording's generating layer (outlined) is known. Shown is which layer scores "
        "highest, over the kept networks of the generating condition. One of them is the generator "
        "itself; the others are new instances of it, as models of a real brain are at best.",
    ),
}


def write_page(
    path: str | Path,
    tables: Iterable[str],
    figures: Iterable[str],
    config: str,
    benchmarks: str,
) -> None:
    """Write the report: one HTML file that needs nothing else, not even a network.

    Parameters
    ----------
    path
        The HTML file.
    tables
        CSV files of :data:`repbias.tables.TABLES`.
    figures
        SVG files; each has a CSV file of its data beside it.
    config
        The resolved configuration (YAML).
    benchmarks
        Folder of Snakemake's benchmark files.
    """
    frames = {Path(p).stem: read_table(p, Path(p).stem) for p in tables}
    text = Path(config).read_text(encoding="utf-8")
    study = yaml.safe_load(text)
    steps = step_times(benchmarks)
    environment = Environment(
        loader=PackageLoader("repbias.report", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    page = environment.get_template("report.html.j2").render(
        title=study["title"] or study["study"],
        study=study,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        conditions=condition_rows(frames["learning"]),
        recordings=recording_rows(frames, study.get("recordings", {})),
        claims=claim_rows(frames["claims"]),
        networks=network_rows(study.get("networks", {})),
        analysed=analysed_layers(study.get("experiments", {})),
        planted=planted_rows(frames["planted_truth"]),
        figures=[_figure(Path(p)) for p in figures],
        config=text,
        steps=steps,
        seconds=sum(row["seconds"] for row in steps),
        versions={"repbias": repbias.__version__, **{name: version(name) for name in LIBRARIES}},
        machine=machine(),
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def condition_rows(learning: pd.DataFrame) -> list[dict[str, Any]]:
    """Summarise every condition: networks kept and dropped, steps, final accuracy."""
    rows = []
    for (experiment, condition), part in learning.groupby(["experiment", "condition"], sort=False):
        last = part.sort_values("step").groupby(["network", "feature"]).tail(1)
        networks = last.drop_duplicates("network")
        targets = last[last["target"]]
        rows.append(
            {
                "experiment": experiment,
                "condition": condition,
                "networks": len(networks),
                "kept": int(networks["kept"].sum()),
                "dropped": int((~networks["kept"]).sum()),
                "steps": networks["step"].median(),
                "accuracy": targets.groupby("feature", sort=False)["accuracy"].mean().to_dict(),
            }
        )
    return rows


def recording_rows(
    frames: dict[str, pd.DataFrame], specs: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Summarise every recording: size, reliability, and the ceiling of the first comparator."""
    rows = []
    for recording, part in frames["rsa_recordings"].groupby("recording", sort=False):
        units = frames["reliability"][frames["reliability"]["recording"] == recording]
        first = part.iloc[0]
        rows.append(
            {
                "recording": recording,
                "subjects": int(first["n_subjects"]),
                "stimuli": int(first["n_stimuli"]),
                "units": len(units) or None,
                "repeats": units["repeats"].mean(),
                "reliability": units["reliability"].mean(),
                "untrusted": int(units["ceiling"].isna().sum()),
                "comparator": first["comparator"],
                "ceiling_low": first["ceiling_low"],
                "ceiling_high": first["ceiling_high"],
                "convention": first["ceiling_convention"],
                "interval": first["interval"],
                "source": specs.get(recording, {}).get("source", ""),
            }
        )
    return rows


def claim_rows(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Add to every claim what its effect is measured in, and whether it is exact."""
    rows = claims.to_dict(orient="records")
    for row in rows:
        entry = CLAIMS[row["claim"].split(" ")[0]]
        row |= {"measure": entry.measure, "exact": not entry.over_time}
    return rows


def network_rows(networks: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Summarise the user's own networks."""
    return [
        {
            "network": name,
            "kind": spec["kind"],
            "from": spec.get("factory", f"{spec.get('size')} x {spec.get('size')} pixels"),
            "layers": ", ".join(spec.get("layers", ["pixels"])),
        }
        for name, spec in networks.items()
    ]


def analysed_layers(experiments: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Name every experiment's analysed layer, where it does not vary."""
    layers = {}
    for name, spec in experiments.items():
        network = spec["network"]
        if not any(path.startswith("network") for path in spec["vary"]):
            layers[name] = network["analysed_layer"] or f"hidden{len(network['hidden'])}"
    return layers


def planted_rows(planted: pd.DataFrame) -> list[dict[str, Any]]:
    """Summarise how often the generating layer is named."""
    rows = []
    keys = ["recording", "method", "measure", "true_layer"]
    for key, part in planted.groupby(keys, sort=False):
        itself = part[part["is_generator"]]
        others = part[~part["is_generator"]]
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "itself": itself["named_layer"].iloc[0] if len(itself) else None,
                "others_correct": int(others["correct"].sum()),
                "others": len(others),
                "chance": part["chance"].iloc[0],
            }
        )
    return rows


def step_times(folder: str | Path) -> list[dict[str, Any]]:
    """Sum Snakemake's benchmarks by rule: jobs, seconds, CPU seconds, peak memory."""
    rows = []
    for rule in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []:
        files = [rule] if rule.suffix == ".tsv" else sorted(rule.rglob("*.tsv"))
        if not files:
            continue
        table = pd.concat([pd.read_csv(f, sep="\t", na_values="-") for f in files])
        rows.append(
            {
                "rule": rule.stem,
                "jobs": len(table),
                "seconds": float(table["s"].sum()),
                "cpu": float(table["cpu_time"].sum()),
                "memory": float(table["max_rss"].max()),
            }
        )
    return sorted(rows, key=lambda row: -row["seconds"])


def machine() -> dict[str, str]:
    """Say what hardware and system this is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "Python": platform.python_version(),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def number(value: Any, digits: int = 3) -> str:
    """Format a number for a table; a dash where there is none."""
    if value is None or pd.isna(value):
        return "–"
    if 0 < abs(value) < 0.5 * 10**-digits:
        digits += 1
    return f"{value:.{digits}f}".replace("-", "−")


def _figure(path: Path) -> dict[str, str]:
    svg = path.read_bytes()
    title, caption = CAPTIONS[path.stem]
    return {
        "name": path.stem,
        "title": title,
        "caption": caption,
        "data": base64.b64encode(svg).decode(),
    }
