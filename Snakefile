"""From config.yaml to results/<study>/report.html: one rule file per step of the pipeline."""

import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.27")

# A --configfile replaces the default study; Snakemake alone would merge the two.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


#: This repository, also where another workflow imports it as a module.
HERE = Path(workflow.current_basedir)
# Found without an installation, in every job: this package, and modules of the user's in the folder
# that Snakemake runs in or beside the study.
PLACES = [HERE / "src", Path.cwd(), *(Path(file).resolve().parent for file in workflow.configfiles)]
PLACES = list(dict.fromkeys(map(str, PLACES)))
sys.path[:0] = PLACES
os.environ.update(PYTHONPATH=os.pathsep.join([*PLACES, os.getenv("PYTHONPATH") or "."]))

from repbias.base.spec import RepbiasError
from repbias.config.analyses import OF_NETWORKS, OF_RECORDINGS
from repbias.io.provenance import PACKAGE
from repbias.pipeline.run import load_run
from repbias.pipeline.plan import Plan
from repbias.pipeline.resources import NUMERIC, PLAIN, TORCH, JobResources
from repbias.report.captions import NETWORK_PICTURES, PICTURES

# Where this is a module, files are the importer's: they hold more than a study.
IS_MODULE = Path(workflow.main_snakefile).parent not in (HERE, HERE / "workflow")
try:
    STUDY, CODE = load_run(
        config,
        [] if IS_MODULE else workflow.configfiles,
        repository=HERE,
        in_job=not workflow.is_main_process,
    )
except RepbiasError as error:
    raise WorkflowError(str(error))

PLAN = Plan(STUDY)
RESOURCES = JobResources(PLAN)


# What a run was started with is what its jobs on a cluster see, whatever is edited meanwhile.
envvars:
    "REPBIAS_RUN",


pathvars:
    results=PLAN.results,


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        "<results>/report.html",
        expand("<results>/tables/{table}.csv", table=PLAN.tables),


include: "workflow/rules/stimuli.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/rsa.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/report.smk"
