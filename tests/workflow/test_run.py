"""The pipeline as a whole: tables, reruns, determinism, kills and refusals."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from workspace import ROOT, Workspace

import repbias
from repbias.base.spec import RepbiasError
from repbias.claims.catalogue import CLAIMS
from repbias.config.analyses import OF_NETWORKS, OF_RECORDINGS
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan
from repbias.tables import TABLES, read_table

pytestmark = pytest.mark.slow


def table_of(tiny, name):
    return read_table(tiny.results / "tables" / f"{name}.csv", name)


@pytest.fixture(scope="module")
def study(tiny_config):
    return load_study(tiny_config)


# What a run leaves behind


def test_every_table_has_its_columns_and_rows(tiny, study):
    # Simulated recordings are not compared with each other; tests of the studies do that.
    filled = {n: row.columns for n, row in TABLES.items() if n != "rsa_between_recordings"}
    assert set(Plan(study).tables) == filled.keys()
    for name, columns in filled.items():
        table = table_of(tiny, name)
        assert tuple(table.columns) == columns
        assert len(table) > 0, name
    assert len(list((tiny.results / "tables").glob("*.csv"))) == len(filled)


def test_a_table_has_rows_of_the_experiments_that_ask_for_it(tiny, study):
    """And of every condition, network and snapshot of them."""
    for name in ("learning", *OF_NETWORKS):
        table = table_of(tiny, name)
        asked = study.experiments if name == "learning" else Plan(study).analysed(name)
        networks = {
            (e, c, seed)
            for e, c, spec in study.conditions()
            for seed in range(spec.seeds)
            if e in asked
        }
        found = table[["experiment", "condition", "seed"]].itertuples(index=False, name=None)
        assert set(found) == networks, name
        if "snapshot" in table:
            assert {"initial", "mastered", "final"} <= set(table["snapshot"]), name
    for name in ("rsa_models", "similarity"):
        assert set(table_of(tiny, name)["experiment"]) == set(Plan(study).analysed(name))


def test_only_what_the_study_asks_for_is_analysed(tiny, study):
    """Parts of other analyses have no rows, and an experiment that compares no RDMs has none."""
    parts = tiny.results / "tables/parts"
    for name in OF_NETWORKS:
        filled = {p.parent.name for p in parts.glob(f"{name}/*/*.csv") if len(read_table(p, name))}
        assert filled == set(Plan(study).analysed(name)), name
    for name in ("rsa_models", "similarity"):
        found = {path.stem for path in (parts / name).iterdir()}
        assert found == set(Plan(study).analysed(name)), name
    for name in OF_RECORDINGS:
        assert [path.stem for path in (parts / name).iterdir()] == ["brain"], name
    assert not (tiny.results / "rdms/full").exists()


def test_every_figure_is_drawn_with_its_data(tiny, study):
    for suffix in ("svg", "csv"):
        drawn = {path.stem for path in (tiny.results / "figures").glob(f"*.{suffix}")}
        assert drawn == {*Plan(study).figures(), "rdms_brain", "mds_brain"}
    page = (tiny.results / "report.html").read_text()
    assert page.count("data-svgz=") >= len(Plan(study).figures())


def test_the_report_says_what_a_simulated_recording_is_of(tiny):
    for name in ("rsa_recordings", "encoding"):
        drawn = (tiny.results / f"figures/{name}.svg").read_text()
        assert "<!-- generating network -->" in drawn and "<!-- generating layer -->" in drawn
    page = (tiny.results / "report.html").read_text()
    assert "targets=both, which it is, in" in page and "hidden1, which it is, in" in page


def test_claims_are_decided_in_their_variants_and_snapshots(tiny, tiny_config):
    rows = table_of(tiny, "claims")
    expected = [
        (key.partition(" ")[0], key.partition(" ")[2], snapshot)
        for key in tiny_config["claims"]
        for snapshot in CLAIMS[key.partition(" ")[0]].snapshots
    ]
    questions = [(name, "", s) for name in tiny_config["questions"] for s in ("final", "mastered")]
    expected += questions
    assert (
        list(rows[["claim", "variant", "snapshot"]].itertuples(index=False, name=None)) == expected
    )
    # Two networks of a condition decide nothing.
    fast = rows[rows["variant"] == "fast"]
    assert set(fast["verdict"]) == {"inconclusive"}
    assert set(fast["n_included"] + fast["n_excluded"]) == {2}


def test_claims_follow_from_the_tables(tiny):
    """By hand, from the files; the networks of this study all meet the inclusion criterion."""
    rows = table_of(tiny, "claims").set_index(["claim", "variant", "snapshot"])
    r2 = table_of(tiny, "variance_explained")
    here = (r2["experiment"] == "tasks") & (r2["condition"] == "targets=both")
    here &= (r2["layer"] == "hidden2") & r2["included"]
    rsa = table_of(tiny, "rsa_models")
    assert set(rsa["rdm_similarity"]) == {"corr", "spearman"}
    rsa = rsa[(rsa["rdm_similarity"] == "corr") & (rsa["experiment"] == "tasks")]
    rsa = rsa[(rsa["layer_a"] == "hidden2") & (rsa["layer_b"] == "hidden2")]
    rsa = rsa[rsa["seed_a"] != rsa["seed_b"]]
    for snapshot in ("final", "mastered"):
        of_snapshot = r2[here & (r2["snapshot"] == snapshot)]
        mean = of_snapshot.groupby("feature")["r2"].mean()
        row = rows.loc[("C1", "", snapshot)]
        assert row["effect"] == pytest.approx(mean["easy"] - mean["hard"], abs=1e-6)
        assert row["n_included"] == 3
        pairs = rsa[rsa["snapshot"] == snapshot]
        conditions = pairs["condition_a"] + pairs["condition_b"]
        names = ["targets=easytargets=both", "targets=bothtargets=easy"]
        between = pairs.loc[conditions.isin(names), "similarity"]
        within = pairs.loc[conditions == "targets=bothtargets=both", "similarity"]
        assert (len(between), len(within)) == (6, 3)
        row = rows.loc[("C19", "", snapshot)]
        assert row["effect"] == pytest.approx(between.mean() - within.mean(), abs=1e-6)
        assert row["n_included"] == 6


def test_questions_are_answered_from_the_tables(tiny, tiny_config):
    """By hand: a difference within networks, and the slope over two learning rates."""
    rows = table_of(tiny, "claims").set_index(["claim", "snapshot"])
    r2 = table_of(tiny, "variance_explained")
    r2 = r2[r2["included"] & (r2["snapshot"] == "final")]
    tasks = r2[(r2["experiment"] == "tasks") & (r2["condition"] == "targets=both")]
    by_layer = tasks[tasks["feature"] == "hard"].groupby("layer")["r2"].mean()
    row = rows.loc[("hidden2_higher", "final")]
    assert row["effect"] == pytest.approx(by_layer["hidden2"] - by_layer["hidden1"], abs=1e-6)
    assert (row["n_included"], row["verdict"]) == (3, "inconclusive")
    rates = r2[(r2["experiment"] == "rates") & (r2["feature"] == "easy")]
    by_rate = rates[rates["layer"] == "hidden2"].groupby("condition")["r2"].mean()
    row = rows.loc[("faster", "final")]
    slope = (by_rate["learning_rate=fast"] - by_rate["learning_rate=slow"]) / (0.01 - 0.003)
    assert row["effect"] == pytest.approx(slope, rel=1e-5)
    assert row["statement"] == tiny_config["questions"]["faster"]["asks"]
    page = (tiny.results / "report.html").read_text()
    assert "The hard feature explains more in the second layer than in the first" in page


# Runs and reruns


def test_second_run_has_nothing_to_do(tiny):
    assert "Nothing to be done" in tiny.snakemake("--cores", "2").stdout


def test_jobs_on_a_cluster_are_given_every_fingerprint(tiny):
    """Else a job that starts after an edit would count as one of the edited code."""
    (frozen, *_) = (tiny.folder / ".snakemake/studies").glob("*.json")
    code = json.loads(frozen.read_text())["code"]
    scripts = {path.name for path in (ROOT / "workflow/scripts").glob("*.py")}
    functions = {entry.function for entry in OF_RECORDINGS.values()}
    networks = {
        f"training {kind}"
        for kind in ("mlp", "cnn", "resnet", "vit", "transformer", "torch", "pretrained")
    }
    families = {f"stimuli {kind}" for kind in ("bits", "navon", "tokens", "trifeature")}
    assert code.keys() == scripts | functions | networks | families


def jobs_after(tiny, tiny_config, path, value):
    """Messages of the jobs after a setting was changed; the study is left as it was."""
    changed = copy.deepcopy(tiny_config)
    *parents, last = path
    section = changed
    for key in parents:
        section = section[key]
    section[last] = value
    tiny.write(changed)
    try:
        return sorted(tiny.jobs())
    finally:
        tiny.write(tiny_config)


#: What comes after any change of a part of a table.
LAST = [
    "Gather the tables",
    "Make the tables that follow from others",
    "Decide the claims",
    "Draw the figures",
    "Write results/tiny/report.html",
]
CONFIG = "Write the configuration with every default filled in"
#: Analyses of recordings that need activations of networks, each a job.
FITTED = [name for name, entry in OF_RECORDINGS.items() if entry.networks == "activations"]


def test_changing_a_level_reruns_only_what_depends_on_it(tiny, tiny_config):
    """A brain is compared with all conditions of its experiment, but it is not simulated again."""
    path = ("experiments", "tasks", "vary", "training.targets", "easy")
    condition = "tasks/targets=easy"
    assert jobs_after(tiny, tiny_config, path, ["hard"]) == sorted(
        [
            f"Train networks of {condition}",
            f"Write activations of {condition}",
            f"Analyse networks of {condition}",
            f"Compute RDMs of {condition}",
            "Compare all networks of tasks",
            "Ask which similarity measure names the network that computes the same",
            "Audit the similarity of the networks of tasks",
            "Analyse recording brain",
            "Audit the scores of brain",
            "Simulate brains with the noise of brain",
            "Test shares of scores at the noise of brain",
            *(f"Fit models to recording brain: {name}" for name in FITTED),
            "Draw the RDMs of brain",
            *LAST,
            CONFIG,
        ]
    )


RATES = ["learning_rate=slow", "learning_rate=fast"]


def test_changing_a_level_reruns_its_batch(tiny, tiny_config):
    """But its stimuli are what they were, and other experiments are not touched."""
    path = ("experiments", "rates", "vary", "training.learning_rate", "fast")
    assert jobs_after(tiny, tiny_config, path, 0.02) == sorted(
        [
            "Train networks of rates/batch1",
            "Write activations of rates/batch1",
            "Analyse networks of rates/batch1",
            *(f"Compute RDMs of rates/{condition}" for condition in RATES),
            "Compare all networks of rates",
            "Audit the similarity of the networks of rates",
            *LAST,
            CONFIG,
        ]
    )


def test_a_further_level_does_only_its_batch(tiny, tiny_config):
    """The conditions of the first batch are what they were."""
    path = ("experiments", "rates", "vary", "training.learning_rate", "faster")
    jobs = jobs_after(tiny, tiny_config, path, 0.02)
    assert "Train networks of rates/batch2" in jobs
    assert "Compute RDMs of rates/learning_rate=faster" in jobs
    assert not [job for job in jobs if "rates/batch1" in job]


def test_asking_for_another_layer_trains_no_network(tiny, tiny_config):
    path = ("experiments", "full", "network")
    network = {"hidden": [32, 16], "analysed_layer": "hidden1"}
    assert jobs_after(tiny, tiny_config, path, network) == sorted(
        [
            "Analyse networks of full/base",
            "Compare all networks of full by many measures",
            *LAST,
            CONFIG,
        ]
    )


def test_a_setting_concerns_experiments_with_the_analysis_that_uses_it_only(tiny, tiny_config):
    """Steering strengths are a matter of steering."""
    jobs = ["Analyse networks of full/base", *LAST, CONFIG]
    changed = jobs_after(tiny, tiny_config, ("bias",), {"steering_strengths": [0.5, 1.0]})
    assert changed == sorted(jobs)


def test_another_analysis_of_an_experiment_trains_nothing(tiny, tiny_config):
    path = ("experiments", "rates", "analyses")
    analyses = ["variance_explained", "rsa_models", "variance_decomposition"]
    jobs = ["Analyse networks of rates/batch1", *LAST, CONFIG]
    assert jobs_after(tiny, tiny_config, path, analyses) == sorted(jobs)


@pytest.fixture
def edited(tiny, tiny_config, tmp_path):
    """Function that edits a copy of the repository; gives the jobs and what else was said."""

    def edited(file):
        copied = tmp_path / "repository"
        copied.mkdir()
        for part in ("Snakefile", "workflow", "envs", "src"):
            source = ROOT / part
            copy_of = shutil.copytree if source.is_dir() else shutil.copy
            copy_of(source, copied / part)
        module = copied / "src/repbias" / file
        module.write_text(module.read_text() + "\nUNUSED = 1\n")
        done = Workspace(tiny.folder, tiny_config, root=copied).snakemake("--dry-run")
        lines = done.stdout.splitlines()
        # The scripts are the same files elsewhere, so only parameters can differ.
        changed = [line for line in lines if "Params have changed" in line]
        return sorted(tiny.messages(lines)), len(changed)

    return edited


@pytest.mark.parametrize(
    ("file", "jobs", "changed"),
    [
        ("encoding/partition.py", ["Fit models to recording brain: variance_partition", *LAST], 1),
        ("encoding/regions.py", LAST[1:], 1),
    ],
)
def test_changing_code_reruns_only_the_steps_that_run_it(edited, file, jobs, changed):
    """One job runs it; the others follow from its tables."""
    assert edited(file) == (sorted(jobs), changed)


def test_networks_of_a_batch_are_what_they_would_be_alone(tiny, tiny_config, tmp_path):
    assert [path.name for path in (tiny.results / "logs/train/rates").iterdir()] == ["batch1.log"]
    alone = copy.deepcopy(tiny_config)
    del alone["experiments"]["rates"]["conditions_per_job"]
    workspace = Workspace(tmp_path, alone)
    names = ["learning_rate=fast"]
    networks = [f"networks/rates/{name}.h5" for name in names]
    rdms = [f"rdms/rates/{name}.h5" for name in names]
    variance = [f"tables/parts/variance_explained/rates/{name}.csv" for name in names]
    wanted = [f"results/tiny/{file}" for file in [*networks, *rdms, *variance]]
    workspace.snakemake("--cores", "2", *wanted)
    logs = sorted(path.stem for path in (workspace.results / "logs/train/rates").iterdir())
    assert logs == names
    together = h5_content(tiny.results / "networks/rates/batch1.h5")
    for name, file in zip(names, networks, strict=True):
        apart = h5_content(workspace.results / file)
        assert apart.keys() == {key for key in together if key.startswith((name, "@"))}
        assert_same(apart, together)
    for file in rdms:
        assert_same(h5_content(workspace.results / file), h5_content(tiny.results / file))
    for table in ("learning", "variance_explained"):
        part = read_table(tiny.results / f"tables/parts/{table}/rates/batch1.csv", table)
        for name in names:
            path = workspace.results / f"tables/parts/{table}/rates/{name}.csv"
            mine = part[part["condition"] == name].reset_index(drop=True)
            pd.testing.assert_frame_equal(read_table(path, table), mine, check_exact=True)


def assert_same(some, others):
    """Every dataset and attribute of the first is among the second, and equal."""
    assert len(some) > 5 and some.keys() <= others.keys()
    for place, value in some.items():
        np.testing.assert_array_equal(value, others[place], err_msg=place)


def test_a_further_seed_trains_one_network(tiny, tiny_config, tmp_path):
    """The others are what they were, to the byte; and fewer seeds train none."""
    copied = shutil.copytree(tiny.folder, tmp_path / "copy")
    more = copy.deepcopy(tiny_config)
    more["experiments"]["tasks"]["seeds"] = 4
    workspace = Workspace(copied, more)
    file = "networks/tasks/targets=both.h5"
    before = h5_content(workspace.results / file)
    done = workspace.snakemake(f"results/tiny/{file}", "--cores", "1")
    assert "targets=both: 3 of 4 networks are there already" in done.stdout
    assert "training 1 networks" in done.stdout
    after = h5_content(workspace.results / file)
    n = len(before["targets=both/networks/seed"])
    assert (n, len(after["targets=both/networks/seed"])) == (3, 4)
    for name in (key for key in before if "/weights/w" in key or "/weights/b" in key):
        if "@" not in name:
            np.testing.assert_array_equal(after[name][:, :3], before[name])
    # As if all had been trained at once.
    (tmp_path / "other").mkdir()
    other = Workspace(tmp_path / "other", more)
    other.snakemake(f"results/tiny/{file}", "--cores", "1")
    assert (other.results / file).read_bytes() == (workspace.results / file).read_bytes()
    workspace.write(tiny_config)
    done = workspace.snakemake(f"results/tiny/{file}", "--cores", "1")
    assert not re.search(r"training \d+ networks", done.stdout)
    assert (workspace.results / file).read_bytes() == (tiny.results / file).read_bytes()


def h5_content(path):
    """Every dataset and attribute of a file."""
    content = {}
    with h5py.File(path) as file:

        def take(name, item):
            content.update({f"{name}@{key}": value for key, value in item.attrs.items()})
            if isinstance(item, h5py.Dataset):
                content[name] = item[()]

        take("", file)
        file.visititems(take)
    return content


def test_a_killed_run_resumes_on_one_core_to_the_same_tables(tiny, tiny_config, tmp_path):
    """Some networks are trained, and all else is done, on one core instead of two.

    `make reliability` kills runs in every step, and compares everything.
    """
    workspace = Workspace(tmp_path, tiny_config)
    names = [f"{name}/rates/batch1" for name in ("learning", "variance_explained")]
    names += ["rsa_models/rates", "learning/tasks/targets=both"]
    wanted = [f"results/tiny/tables/parts/{name}.csv" for name in names]
    run = subprocess.Popen(
        workspace.command("--cores", "2", *wanted),
        cwd=workspace.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    logs = workspace.results / "logs" / "train"
    deadline = time.monotonic() + 120
    while not any("training" in log.read_text() for log in logs.rglob("*.log")):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    for file in workspace.results.rglob("*.h5"):
        if not file.name.startswith("."):  # under its own name, a file is whole
            h5py.File(file).close()
    networks = sum(spec.seeds > 0 for _, _, spec in load_study(tiny_config).conditions())
    assert len(list((workspace.results / "networks").rglob("[!.]*.h5"))) < networks
    assert not (workspace.results / "report.html").exists()

    workspace.snakemake("--unlock")
    workspace.snakemake("--cores", "1", *wanted)
    tables = workspace.tables()
    assert {f"tables/parts/{name}.csv" for name in names} <= tables.keys()
    assert tables.items() <= tiny.tables().items()
    assert not [f for f in workspace.results.rglob(".*") if ".tmp" in f.name]


def test_a_truncated_file_is_named_and_not_used(tiny, tmp_path):
    copied = shutil.copytree(tiny.folder, tmp_path / "copy")
    config = yaml.safe_load(tiny.config.read_text())
    workspace = Workspace(copied, config)
    victim = workspace.results / "networks/tasks/targets=both.h5"
    victim.write_bytes(victim.read_bytes()[:5000])
    target = "results/tiny/activations/tasks/targets=both.h5"
    only = ("--force", "--rerun-triggers", "mtime")
    done = workspace.snakemake(target, "--cores", "1", *only, check=False)
    assert done.returncode != 0
    assert "targets=both.h5: not a complete HDF5 file" in done.stdout


def test_the_condition_of_a_batch_that_fails_is_named(tiny, tmp_path):
    copied = shutil.copytree(tiny.folder, tmp_path / "copy")
    workspace = Workspace(copied, yaml.safe_load(tiny.config.read_text()))
    victim = workspace.results / "networks/rates/batch1.h5"
    with h5py.File(victim, "r+") as file:
        del file["learning_rate=fast/weights"]
    target = "results/tiny/activations/rates/batch1.h5"
    only = ("--force", "--rerun-triggers", "mtime")
    done = workspace.snakemake(target, "--cores", "1", *only, check=False)
    assert done.returncode != 0
    assert "error: learning_rate=fast: results/tiny/networks/rates/" in done.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experimants": {}}, "experimants: unknown key; did you mean 'experiments'?"),
        ({"claims": {"C99": {}}}, "claims.C99: unknown claim"),
        (
            {"claims": {"C20": {"easy": "full/base", "hard": "tasks/targets=easy"}}},
            "claims.C20: C20 needs 'rsa_models' in experiments.full.analyses",
        ),
    ],
)
def test_a_bad_config_is_refused_before_any_job(tmp_path, tiny_config, change, message):
    workspace = Workspace(tmp_path, tiny_config | change)
    done = workspace.snakemake("--cores", "1", check=False)
    assert done.returncode != 0
    assert message in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_configfile_replaces_the_default_study(tiny):
    """Snakemake alone would merge the two, and run the quickstart's experiments as well."""
    resolved = yaml.safe_load((tiny.results / "config.yaml").read_text())
    assert list(resolved["experiments"]) == ["tasks", "rates", "full"]


