"""From config.yaml to results/<study>/report.html. One rule file per step of the data's way."""

import os
import sys
from pathlib import Path

# The package and a user's own modules are found without an installation, in every job.
PLACES = [str(Path(workflow.basedir) / "src"), str(Path.cwd())]
sys.path[:0] = PLACES
os.environ.update(PYTHONPATH=os.pathsep.join([*PLACES, os.getenv("PYTHONPATH") or "."]))

from repbias.fingerprint import code_fingerprint
from repbias.spec import RepbiasError
from repbias.study import load_study

# A --configfile replaces the default study; Snakemake alone would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        expand("results/{study}/report.html", study=STUDY.study),
        expand("results/{study}/tables/{table}.csv", study=STUDY.study, table=TABLES),


include: "workflow/rules/stimuli.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/report.smk"
