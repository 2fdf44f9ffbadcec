"""Run a module as a command, in a process that need not import the libraries first.

Importing Snakemake takes longer than most of what tests ask of it. A clean process that has done so
is forked; nothing of this package is loaded there.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).parent
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["snakemake.cli", "pandas", "pydantic", "h5py"])


def run_module(module, *arguments, cwd, timeout=900):
    """Do as `python -m module arguments`; return its exit status and all that it said."""
    # Folders of tests are none where modules are found.
    paths = [str(cwd), *(p for p in sys.path if p and not Path(p).is_relative_to(_TESTS))]
    with tempfile.NamedTemporaryFile("r") as said:
        given = (module, arguments, paths, str(cwd), dict(os.environ), said.name)
        process = _CONTEXT.Process(target=_run, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *arguments], timeout, said.read())
        return subprocess.CompletedProcess([module, *arguments], process.exitcode, said.read())


def _run(module, arguments, paths, folder, environment, said):
    with Path(said).open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = paths
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