def test_planning_imports_neither_torch_nor_rsatoolbox():
    code = (
        "import sys, repbias.pipeline.run, repbias.pipeline.resources, repbias.stimuli.statistics\n"
        "heavy = {'torch', 'rsatoolbox', 'pandas', 'scipy', 'matplotlib', 'sklearn', 'himalaya',\n"
        "         'skimage'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_snakemakes_own_report(tiny):
    page = tiny.folder / "snakemake-report.html"
    tiny.snakemake("--report", str(page))
    text = page.read_text()
    assert "variance.svg" in text


# What notebooks read of it


def test_a_notebook_loads_the_results(tiny, tiny_config):
    results = repbias.load(tiny.results)
    assert results.config["study"] == "tiny"
    assert results.tables.keys() == {p.stem for p in (tiny.results / "tables").glob("*.csv")}
    pd.testing.assert_frame_equal(results.tables["claims"], table_of(tiny, "claims"))
    assert set(results.models) == {"tasks", "rates"}
    assert results.models["tasks"] == ["targets=both", "targets=easy"]
    rdms = results.rdms("tasks", "targets=both")
    activations = results.activations("tasks", "targets=both")
    assert rdms.n_rdm == len(activations) * len(activations.layers)
    layer = activations.read("hidden1", 0)[: rdms.n_cond]
    row = [
        rdms.rdm_descriptors["layer"][i] == "hidden1"
        and rdms.rdm_descriptors["network"][i] == activations.networks["network"][0]
        and rdms.rdm_descriptors["snapshot"][i] == activations.networks["snapshot"][0]
        for i in range(rdms.n_rdm)
    ]
    again = repbias.rdms({"it": layer}, rdms.pattern_descriptors["stimulus_id"])
    np.testing.assert_allclose(rdms.dissimilarities[row], again.dissimilarities, atol=1e-6)
    assert results.recordings == ["brain"]
    assert results.recording("brain").responses.shape[1] == 10
    assert "tables['claims']" in results._repr_html_().replace("&#x27;", "'")
    for call in (
        lambda: results.rdms("tasks", "targets=bth"),
        lambda: results.recording("brian"),
        lambda: results.activations("tasks", "targets=bth"),
    ):
        with pytest.raises(RepbiasError, match=r"no 'brian'|no .*'targets=bth'"):
            call()
    with pytest.raises(RepbiasError, match="has a time axis"):
        results.dataset("brain")
