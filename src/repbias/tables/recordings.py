"""Tables of recordings: how reliable they are, and what was published about them."""

from repbias.tables.row import Row


class Quality(Row):
    """A measure of a recording, or of one of its subjects and regions."""

    recording: str
    subject: str
    region: str
    measure: str
    """What is measured."""
    value: float
    """What was found."""
    ci_low: float
    ci_high: float
    method: str
    """How it is measured."""


class References(Row):
    """A published number, beside what is measured here."""

    recording: str
    measure: str
    """What is measured."""
    method: str
    """How it is measured here."""
    value: float
    """The value measured here."""
    published: float
    """The published value, from the configuration."""
    difference: float
    """The value measured here minus the published one."""
    source: str
    """Where it was published."""


class Reliability(Row):
    """A unit of a recording."""

    recording: str
    subject: str
    region: str
    unit: str
    repeats: float
    """Number of repeats, mean over the stimuli that the subject saw."""
    split_half: float
    """Correlation of random halves of the repeats."""
    reliability: float
    """Reliability of the average over all repeats."""
    ceiling: float
    """Highest `r` that a perfect model reaches."""
    convention: str
    """How the ceiling was estimated."""


class Cautions(Row):
    """A danger to the numbers about a recording, or a region of it."""

    recording: str
    region: str
    concerns: str
    """What it concerns: `tests`, `similarity` or `encoding`."""
    danger: str
    """Its name: `heavy_tails`, `low_agreement`, `subjects_left_out`, `stimuli_left_out`,
    `uneven_repeats`, `few_units`, `dependent_stimuli`, `serial_order`, `presentation_order`,
    `near_duplicates`, `no_test_between_groups` or `lucky_ceilings`."""
    value: float
    """The statistic that was measured."""
    limit: float
    """From where on it is a danger."""
    sentence: str
    """What it does to the numbers, and what to do about it."""
