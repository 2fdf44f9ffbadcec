"""What rules of several files use."""

ENV = "../../envs/repbias.yaml"


def names(values):
    """A wildcard constraint: one of these names, to the letter."""
    return "|".join(map(re.escape, sorted(set(values)))) or "(?!)"


wildcard_constraints:
    experiment=names(STUDY.experiments),
    batch=names(batch for _, batch in PLAN.batches),
    images=names(STUDY.images),
    network=names(STUDY.networks),
    group=names(PLAN.groups),
    member=names(member for members in PLAN.groups.values() for member in members),
    recording=names(STUDY.recordings),


def kept(folder, file):
    """A file that stays or, if the study does not keep this kind, is deleted after its last use."""
    return file if folder in STUDY.keep else temp(file)


def scaled(function):
    """A resource: what the function says of the wildcards, times the attempt."""
    return lambda wildcards, attempt: attempt * function(**wildcards)


def fixed(n):
    """A resource that does not depend on the work, times the attempt."""
    return lambda wildcards, attempt: attempt * n


def by_input(base, factor):
    """A resource: grows with the size of the input files (in MB), and with the attempt."""
    return lambda wildcards, input, attempt: round(attempt * (base + factor * input.size_mb))


def code(script):
    """The fingerprint of what a script runs; a change of it reruns the rule."""
    return CODE[script]


def code_of(analysis):
    """The fingerprint of an analysis of a recording."""
    return CODE[OF_RECORDINGS[analysis].function]
