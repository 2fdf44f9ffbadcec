"""The small study through the profile and a real SLURM, undisturbed and disturbed."""

import re

import pytest
from runs import TABLES, Run

pytestmark = pytest.mark.slow

SUBMITTED = r"Job \d+ has been submitted with SLURM jobid (\d+) \(log: \S*rule_{}\S*\)"
IN_A_GROUP = r"has been submitted with SLURM jobid \d+ \(log: \S*group_{}"
#: Rules whose jobs are submitted together; to start Snakemake takes longer than what they do.
GROUPS = dict.fromkeys(("analyse_networks", "similarity", "rsa_models"), "networks")
GROUPS |= dict.fromkeys(("tables", "derived_tables", "claims"), "tables")
STIMULI = "results/small/stimuli/tasks/batch1.h5"


def submitted(run, rule):
    """Wait until SLURM has a job of the rule; return its number there."""
    return run.wait_for(SUBMITTED.format(rule))[1]


# The study as a whole


@pytest.fixture(scope="session")
def disturbed(cluster, started, tmp_path_factory):
    """The study; meanwhile its file is edited, and SLURM's controller is restarted.

    Some jobs are submitted one by one, as the profile has it; some in groups or an array, which it
    offers. The run without SLURM goes on beside it.
    """
    run = Run(tmp_path_factory.mktemp("disturbed"), cluster.environment)
    together = ["--groups", *(f"{rule}={group}" for rule, group in GROUPS.items())]
    together += ["--group-components", "networks=3"]
    run.start(TABLES, *together, "--slurm-array-jobs", "rdms")
    submitted(run, "generate_stimuli")
    run.study.write_text(run.study.read_text().replace("max_steps: 50", "max_steps: 75"))
    submitted(run, "train")
    cluster.restart_controller()
    run.succeed()
    return run


def test_every_table_is_that_of_a_local_run(disturbed, local):
    """To the byte; and that of the study as it was when the run started."""
    assert len(local.tables()) > 10
    assert disturbed.tables() == local.tables()


def test_jobs_are_submitted_one_by_one_or_together(disturbed):
    for rule in ("train", "activations", "simulate_recording", "analyse_recording"):
        submitted(disturbed, rule)
    assert not re.search("|".join(f"rule_{rule}" for rule in GROUPS), disturbed.said)
    for group in set(GROUPS.values()):
        assert len(re.findall(IN_A_GROUP.format(group), disturbed.said)) == 1
    arrays = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", disturbed.said)
    assert max(len(ids.split(",")) for ids in arrays) > 1


def test_nothing_is_left_to_do_here_or_there(disturbed):
    """Snakemake knows the jobs of the cluster as its own."""
    disturbed.study.write_text(
        disturbed.study.read_text().replace("max_steps: 75", "max_steps: 50")
    )
    disturbed.finish(TABLES, "--cores", "1", "--dry-run", profile="default")
    assert "Nothing to be done" in disturbed.said


# One job, or one chain of jobs, that something happens to


def test_a_cancelled_job_is_submitted_again(cluster, run):
    cluster.command("scontrol", "update", f"nodename={cluster.host}", "state=drain", "reason=test")
    try:
        run.start(STIMULI)
        job = submitted(run, "generate_stimuli")
        cluster.command("scancel", job)
    finally:
        cluster.command("scontrol", "update", f"nodename={cluster.host}", "state=resume")
    run.succeed()
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in run.said
    assert "Trying to restart job" in run.said


def test_a_job_killed_for_memory_is_given_more(cluster, run):
    run.finish(STIMULI, "--set-resources", "generate_stimuli:mem_mb=attempt * attempt * 100")
    jobs = [match[1] for match in re.finditer(SUBMITTED.format("generate_stimuli"), run.said)]
    shown = [cluster.command("scontrol", "show", "job", job) for job in jobs]
    assert re.findall(r"MinMemoryNode=(\w+)", "".join(shown)) == ["100M", "400M"]
    assert re.findall(r"JobState=(\w+)", "".join(shown)) == ["FAILED", "COMPLETED"]
    # Snakemake keeps the log of a job that failed, where the profile says.
    (log,) = (run.folder / "results/slurm_logs").rglob("*.log")
    assert "exceeded memory limit" in log.read_text()


def test_a_killed_snakemake_is_taken_up_again(cluster, local, run):
    """As docs/clusters.md says: its jobs are cancelled by the name of the run."""
    learning = "results/small/tables/parts/learning/tasks/batch1.csv"
    run.start(learning, "--set-resources", "train:gpu=1")
    job = submitted(run, "train")
    assert "gres:gpu:1" in cluster.command("scontrol", "show", "job", job)
    name = run.wait_for(r"SLURM run ID: (\S+)")[1]
    run.kill()
    cluster.command("scancel", f"--name={name}")
    run.finish("--unlock")
    run.finish(learning)
    assert (run.folder / learning).read_bytes() == (local.folder / learning).read_bytes()
    assert not [path for path in run.results.rglob(".*") if ".tmp" in path.name]
