"""From config.yaml to results/<study>/report.html. One rule file per step of the data's way."""

import json
import os
import sys
from hashlib import sha256
from pathlib import Path

# A --configfile replaces the default study; Snakemake alone would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


# Found without an installation, in every job: this package, and modules of the user's in the folder
# that Snakemake runs in or beside the study.
PLACES = [Path(workflow.basedir) / "src", Path.cwd()]
PLACES += [Path(file).resolve().parent for file in workflow.configfiles]
PLACES = list(dict.fromkeys(map(str, PLACES)))
sys.path[:0] = PLACES
os.environ.update(PYTHONPATH=os.pathsep.join([*PLACES, os.getenv("PYTHONPATH") or "."]))

from repbias.config.analyses import BETWEEN_NETWORKS, OF_CONDITIONS, OF_RECORDINGS, SETTINGS
from repbias.config.file import read_config
from repbias.pipeline.fingerprint import code_fingerprint
from repbias.report.captions import PICTURES
from repbias.base.spec import RepbiasError
from repbias.pipeline.checks import load_study
from repbias.pipeline.plan import Plan

#: Script or function to the fingerprint of its code.
CODE = {} if workflow.is_main_process else config.pop("code")


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
include: "workflow/rules/bias.smk"
include: "workflow/rules/report.smk"


# Jobs on a cluster read this file anew when they start. They are given the study and the fingerprints
# of the code as they are now, so that editing a file during a run concerns the next run only.
if workflow.is_main_process:
    for function in (*OF_CONDITIONS.values(), *(a.function for a in OF_RECORDINGS.values())):
        code_of_function(function)
    STATED = json.dumps(config | {"code": CODE})
    FROZEN = Path(f".snakemake/studies/{sha256(STATED.encode()).hexdigest()[:16]}.json").absolute()
    FROZEN.parent.mkdir(parents=True, exist_ok=True)
    DRAFT = FROZEN.with_suffix(f".{os.getpid()}")
    DRAFT.write_text(STATED)
    DRAFT.replace(FROZEN)
    workflow.config_settings.configfiles = [FROZEN]
