"""Memory (MiB) and time (minutes) of every rule, as functions of its work.

As measured, with some room: tests/workflow/test_scale.py. A job that is repeated asks for twice,
three times as much. What is known once files are there grows with their size.
"""

from math import ceil

from repbias.pipeline import sizes

#: Snakemake and Python themselves; with NumPy and rsatoolbox; with PyTorch.
PLAIN, NUMERIC, TORCH = 500, 700, 900


def mib(n_bytes):
    """Bytes in MiB."""
    return ceil(n_bytes / 2**20)


def scaled(function):
    """A resource: what `function` says of the wildcards, times the attempt."""
    return lambda wildcards, attempt: attempt * function(wildcards)


def fixed(n):
    """A resource that does not depend on the work, times the attempt."""
    return lambda wildcards, attempt: attempt * n


def by_input(base, factor):
    """A resource: grows with the size of the input files (in MB), and with the attempt."""
    return lambda wildcards, input, attempt: attempt * ceil(base + factor * input.size_mb)


def largest(conditions, folder):
    """Bytes of the largest of the conditions' files."""
    return max(sizes.condition_bytes(c, STUDY.geometry.n_stimuli)[folder] for c in conditions)


def n_networks(conditions):
    return sum(c.seeds for c in conditions)


# Stimuli


def memory_of_stimuli(conditions):
    return PLAIN + 5 * mib(largest(conditions, "stimuli"))


def minutes_of_stimuli(conditions):
    return 10 + ceil(len(conditions) / 10)


# Networks


def memory_of_training(conditions):
    """Checkpoints of all networks, which are joined at the end, and all stimuli."""
    files = [sizes.condition_bytes(c, STUDY.geometry.n_stimuli) for c in conditions]
    return TORCH + 2 * mib(sum(f["networks"] + f["stimuli"] for f in files))


def minutes_of_training(conditions):
    """A step of a network takes time for its matrix products, and some in any case."""
    seconds = sum(c.seeds * c.training.max_steps * sizes.seconds_per_step(c) for c in conditions)
    return 15 + ceil(5 * seconds / 60)


def memory_of_ensembles(conditions):
    """One condition at a time: its networks, and the activations of a checkpoint."""
    files = ("networks", "stimuli", "activations")
    return TORCH + 3 * sum(mib(largest(conditions, folder)) for folder in files)


def minutes_of_ensembles(conditions):
    return 20 + ceil(n_networks(conditions) / 10)


# RDMs and comparisons


def memory_of_rdms(conditions):
    """As much as is allowed, or less where there is less to compute."""
    if None in conditions:
        return NUMERIC + STUDY.geometry.max_memory_mb
    work = mib(2 * largest(conditions, "rdms") + largest(conditions, "activations"))
    return NUMERIC + min(STUDY.geometry.max_memory_mb, work)


def minutes_of_rdms(conditions):
    if None in conditions:
        return 120
    return 20 + ceil(sum(map(sizes.n_layer_rdms, conditions)) / 100)


def memory_of_rsa_models(wildcards):
    """All RDMs of a group, their similarities, and a table with a row for each pair."""
    if wildcards.group in STUDY.images:
        return NUMERIC + 3000
    conditions = [CONDITIONS[wildcards.group, c] for c in GROUPS[wildcards.group]]
    rdms = sum(sizes.condition_bytes(c, STUDY.geometry.n_stimuli)["rdms"] for c in conditions)
    rows = len(STUDY.geometry.rdm_similarities) * sizes.n_pairs_of_rdms(conditions)
    return NUMERIC + mib(4 * rdms + 1000 * rows)


def minutes_of_similarity(wildcards):
    """Every pair of networks by every measure, also with permuted stimuli."""
    conditions = [CONDITIONS[wildcards.experiment, c] for c in GROUPS[wildcards.experiment]]
    return 60 + ceil(n_networks(conditions) ** 2 / 100)


def memory_of_recording(wildcards, input, attempt):
    """A recording and what it is compared with, and what is held at once, which is bounded."""
    bound = STUDY.encoding.max_memory_mb + STUDY.geometry.max_memory_mb
    return attempt * ceil(NUMERIC + 5 * input.size_mb + min(bound, 100 * input.size_mb))
