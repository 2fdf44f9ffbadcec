"""From config.yaml to results/<study>/report.html. One rule file per step of the data's way."""

import os
import sys
from pathlib import Path

# The package and a user's own modules are found without an installation, in every job.
for place in (os.getcwd(), str(Path(workflow.basedir) / "src")):
    sys.path.insert(0, place)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [place, *filter(None, [os.environ.get("PYTHONPATH")])]
    )

from repbias.fingerprint import code_fingerprint
from repbias.spec import RepbiasError
from repbias.study import load_study

# A --configfile replaces the default study; Snakemake alone would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"


rule all:
    input:
        OUT + "/report.html",
        OUT + "/config.yaml",
        expand(OUT + "/tables/{table}.csv", table=TABLES),
    default_target: True


include: "workflow/rules/stimuli.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/encoding.smk"
include: "workflow/rules/bias.smk"
include: "workflow/rules/report.smk"
