"""A SLURM of one node, in a folder of its own: no systemd, cgroups, database or file in /etc."""

import getpass
import os
import shutil
import socket
import subprocess
import time

PROGRAMS = (
    "scontrol",
    "munged",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "squeue",
    "scancel",
    "sinfo",
)
CONFIG = """\
ClusterName=repbias
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
AccountingStorageType=accounting_storage/none
# A job that uses more memory than it asked for is killed; one look per second.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SchedulerParameters=sched_interval=1,batch_sched_delay=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Three daemons, children of this process; their state and logs are in `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.daemons = {}
        #: Snakemake's job step takes SLURM_CONF away from srun; a script of ours gives it back.
        self.environment = os.environ | {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        }

    @staticmethod
    def missing():
        """Return which of the programs are not installed."""
        return [name for name in PROGRAMS if not shutil.which(name)]

    def __enter__(self):
        self.configure()
        try:
            munge = {"socket": "--socket", "key": "--key-file", "pid": "--pid-file"}
            munge |= {"seed": "--seed-file", "messages": "--log-file"}
            files = [f"{option}={self.folder / 'munge'}.{f}" for f, option in munge.items()]
            self.start("munged", "--foreground", "--force", *files)
            self.start("slurmctld", "-D")
            self.start("slurmd", "-D")
            self.wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in reversed(list(self.daemons)):
            self.stop(name)

    def configure(self):
        for name in ("bin", "state", "spool"):
            (self.folder / name).mkdir()
        config = {"host": self.host, "folder": self.folder, "user": getpass.getuser()}
        (self.folder / "slurm.conf").write_text(CONFIG.format(ports=free_ports(2), **config))
        # Two devices that are always there stand for GPUs.
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null,/dev/zero\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        srun = self.folder / "bin/srun"
        conf = self.folder / "slurm.conf"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def start(self, name, *arguments):
        with (self.folder / f"{name}.log").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                [name, *arguments], env=self.environment, stdout=log, stderr=log
            )

    def stop(self, name):
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def restart_controller(self):
        """Stop the daemon that knows the jobs, and start it again."""
        self.stop("slurmctld")
        self.start("slurmctld", "-D")

    def wait_until_idle(self):
        deadline = time.monotonic() + 60
        while self.command("sinfo", "--noheader", "--format=%T", check=False).strip() != "idle":
            logs = sorted(self.folder.glob("*.log"))
            assert time.monotonic() < deadline, "\n".join(log.read_text()[-2000:] for log in logs)
            time.sleep(0.1)

    def command(self, *arguments, check=True):
        """Run a command of SLURM; return what it writes."""
        done = subprocess.run(arguments, env=self.environment, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports
