"""The self-contained HTML report."""

from __future__ import annotations

import base64
import gzip
import os
import platform
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

import repbias
from repbias.io.files import atomic
from repbias.io.provenance import host
from repbias.recovery.words import sentences
from repbias.report.alternatives import alternative
from repbias.report.captions import (
    FIGURES,
    PICTURES,
    STIMULI,
    caption_of,
    network_picture_of,
    picture_of,
)
from repbias.report.claim_rows import claim_rows, figures_of, tables_of
from repbias.report.findings import findings
from repbias.report.law import explained_by_law, predicted_between_networks, predicted_shares
from repbias.report.methods import methods
from repbias.report.numbers import decimals, effect_and_interval
from repbias.report.quality import mark_of, words_of
from repbias.report.trends import over_range
from repbias.tables import read_tables

#: The only script that the page lets run.
SCRIPT = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
#: Pixels of a page in a point of print.
PIXELS = 4 / 3
#: Figures taller than this many points, some three screens, are collapsed.
TALL = 2000
#: Tables with more rows than this are collapsed.
LONG = 20
#: Libraries whose versions the report names.
LIBRARIES = ("torch", "numpy", "scipy", "rsatoolbox", "himalaya", "h5py", "pandas", "snakemake")

#: Share of penalties at an end of the grid from which on it is said.
MOST_AT_EDGE = 0.1
#: What a caution concerns, to the figures beside which it stands.
CONCERNED = {
    "tests": ("model_comparison", "rsa_recordings"),
    "similarity": ("model_comparison", "rsa_recordings"),
    "encoding": ("encoding", "encoding_regions"),
}


def write_page(
    path: str | Path,
    tables: Iterable[str],
    figures: Iterable[str],
    config: str,
    benchmarks: str,
    layers: Mapping[str, str],
    not_pictured: str = "",
    trained: Mapping[str, Mapping[str, Any]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write the report: a single HTML file that opens without a network connection.

    Parameters
    ----------
    path
        The HTML file.
    tables
        CSV files of :data:`repbias.tables.TABLES`.
    figures
        SVG files that :mod:`repbias.report.captions` describes, each with its data in a CSV file
        beside it.
    config
        The resolved configuration (YAML).
    benchmarks
        Folder of Snakemake's benchmark files.
    layers
        "experiment/condition" to its analysed layer.
    not_pictured
        Conditions whose networks could have pictures too, in words.
    trained
        Networks that are trained here and shown sets of images, to their "experiment", "condition",
        "layers", "seeds", and the "shape" of the images that they were trained on.
    settings
        "experiment/condition" to the values of settings that questions name, by path.
    """
    text = Path(config).read_text(encoding="utf-8")
    study, trained = yaml.safe_load(text), trained or {}
    of_study = read_tables(tables)
    versions = {"repbias": repbias.__version__, **{name: version(name) for name in LIBRARIES}}
    steps = step_times(benchmarks)
    page = _template().render(
        title=study["title"] or study["study"],
        study=study,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        long=LONG,
        **_results(
            of_study,
            [_figure(Path(path)) for path in figures],
            study,
            trained,
            layers,
            settings or {},
        ),
        methods=methods(study, of_study, layers, versions),
        networks=network_rows(study.get("networks", {}), trained),
        analysed=analysed_layers(layers),
        not_pictured=not_pictured,
        config=text,
        steps=steps,
        seconds=sum(row["seconds"] for row in steps),
        versions=versions,
        machine=machine(),
        script=SCRIPT,
        script_hash=f"sha256-{base64.b64encode(sha256(SCRIPT.encode()).digest()).decode()}",
    )
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("repbias.report", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["effect"] = effect_and_interval
    return environment.get_template("report.html.j2")


def _results(
    tables: dict[str, pd.DataFrame],
    figures: list[dict[str, Any]],
    study: dict[str, Any],
    trained: Mapping[str, Mapping[str, Any]],
    layers: Mapping[str, str],
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the page shows of the tables and figures."""
    questions = study.get("questions", {})
    rdm_similarity = study.get("geometry", {}).get("rdm_similarities", ["corr"])[0]
    rows = claim_rows(study.get("claims", {}), tables, layers, rdm_similarity)
    drawn = {figure["name"] for figure in figures}
    pictures = [figure for figure in figures if figure["recording"] is not None]
    of_networks = [figure for figure in figures if figure["condition"] is not None]
    of_study = [f for f in figures if f["recording"] is None and f["condition"] is None]
    return {
        "findings": findings(tables, simulated_from(study.get("recordings", {})), trained),
        "failed": failed_conditions(tables["learning"]),
        "cautioned": tables["cautions"].groupby("recording", sort=False).size().to_dict(),
        "conditions": condition_rows(tables["learning"]),
        "recordings": recording_rows(tables, study.get("recordings", {})),
        "blocks": recording_blocks(tables, pictures),
        "references": tables["references"].to_dict(orient="records"),
        "between": tables["rsa_between_recordings"].to_dict(orient="records"),
        "claims": [
            block | {"tables": of, "figures": figures_of(of, drawn)}
            for block in claim_blocks(over_range(tables, questions, settings))
            for of in [tables_of(block["claim"], questions)]
        ],
        "claim_rows": {name: _packed_rows(part) for name, part in rows.items()},
        "titles": {name: caption.title for name, caption in FIGURES.items()},
        "verdicts": claims_summary(tables["claims"]),
        "sections": sections_of([f for f in of_study if f["section"] != STIMULI.section]),
        "stimuli": [figure for figure in of_study if figure["section"] == STIMULI.section],
        "pictured": {
            name: [figure for figure in of_networks if figure["condition"] == name]
            for name in dict.fromkeys(figure["condition"] for figure in of_networks)
        },
        "notes": figure_notes(tables["cautions"], tables["encoding_regions"]),
        "facts": {
            "recovery": sentences(tables["recovery"]),
            "energy_law": law_sentences(tables["audit"]),
            "energy_law_networks": law_between_networks(tables["audit_networks"]),
        },
    }


def figure_notes(cautions: pd.DataFrame, encoding: pd.DataFrame) -> dict[str, list[str]]:
    """Return what is to be said beside a figure, of every recording that is concerned."""
    notes: dict[str, list[str]] = defaultdict(list)
    for caution in cautions.itertuples():
        where = ", ".join(filter(None, (caution.recording, caution.region)))
        for figure in CONCERNED[caution.concerns]:
            notes[figure].append(f"{where}: {caution.sentence}")
    trained = encoding[encoding["included"].astype(bool) & (encoding["snapshot"] == "final")]
    for recording, part in trained.groupby("recording", sort=False):
        # Units that cannot be predicted take the largest penalty, whatever it is.
        predicted = part[part["ci_low"] > 0]
        at_edge = predicted[predicted["alpha_at_edge"] > MOST_AT_EDGE]
        if len(at_edge):
            layers = ", ".join(at_edge["layer"].drop_duplicates().head(5))
            notes["encoding"].append(
                f"{recording}: in {len(at_edge)} of {len(predicted)} fits that predict "
                f"({layers}) more than {MOST_AT_EDGE:.0%} of the penalties are at an end of the "
                "grid, so others might predict better; widen encoding.log10_alpha."
            )
    return notes


def law_sentences(audit: pd.DataFrame) -> list[str]:
    """Say of every recording how well variance alone predicts shares, and where it does not."""
    said = []
    for recording, shares in predicted_shares(audit).groupby("recording", sort=False):
        error = (shares["predicted"] - shares["share"]).abs()
        worst = shares.loc[error.idxmax()]
        said.append(
            f"{recording}: half of {len(shares)} shares are within {error.median():.2f} of what "
            f"variance and dimensions alone predict, 90 % within {error.quantile(0.9):.2f}; the "
            f"largest difference is {worst['feature']} in {worst['layer']} of "
            f"{worst['condition']}, predicted {decimals(worst['predicted'])}, measured "
            f"{decimals(worst['share'])}."
        )
    return said


def law_between_networks(table: pd.DataFrame) -> list[str]:
    """Say of every experiment how well variance alone predicts shares of similarity."""
    said = []
    for experiment, shares in predicted_between_networks(table).groupby("experiment", sort=False):
        error = (shares["predicted"] - shares["share"]).abs()
        said.append(
            f"{experiment}: R² {decimals(explained_by_law(shares), 3)} over {len(shares)} shares; "
            f"half of them are within {error.median():.3f} of the prediction, 90 % within "
            f"{error.quantile(0.9):.3f}."
        )
    return said


def claim_blocks(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """Gather every claim's variants, each at its two times."""
    blocks = []
    for claim, part in claims.groupby("claim", sort=False):
        times = part.to_dict(orient="records")
        common = ("statement", "measure", "reference", "provenance")
        variants: dict[str, dict[str, Any]] = {}
        for row in times:
            variants.setdefault(row["variant"], {})[row["snapshot"]] = row
        blocks.append(
            {"claim": claim, "variants": variants} | {name: times[0][name] for name in common}
        )
    return blocks


def claims_summary(claims: pd.DataFrame) -> dict[str, Any]:
    """Count the verdicts at the end of training, and list those that differ at first mastery."""
    keys = ["claim", "variant", "statement"]
    final, mastered = (
        claims[claims["snapshot"] == snapshot].set_index(keys)["verdict"]
        for snapshot in ("final", "mastered")
    )
    both = pd.DataFrame({"before": mastered, "after": final}).dropna()
    both = both.reindex([key for key in final.index if key in both.index])
    changed = both[both["before"] != both["after"]].reset_index()
    decided = claims[(claims["verdict"] != "inconclusive") & claims["p"].notna()]
    return {
        "at_equal_loss": bool((claims["snapshot"] == "matched").any()),
        "n_tested": int(claims["p"].notna().sum()),
        "n_decided": len(decided),
        "n_corrected": int((decided["p_fdr"] < 0.05).sum()),
        "counts": {
            verdict: int((final == verdict).sum())
            for verdict in ("supported", "not supported", "inconclusive")
        },
        "n_changes": len(changed),
        "changes": [
            {
                "before": before,
                "after": after,
                "claims": [
                    {"claim": claim, "statement": statement, "variants": list(rows["variant"])}
                    for (claim, statement), rows in part.groupby(["claim", "statement"], sort=False)
                ],
            }
            for (before, after), part in changed.groupby(["before", "after"], sort=False)
        ],
    }


def condition_rows(learning: pd.DataFrame) -> list[dict[str, Any]]:
    """Summarise every condition: networks included and excluded, steps, final accuracy."""
    rows = []
    for (experiment, condition), part in learning.groupby(["experiment", "condition"], sort=False):
        last = part.sort_values("step").groupby(["network", "feature"]).tail(1)
        networks = last.drop_duplicates("network")
        targets = last[last["target"]]
        known = targets[targets["accuracy"].notna()]  # not of networks trained elsewhere
        rows.append(
            {
                "experiment": experiment,
                "condition": condition,
                "networks": len(networks),
                "trained": bool(len(known)),
                "shown": bool(len(targets)) and not len(known),
                "included": int(networks["included"].sum()),
                "excluded": int((~networks["included"]).sum()),
                "steps": networks["step"].median(),
                "accuracy": known.groupby("feature", sort=False)["accuracy"].mean().to_dict(),
            }
        )
    return rows


def simulated_from(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what simulated recordings were simulated from."""
    return {
        name: f"simulated from {spec['source']}, {spec['layer']}"
        for name, spec in recordings.items()
        if spec.get("kind") == "simulated"
    }


def failed_conditions(learning: pd.DataFrame) -> list[str]:
    """Return the conditions of which no network met the inclusion criterion."""
    included = learning.groupby(["experiment", "condition"], sort=False)["included"].any()
    return [f"{experiment}/{condition}" for experiment, condition in included.index[~included]]


def recording_rows(
    tables: dict[str, pd.DataFrame], specs: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Summarise every recording: size, reliability, and the ceiling of the first RDM similarity."""
    rows = []
    for (recording, region), part in tables["rsa_recordings"].groupby(
        ["recording", "region"], sort=False
    ):
        units = tables["reliability"][tables["reliability"]["recording"] == recording]
        units = units[(units["region"] == region) | (region == "")]
        first = part.iloc[0]
        rows.append(
            {
                "recording": recording,
                "region": region,
                "subjects": int(first["n_subjects"]),
                "stimuli": int(first["n_stimuli"]),
                "units": len(units) or None,
                "repeats": units["repeats"].mean(),
                "reliability": units["reliability"].mean(),
                "without_ceiling": int(units["ceiling"].isna().sum()),
                "rdm_similarity": first["rdm_similarity"],
                "ceiling_low": first["ceiling_low"],
                "ceiling_high": first["ceiling_high"],
                "convention": first["ceiling_convention"],
                "interval": first["interval"],
                "source": specs.get(recording, {}).get("source", ""),
            }
        )
    return rows


def recording_blocks(
    tables: dict[str, pd.DataFrame], pictures: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Gather what is known of every recording: warnings, quality, pictures."""
    tests, quality, cautions = tables["rsa_tests"], tables["quality"], tables["cautions"]
    names = [
        *tables["rsa_recordings"]["recording"],
        *quality["recording"],
        *tests["recording"],
        *(picture["recording"] for picture in pictures),
    ]
    return [
        {
            "recording": name,
            "cautions": cautions[cautions["recording"] == name].to_dict(orient="records"),
            "warnings": warning_rows(tests[tests["recording"] == name]),
            **quality_rows(quality[quality["recording"] == name]),
            "pictures": [picture for picture in pictures if picture["recording"] == name],
        }
        for name in dict.fromkeys(names)
    ]


def quality_rows(quality: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Separate measures of a whole recording from those of its regions and subjects."""
    whole = (quality["subject"] == "") & (quality["region"] == "")
    parts = ["subject", "region"]
    units = quality[quality["measure"] == "units"].set_index(parts)["value"].to_dict()
    of = quality[parts].itertuples(index=False, name=None)
    marks = [
        mark_of(row, units.get(part, 0))
        for row, part in zip(quality.to_dict(orient="records"), of, strict=True)
    ]
    quality = quality.assign(words=quality["measure"].map(words_of), mark=marks)
    return {
        "quality": quality[whole].to_dict(orient="records"),
        "quality_of_parts": quality[~whole].to_dict(orient="records"),
    }


def warning_rows(tests: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every warning of the tests once, with the number of tests that it concerns."""
    warnings = tests["warning"].str.split("; ").explode()
    counts = warnings[warnings != ""].value_counts(sort=False)
    return [{"warning": w, "tests": n, "of": len(tests)} for w, n in counts.items()]


def _source(spec: dict[str, Any]) -> str:
    if spec["kind"] == "features":
        return "columns of the stimulus table"
    if "path" in spec:
        return ", ".join(filter(None, (Path(spec["path"]).name, spec["source"])))
    return spec.get("factory", f"{spec.get('size')} x {spec.get('size')} pixels")


def network_rows(
    networks: dict[str, dict[str, Any]], trained: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Summarise the networks that are shown sets of images."""
    return [
        {
            "network": name,
            "kind": spec["kind"],
            "source": _source(spec) if name not in trained else _training(spec, trained[name]),
            "layers": ", ".join(
                trained.get(name, spec).get("layers") or spec.get("spaces") or ["pixels"]
            ),
        }
        for name, spec in networks.items()
    ]


def _training(spec: dict[str, Any], trained: Mapping[str, Any]) -> str:
    """Say what a network was trained in, and how it sees other images."""
    _, height, width = trained["shape"]
    n = trained["seeds"]
    return (
        f"{spec['condition']}, {n} network{'s' if n > 1 else ''}; images are resized to "
        f"{width} x {height} pixels, as in training"
    )


def analysed_layers(layers: Mapping[str, str]) -> dict[str, list[str]]:
    """Return each analysed layer with its experiments, or conditions where these differ."""
    of_experiment: dict[str, set[str]] = {}
    for name, layer in layers.items():
        of_experiment.setdefault(name.split("/")[0], set()).add(layer)
    found: dict[str, list[str]] = {}
    for name, layer in layers.items():
        experiment = name.split("/")[0]
        where = experiment if len(of_experiment[experiment]) == 1 else name
        if where not in found.setdefault(layer, []):
            found[layer].append(where)
    return found


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
    """Describe the machine that this runs on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = host()
    return {
        **{name: str(facts[name]) for name in ("system", "processor", "cores")},
        "memory": f"{memory:.0f} GiB",
        "Python": platform.python_version(),
    }


def number(value: Any, digits: int = 3) -> str:
    """Format a number for a table; a dash where there is none."""
    if value is None or pd.isna(value):
        return "–"
    if 0 < abs(value) < 0.5 * 10**-digits:
        digits += 1
    return decimals(value, digits)


def sections_of(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gather the figures of every section; sections without figures are left out."""
    names = list(dict.fromkeys(figure["section"] for figure in figures))
    return [
        {
            "name": name,
            "id": name.lower().replace(" ", "-"),
            "figures": [figure for figure in figures if figure["section"] == name],
        }
        for name in names
    ]


def _figure(path: Path) -> dict[str, Any]:
    svg = path.read_bytes()
    caption, of_network = caption_of(path), network_picture_of(path)
    assert caption is not None
    of_recording = picture_of(path.stem) if caption in PICTURES.values() else None
    size = re.search(rb'<svg[^>]* width="([0-9.]+)pt" height="([0-9.]+)pt"', svg)
    assert size is not None
    width, height = map(float, size.groups())
    title = f"{caption.title}: {of_recording[1]}" if of_recording else caption.title
    kind = of_recording[0] if of_recording else path.stem
    return {
        "name": "/".join(of_network) if of_network else path.stem,
        "recording": of_recording[1] if of_recording else None,
        "condition": of_network[1] if of_network else None,
        "section": caption.section,
        "tall": height > TALL and path.stem != "sweeps",
        "title": title,
        "alternative": alternative(title, kind, path.with_suffix(".csv")),
        "caption": caption.text,
        "width": round(width * PIXELS),
        "height": round(height * PIXELS),
        "data": _packed(svg),
    }


def _packed(content: bytes) -> str:
    """Compress what the page's script unpacks."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _packed_rows(rows: pd.DataFrame) -> dict[str, Any]:
    content = rows.to_json(orient="split", index=False, double_precision=6)
    entries = rows["claims"].str.split(", ").explode()
    return {"n": len(rows), "claims": set(entries), "data": _packed(content.encode())}
