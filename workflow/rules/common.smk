"""The study, and what the rules derive from it."""

try:
    STUDY = load_study(config, ", ".join(map(str, workflow.configfiles)) or "--config")
except RepbiasError as error:
    raise WorkflowError(str(error))

ENV = "../../envs/repbias.yaml"
#: (experiment, condition) to the condition; experiment or image set to its conditions or networks.
CONDITIONS = {(experiment, name): spec for experiment, name, spec in STUDY.conditions()}
GROUPS = STUDY.groups()

#: Tables that are gathered from one part per condition or recording.
PARTS = {
    "learning": [f"{e}/{c}" for e, c in CONDITIONS],
    "variance_explained": [f"{e}/{c}" for e, c in CONDITIONS],
    "rsa_models": list(GROUPS),
    "rsa_recordings": list(STUDY.recordings),
    "encoding": list(STUDY.recordings),
    "reliability": list(STUDY.recordings),
}
TABLES = [*PARTS, "claims", "planted_truth"]


def names(values):
    """A wildcard constraint: one of these names, to the letter."""
    return "|".join(map(re.escape, sorted(set(values)))) or "(?!)"


wildcard_constraints:
    study=names([STUDY.study]),
    experiment=names(STUDY.experiments),
    condition=names(c for _, c in CONDITIONS),
    images=names(STUDY.images),
    network=names(STUDY.networks),
    group=names(GROUPS),
    member=names(m for members in GROUPS.values() for m in members),
    recording=names(STUDY.recordings),
    table=names(TABLES),


def settings(section):
    """The part of a condition that a step depends on, as plain values."""

    def of(wildcards):
        condition = CONDITIONS[wildcards.experiment, wildcards.condition]
        value = getattr(condition, section)
        # Which layer is analysed is a question to the networks, no part of them.
        return (
            value.model_dump(mode="json", exclude={"analysed_layer"})
            if hasattr(value, "model_dump")
            else value
        )

    return of


def code(script):
    """The fingerprint of what a script runs; a change of it reruns the rule."""
    return code_fingerprint(Path(workflow.basedir) / "workflow/scripts" / script)


def memory_of_ensemble(wildcards, attempt):
    """MiB for a condition's networks: a few MB of checkpoints each, and room to join them."""
    condition = CONDITIONS[wildcards.experiment, wildcards.condition]
    return attempt * (1500 + 12 * condition.seeds)


def of_group(kind):
    """The files of every condition or network that a recording is compared with."""

    def paths(wildcards):
        group = STUDY.shown_to(wildcards.recording)
        return [
            f"results/{wildcards.study}/{kind}/{group}/{member}.h5"
            for member in GROUPS.get(group, [])
        ]

    return paths
