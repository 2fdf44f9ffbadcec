"""The study, and what the rules derive from it."""

try:
    # Snakemake has taken the last of keys that occur twice; only the file itself tells.
    for file in workflow.configfiles if workflow.is_main_process else []:
        if Path(file).is_file() and Path(file).suffix != ".json":
            read_config(Path(file))
    STUDY = load_study(config, ", ".join(map(str, workflow.configfiles)) or "--config")
except RepbiasError as error:
    raise WorkflowError(str(error))

PLAN = Plan(STUDY)
ENV = "../../envs/repbias.yaml"
#: (experiment, condition) to the condition; experiment or image set to its conditions or networks.
CONDITIONS = {(experiment, name): spec for experiment, name, spec in STUDY.conditions()}
GROUPS = STUDY.groups()

#: Sets of stimuli that several recordings were made with, and these recordings.
COMMON_STIMULI = {
    images: [name for name in STUDY.with_common_stimuli() if STUDY.shown_to(name) == images]
    for images in dict.fromkeys(map(STUDY.shown_to, STUDY.with_common_stimuli()))
}
#: Tables that are gathered from one part per condition, experiment or recording.
PARTS = {
    "learning": [f"{e}/{c}" for e, c in CONDITIONS],
    **{t: [f"{e}/{c}" for e, c in CONDITIONS if e in PLAN.analysed(t)] for t in OF_CONDITIONS},
    **{t: PLAN.analysed(t) for t in BETWEEN_NETWORKS},
    **{t: PLAN.recordings_of(t) for t in OF_RECORDINGS},
    "rsa_between_recordings": list(COMMON_STIMULI),
}
TABLES = PLAN.tables()
#: What claims are decided on.
EVIDENCE = [table for table in TABLES if table not in ("claims", "model_recovery", "references")]


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
    recording=names(STUDY.recordings),
    table=names(TABLES),


def settings(section):
    """A function that gives a condition's part that a step depends on, as plain values."""

    def of(experiment, condition):
        # Which layer is analysed is a question to the networks, no part of them.
        section_of = getattr(CONDITIONS[experiment, condition], section)
        return section_of.model_dump(mode="json", exclude={"analysed_layer"})

    return of


def training_settings(experiment, condition):
    """What training depends on."""
    return {
        "network": settings("network")(experiment, condition),
        "training": settings("training")(experiment, condition),
        "seeds": CONDITIONS[experiment, condition].seeds,
    }


def analysed_network(experiment, condition):
    """The architecture and the layer that analyses are of."""
    return CONDITIONS[experiment, condition].network.model_dump(mode="json")


def stimuli_of_rdms(experiment, condition):
    """How many stimuli RDMs are of: of generated ones the first n, of a set of images all."""
    return STUDY.geometry.n_stimuli if experiment in STUDY.experiments else None


def kept(folder, files):
    """Files that stay or, if the study does not keep this kind, are deleted after their last use."""
    return files if folder in STUDY.keep else temp(files)


def layers_of(members):
    """The analysed layer of each condition, by the name it is given here."""
    return {name: CONDITIONS[key].network.analysed for name, key in members.items()}


def fingerprint(file):
    """The fingerprint of a file of ours and all that it imports."""
    if file not in CODE:
        CODE[file] = code_fingerprint(Path(workflow.basedir) / file)
    return CODE[file]


def code_of_function(path):
    """The fingerprint of a function, given as package.module:name."""
    return fingerprint(f"src/{path.partition(':')[0].replace('.', '/')}.py")


def code(script):
    """The fingerprint of what a script runs; a change of it reruns the rule."""
    return fingerprint(f"workflow/scripts/{script}")


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


include: "batches.smk"
include: "resources.smk"
