"""The slow calls of rsatoolbox, on its objects and with its results, done fast.

Import from here instead of from `rsatoolbox.rdm` and `rsatoolbox.inference`; see docs/fast-rsa.md.
"""

from repbias.rsa.toolbox.inference import (
    boot_noise_ceiling,
    bootstrap_crossval,
    eval_bootstrap,
    eval_bootstrap_pattern,
    eval_bootstrap_rdm,
    eval_dual_bootstrap,
)
from repbias.rsa.toolbox.rdms import calc_rdm, compare

__all__ = [
    "boot_noise_ceiling",
    "bootstrap_crossval",
    "calc_rdm",
    "compare",
    "eval_bootstrap",
    "eval_bootstrap_pattern",
    "eval_bootstrap_rdm",
    "eval_dual_bootstrap",
]
