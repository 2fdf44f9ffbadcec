"""The study, and what the rules derive from it."""

try:
    STUDY = load_study(config, ", ".join(map(str, workflow.configfiles)) or "--config")
except RepbiasError as error:
    raise WorkflowError(str(error))

ENV = "../../envs/repbias.yaml"
#: (experiment, condition) to the condition; experiment or image set to its conditions or networks.
CONDITIONS = {(experiment, name): spec for experiment, name, spec in STUDY.conditions()}
GROUPS = STUDY.groups()

#: Experiments whose conditions are trained in one job, and how many steps that may take.
SWEEPS = {
    name: sum(
        spec.training.max_steps * spec.seeds for (e, _), spec in CONDITIONS.items() if e == name
    )
    for name, experiment in STUDY.experiments.items()
    if experiment.one_job
}

#: Sets of stimuli that several recordings were made with, and these recordings.
COMMON_STIMULI = {
    images: [name for name in STUDY.with_common_stimuli() if STUDY.shown_to(name) == images]
    for images in dict.fromkeys(map(STUDY.shown_to, STUDY.with_common_stimuli()))
}
#: Analyses of recordings that need responses; the others are done from RDMs alone as well.
OF_RESPONSES = ("encoding", "variance_partition", "reliability")

#: Tables that are gathered from one part per condition, experiment or recording.
PARTS = {
    "learning": [f"{e}/{c}" for e, c in CONDITIONS],
    **{t: [f"{e}/{c}" for e, c in CONDITIONS if e in STUDY.analysed(t)] for t in OF_CONDITIONS},
    **{t: STUDY.analysed(t) for t in BETWEEN_NETWORKS},
    **{
        t: STUDY.with_responses() if t in OF_RESPONSES else list(STUDY.recordings)
        for t in OF_RECORDINGS
    },
    "rsa_between_recordings": list(COMMON_STIMULI),
}
TABLES = STUDY.tables()
#: What claims are decided on.
EVIDENCE = [table for table in TABLES if table not in ("claims", "planted_truth", "references")]


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


def training_settings(experiment, conditions):
    """What training depends on, by condition."""
    specs = {f"{experiment}/{c}": CONDITIONS[experiment, c] for c in conditions}
    return {
        name: {
            "network": spec.network.model_dump(mode="json", exclude={"analysed_layer"}),
            "training": spec.training.model_dump(mode="json"),
            "seeds": spec.seeds,
        }
        for name, spec in specs.items()
    }


def layers_of(members):
    """The analysed layer of each condition, by the name it is given here."""
    return {name: CONDITIONS[key].network.analysed for name, key in members.items()}


def code_of_function(path):
    """The fingerprint of a function, given as package.module:name."""
    file = path.partition(":")[0].replace(".", "/")
    return code_fingerprint(Path(workflow.basedir) / "src" / f"{file}.py")


def code(script):
    """The fingerprint of what a script runs; a change of it reruns the rule."""
    return code_fingerprint(Path(workflow.basedir) / "workflow/scripts" / script)


def memory_of_ensemble(wildcards, attempt):
    """MiB for a condition's networks: a few MB of checkpoints each, and room to join them."""
    condition = CONDITIONS[wildcards.experiment, wildcards.condition]
    return attempt * (1500 + 12 * condition.seeds)


def networks_of_recording(wildcards):
    """What an analysis of a recording needs of the networks: RDMs, activations or nothing."""
    kind = OF_RECORDINGS[wildcards.analysis].networks
    return of_group(kind)(wildcards) if kind else []


def settings_of_recording(wildcards):
    """The settings that an analysis of a recording depends on."""
    analysis = OF_RECORDINGS[wildcards.analysis]
    section = getattr(STUDY, analysis.settings) if analysis.settings else None
    return section and section.model_dump(mode="json", exclude=set(analysis.ignored))


def images_of_recording(wildcards):
    """The files of the stimuli that a recording was made with; none of generated stimuli."""
    images = STUDY.images.get(STUDY.shown_to(wildcards.recording))
    return images.input_files() if images else []


def images_settings(group):
    """The settings of a set of stimuli; None for generated stimuli."""
    return STUDY.images[group].model_dump(mode="json") if group in STUDY.images else None


def analysed_layers(group):
    """The analysed layer of every condition, or the last one of every network, of a group."""
    if group in STUDY.experiments:
        return {name: CONDITIONS[group, name].network.analysed for name in GROUPS[group]}
    return {name: STUDY.networks[name].layers[-1] for name in GROUPS.get(group, [])}


def of_group(kind):
    """The files of every condition or network that a recording is compared with."""

    def paths(wildcards):
        group = STUDY.shown_to(wildcards.recording)
        return [
            f"results/{wildcards.study}/{kind}/{group}/{member}.h5"
            for member in GROUPS.get(group, [])
        ]

    return paths
