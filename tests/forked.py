"""Run a module as a command, in a process that need not import the libraries first.

Importing Snakemake takes longer than most of what tests ask of it, and importing PyTorch longer
than most jobs of small studies. A clean process that has imported both is forked; nothing of this
package is loaded there.
"""

import functools
import gc
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path

#: What commands import, and what scripts of the workflow import besides.
_OF_COMMANDS = ("snakemake.cli", "pandas", "pydantic", "h5py")
_OF_SCRIPTS = ("torch", "matplotlib.figure", "scipy.spatial", "himalaya.kernel_ridge", "jinja2")

#: A Python that asks the process at an address to run what it is given in a fork of itself, unless
#: there are options.
_ASK = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1].startswith("-") and sys.argv[1] != "-m":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b" "], [0, 1, 2])
    given = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    server.sendall(json.dumps(given | {{"python": sys.argv[0]}}).encode() + b"\\n")
    sys.exit(ord(server.recv(1) or b"\\1"))
"""


def run_module(module, *arguments, cwd, timeout=900, **environment):
    """Do as `python -m module arguments`; return its exit status and all that it said."""
    return subprocess.run(
        [prepared_python(), "-m", module, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        timeout=timeout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def prepared_python():
    """Return a Python for which the libraries need not be imported; it runs modules and scripts.

    For modules, it is their Python as well: scripts of Snakemake are forked as Snakemake is.
    """
    return _prepared()[0]


@functools.cache
def _prepared():
    """Return the Python, the process that it asks, and their folder, which goes with the tests."""
    folder = tempfile.TemporaryDirectory()
    python, address = Path(folder.name, "python"), Path(folder.name, "address")
    python.write_text(_ASK.format(python=sys.executable, address=str(address)))
    python.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        # It ends with its standard input, which is with the tests.
        command = [sys.executable, "-P", __file__, str(listener.fileno())]
        pass_on = {"stdin": subprocess.PIPE, "pass_fds": [listener.fileno()]}
        return str(python), subprocess.Popen(command, cwd="/", **pass_on), folder


def _serve(listener):
    """Fork for each command and script that is asked for, until the tests end."""
    for library in _OF_COMMANDS:
        import_module(library)
    asked, running = {}, {}
    while sys.stdin not in (ready := wait([listener, sys.stdin, *asked, *running])):
        for end in ready:
            if end is listener:
                client, _ = listener.accept()
                _, files, *_ = socket.recv_fds(client, 1, 3)
                given = json.loads(client.makefile().readline())
                if given["arguments"][0] != "-m":
                    for library in _OF_SCRIPTS:
                        import_module(library)
                gc.freeze()
                process = get_context("fork").Process(target=_run, args=(files,), kwargs=given)
                process.start()
                for file in files:
                    os.close(file)
                asked[client], running[process.sentinel] = process, (process, client)
            elif end in asked:  # who asked has gone
                asked.pop(end).kill()
            elif end in running:
                process, client = running.pop(end)
                process.join()
                asked.pop(client, None)
                with suppress(OSError), client:
                    client.send(bytes([process.exitcode % 256]))


def _run(files, arguments, folder, environment, python):
    """Run a module or a script as a new process would."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    places = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    if arguments[0] == "-m":
        sys.executable, sys.argv = python, arguments[1:]
        sys.path[:0] = [folder, *places]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[:0] = [str(Path(arguments[0]).parent), *places]
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
