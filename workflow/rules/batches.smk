"""One job for many conditions: every step of an experiment is a rule in a loop over these batches.

Outputs of a rule are known by wildcards, or by name. So there is one rule with wildcards for
experiments whose jobs do one condition, and one by name for every batch of the others.
"""

from typing import NamedTuple

#: The study by name, no wildcard: Snakemake finds a file's rule by how its outputs begin.
RESULTS = f"results/{STUDY.study}"


class Batch(NamedTuple):
    """Conditions of an experiment that one job does; with the defaults one condition, any."""

    experiment: str = "{experiment}"
    conditions: list = ["{condition}"]
    number: int = 0

    def rule(self, step):
        """The rule's name; what a profile or --set-resources says of the step holds for it too."""
        if not self.number:
            return step
        name = f"{step}_{self.experiment}_{self.number}"
        given = workflow.resource_settings._parsed_overwrite_resources
        if step in given:
            given.setdefault(name, given[step])
        return name

    def files(self, folder, suffix="h5"):
        """The file of every condition."""
        return [f"{RESULTS}/{folder}/{self.experiment}/{c}.{suffix}" for c in self.conditions]

    def file(self, folder, suffix):
        """The file of the job, such as its log."""
        name = f"batch{self.number}" if self.number else "{condition}"
        return f"{RESULTS}/{folder}/{self.experiment}/{name}.{suffix}"

    def keys(self, wildcards):
        """Experiment and condition, as names."""
        if not self.number:
            return [(wildcards.experiment, wildcards.condition)]
        return [(self.experiment, c) for c in self.conditions]

    def each(self, function):
        """A parameter: condition to what `function` says of it."""
        return lambda w: {f"{e}/{c}": function(e, c) for e, c in self.keys(w)}

    def needs(self, function):
        """A resource: what `function` says of the conditions (None for a network of the user's)."""
        return scaled(lambda w: function([CONDITIONS.get(key) for key in self.keys(w)]))

    def steps(self):
        """How many steps of training the batch may take; 0 for one condition."""
        specs = [CONDITIONS[self.experiment, c] for c in self.conditions if self.number]
        return sum(spec.training.max_steps * spec.seeds for spec in specs)

    def __str__(self):
        if not self.number:
            return "{wildcards.experiment}/{wildcards.condition}"
        first, last = self.conditions[0], self.conditions[-1]
        return f"{self.experiment}, batch {self.number} ({first} to {last})"


#: Experiments whose jobs do one condition.
SINGLE = [name for name, spec in STUDY.experiments.items() if spec.conditions_per_job == 1]
BATCHES = [Batch()]
BATCHES += [Batch(e, names, n) for e, n, names in PLAN.batches() if e not in SINGLE]
