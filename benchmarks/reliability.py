"""What killed runs, killed jobs, full disks and damaged files do to a study.

A small study is run once undisturbed. Then every step is disturbed, resumed, and compared with it
to the byte. The table is written to docs/reliability.md; a trial that goes wrong is a row there,
its folder is kept, and the exit status is 1.

Run with ``python benchmarks/reliability.py``; ``--help`` lists the options.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np

from repbias.io import provenance

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
STUDY = ROOT / "benchmarks" / "reliability.yaml"
FAULTS = ("kill", "job", "disk", "damage", "lock")
#: The row of what is no further kill, but what came of all of them.
WHOLE = "the whole study, after all of these"
BLOCK = 4096
PATIENCE = 300
#: Set for the process that has a name space of its own, in which a user may mount disks.
MAY_MOUNT = "REPBIAS_MAY_MOUNT"
FULL = re.compile(r"(\S+): not written: No space left on device")


class Place:
    """A folder that a study runs in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.results,) = (folder / "results").iterdir()

    def command(self, *arguments: str) -> list[str]:
        """Return Snakemake's command."""
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--configfile", "study.yaml", "--cores", "2"),
            *("--workflow-profile", str(ROOT / "workflow/profiles/default"), *arguments),
        ]

    def start(self, *arguments: str) -> Run:
        """Start Snakemake in a process group of its own."""
        return Run(self.command(*arguments), self.folder)

    def run(self, *arguments: str) -> Run:
        """Run Snakemake to its end."""
        run = self.start(*arguments)
        run.finish()
        return run

    def locked(self) -> bool:
        """Say whether Snakemake left its lock behind."""
        locks = self.folder / ".snakemake/locks"
        return locks.is_dir() and any(locks.iterdir())

    def files(self) -> dict[str, Path]:
        """Return every result that is there under its own name, by its path below `results`."""
        paths = sorted(path for path in self.results.rglob("*") if path.is_file())
        names = {path.relative_to(self.results).as_posix(): path for path in paths}
        return {name: path for name, path in names.items() if not path.name.startswith(".")}

    def leftovers(self) -> list[str]:
        """Return the temporary files among the results."""
        return sorted(path.name for path in self.results.rglob(".*") if ".tmp" in path.name)

    def in_work(self) -> set[str]:
        """Return the outputs, below `results`, that Snakemake knows to be unfinished."""
        marks = self.folder / ".snakemake/incomplete"
        found = set()
        for mark in marks.rglob("*"):
            if mark.is_file() and mark.name != "migration_underway":
                key = "".join(part.lstrip("@") for part in mark.relative_to(marks).parts)
                path = Path(urlsafe_b64decode(key).decode())
                found.add(Path(*path.parts[2:]).as_posix())
        return found

    def finished(self) -> dict[str, tuple[int, int]]:
        """Return the outputs of finished jobs, and which file each is."""
        in_work = self.in_work()
        return {
            name: identity for name, identity in self.identities().items() if name not in in_work
        }

    def identities(self) -> dict[str, tuple[int, int]]:
        """Return the number and the time of every result: a file that is made anew has others."""
        stats = {name: path.stat() for name, path in self.files().items()}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


class Run:
    """Snakemake, started; what it says is in `said`."""

    def __init__(self, command: list[str], folder: Path) -> None:
        # A file, since a pipe could fill; outside of the folder, which may be a full disk.
        self.output = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT / "src")},
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    @property
    def said(self) -> str:
        """What Snakemake and its jobs have said."""
        file = self.output.fileno()  # shared with the jobs: its position must stay
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def wait_for(
        self, happened: Callable[[], object], pause: float = 0.001, most: float = PATIENCE
    ) -> None:
        """Wait until something happened, or the run is over; so many seconds at most."""
        deadline = time.monotonic() + most
        while not (happened() or self.over) and time.monotonic() < deadline:
            time.sleep(pause)

    def finish(self) -> None:
        """Wait for the end; what does not end is killed, and so has failed."""
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill Snakemake and all its jobs."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def was_killed(self) -> bool:
        """Whether it was at work when it was killed."""
        return self.process.returncode == -signal.SIGKILL

    def jobs(self) -> list[int]:
        """Return the processes of the jobs' scripts."""
        found = []
        for status in Path("/proc").glob("[0-9]*"):
            try:
                session = int((status / "stat").read_text().rsplit(")", 1)[1].split()[3])
                command = (status / "cmdline").read_bytes()
            except (OSError, IndexError):
                continue
            if session == self.process.pid and b".snakemake/scripts/" in command:
                found.append(int(status.name))
        return found


@dataclass
class Job:
    """A job of the undisturbed run.

    Attributes
    ----------
    stage : the rule, of all batches
    outputs, inputs : below `results`; inputs that are results only
    log : below `results`
    seconds : how long it took
    ended : when, in the nanoseconds of its youngest output
    """

    stage: str
    outputs: list[str]
    inputs: list[str]
    log: str
    seconds: float
    ended: int

    def announced(self, run: Run) -> bool:
        """Say whether Snakemake has said that it starts this job."""
        missing = re.findall(r"Reason: Missing output files: ([^;\n]*)", run.said)
        return any(f"/{output}" in line for line in missing for output in self.outputs)


@dataclass
class Row:
    """A row of the table.

    Attributes
    ----------
    half : files under their own names that were not whole after the fault
    lost : outputs of finished jobs that were gone, or made anew, after the resumption
    equal : trials after which everything was as in the undisturbed run
    untold : runs on a full disk that did not name the file that could not be written
    """

    stage: str
    fault: str
    trials: int = 0
    half: int = 0
    lost: int = 0
    equal: int = 0
    untold: int = 0
    wrong: list[str] = field(default_factory=list)


class Trials:
    """All trials, in one folder after the other."""

    def __init__(self, reference: Place, work: Path, seed: int, stages: list[str] | None) -> None:
        self.reference = reference
        self.work = work
        self.random = random.Random(seed)
        self.digests = {n: provenance.digest(p) for n, p in reference.files().items()}
        self.jobs = sorted(jobs_of(reference), key=lambda job: job.ended)
        self.rows: dict[tuple[str, str], Row] = {}
        self.moments: Counter[str] = Counter()
        self.refused: list[str] = []
        self.started = time.monotonic()
        self.complete = stages is None
        # In the order in which a study runs.
        last = {job.stage: job.ended for job in self.jobs}
        self.stages = {
            stage: [job for job in self.jobs if job.stage == stage]
            for stage in sorted(last, key=last.__getitem__)
            if stages is None or stage in stages
        }

    def half_files(self, place: Place) -> list[str]:
        """Return the results that are not whole, or not those of the undisturbed run."""
        return [name for name, path in place.files().items() if not self.whole(name, path)]

    def whole(self, name: str, path: Path) -> bool:
        """Compare a result with the undisturbed run's; of what differs, ask if it is complete."""
        folder = name.split("/")[0]
        if folder in ("logs", "benchmarks"):  # written line by line, and read by nobody
            return True
        if folder == "provenance":
            try:
                return bool(json.loads(path.read_text())["finished"])
            except ValueError:
                return False
        if name == "report.html":  # it tells the day and how long jobs took
            return path.read_text(errors="replace").rstrip().endswith("</html>")
        return provenance.digest(path) == self.digests.get(name)

    def row(self, stage: str, fault: str) -> Row:
        """Return the row of a stage and a fault."""
        return self.rows.setdefault((stage, fault), Row(stage, fault))

    def judge(
        self,
        place: Place,
        row: Row,
        half: list[str],
        before: dict[str, tuple[int, int]],
        resumed: Run,
        needed: list[str],
    ) -> None:
        """Count a trial after its resumption."""
        row.trials += 1
        row.half += len(half)
        now = place.identities()
        lost = [name for name, number in before.items() if now.get(name) != number]
        # Logs and timings are of the last attempt.
        lost = [n for n in lost if n.split("/")[0] not in ("logs", "benchmarks", "provenance")]
        row.lost += len(lost)
        differs = self.half_files(place) + [name for name in needed if name not in now]
        wrong = [
            f"not resumed: {resumed.said[-2000:]}" if resumed.process.returncode else "",
            f"half-written: {half}" if half else "",
            f"lost: {lost}" if lost else "",
            f"differs: {differs}" if differs else "",
            f"left over: {place.leftovers()}" if place.leftovers() else "",
        ]
        wrong = [entry for entry in wrong if entry]
        row.equal += not differs and not resumed.process.returncode
        self.tell(row, wrong, place)

    def tell(self, row: Row, wrong: list[str], place: Place) -> None:
        """Print how a trial went; keep the folder of one that went wrong."""
        verdict = "; ".join(wrong) or "as undisturbed"
        print(
            f"{time.monotonic() - self.started:6.0f} s  {row.fault}: {row.stage}: {verdict}",
            flush=True,
        )
        if wrong:
            row.wrong += wrong
            number = sum(len(r.wrong) for r in self.rows.values())
            kept = self.work / f"wrong{number}"
            shutil.copytree(place.folder, kept, symlinks=True)
            print(f"          kept: {kept}", flush=True)

    def copy(self, name: str) -> Place:
        """Copy the undisturbed run, with what Snakemake knows of it."""
        folder = self.work / name
        shutil.copytree(self.reference.folder, folder)
        return Place(folder)

    def undo(self, place: Place, jobs: list[Job]) -> list[str]:
        """Remove the outputs of jobs; return them, as Snakemake's targets."""
        outputs = [output for job in jobs for output in job.outputs]
        for output in outputs:
            (place.results / output).unlink(missing_ok=True)
        return [(place.results / output).relative_to(place.folder).as_posix() for output in outputs]

    # Kills

    def kill(self, number: int) -> None:
        """Kill Snakemake and its jobs once in every stage.

        In the first pass everything is made anew from nothing; in later ones two jobs of the stage.
        """
        place = self.copy(f"kill{number}")
        anew = self.complete and number == 0
        if anew:
            self.undo(place, [job for jobs in self.stages.values() for job in jobs])
        if self.complete:
            self.kill_while_planning(place)
        for stage, jobs in self.stages.items():
            redone = jobs if anew else self.random.sample(jobs, min(2, len(jobs)))
            victim = self.random.choice(redone)
            for _ in range(5):  # a run may be over before its moment comes
                targets = self.undo(place, redone)
                before = place.finished()
                run = place.start(*targets)
                self.wait_for_moment(number, victim, place, run)
                run.kill()
                if run.was_killed:
                    self.moments[self.moment(victim, place, run)] += 1
                    self.after_kill(place, self.row(stage, "kill"), targets, before)
                    break
        if anew:
            self.finish(place)
        shutil.rmtree(place.folder)

    def kill_while_planning(self, place: Place) -> None:
        """Kill Snakemake before it starts a job."""
        before = place.finished()
        run = place.start()
        time.sleep(self.random.uniform(0, 2))
        run.kill()
        if run.was_killed:
            self.after_kill(place, self.row("Snakemake plans", "kill"), ["--dry-run"], before)

    def wait_for_moment(self, number: int, victim: Job, place: Place, run: Run) -> None:
        """Wait for a job, and then for any moment of it, for its file, or for its end."""
        run.wait_for(lambda: victim.announced(run), 0.01)
        kind = (number + self.random.randrange(2)) % 3
        if kind == 0:
            run.wait_for(lambda: False, most=self.random.uniform(0, victim.seconds + 1.5))
        elif kind == 1:
            folders = {(place.results / output).parent for output in victim.outputs}
            stems = {Path(output).stem for output in victim.outputs}
            run.wait_for(
                lambda: any(
                    any(stem in name for stem in stems)
                    for folder in folders
                    if folder.is_dir()
                    for name in (path.name for path in folder.iterdir())
                )
            )
            time.sleep(self.random.uniform(0, 0.02))
        else:
            record = (place.results / "provenance" / victim.log).with_suffix(".json")
            before = record.stat().st_ino if record.exists() else None
            run.wait_for(lambda: record.exists() and record.stat().st_ino != before)
            time.sleep(self.random.uniform(0, 0.15))

    def moment(self, victim: Job, place: Place, run: Run) -> str:
        """Say what a job that was killed had done."""
        there = place.files()
        if not any(output in there for output in victim.outputs):
            return "writing its first file" if place.leftovers() else "computing"
        if place.in_work() & set(victim.outputs):
            return "some or all files in place, not yet noted by Snakemake"
        return "noted by Snakemake, the next jobs under way"

    def after_kill(
        self, place: Place, row: Row, targets: list[str], before: dict[str, tuple[int, int]]
    ) -> None:
        """Look at the files, unlock, and run the same command again."""
        half, before = self.half_files(place), place.finished() | before
        if place.locked():
            if not self.refused:
                self.without_unlocking(place, row, targets)
            place.run("--unlock")
        resumed = place.run(*targets)
        needed = [Path(*Path(t).parts[2:]).as_posix() for t in targets if "/" in t]
        self.judge(place, row, half, before, resumed, needed)

    def without_unlocking(self, place: Place, row: Row, targets: list[str]) -> None:
        """See that a locked folder is refused, and how to unlock it told."""
        run = place.run(*targets)
        self.refused = re.findall(r".*(?:lock).*", run.said)
        if not run.process.returncode or "--unlock" not in run.said:
            self.tell(row, [f"the lock is not told: {run.said}"], place)

    def finish(self, place: Place) -> None:
        """Run the whole study to its end, and compare everything."""
        before = place.finished()
        outputs = [output for job in self.jobs for output in job.outputs]
        row = self.row(WHOLE, "kill")
        self.judge(place, row, [], before, place.run(), outputs)

    # Jobs that die alone

    def job(self, number: int) -> None:
        """Kill one job's process in every stage; Snakemake runs on and tries again."""
        place = self.copy(f"job{number}")
        for stage, jobs in self.stages.items():
            for _ in range(3):  # a job may end before its moment comes
                victim = self.random.choice(jobs)
                targets = self.undo(place, [victim])
                before = place.finished()
                run = place.start("--retries", "1", *targets)
                run.wait_for(run.jobs, 0.005)
                time.sleep(self.random.uniform(0, victim.seconds))
                killed = run.jobs()
                for process in killed:
                    with suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                run.finish()
                if killed and "Trying to restart job" in run.said:
                    self.judge(place, self.row(stage, "job"), [], before, run, victim.outputs)
                    break
        shutil.rmtree(place.folder)

    # Full disks

    def disk(self, number: int) -> None:
        """Fill the disk of the results before a job of every stage."""
        place = self.copy(f"disk{number}")
        with mounted(place.folder / "results"):
            for stage, jobs in self.stages.items():
                victim = self.random.choice(jobs)
                targets = self.undo(place, [victim])
                blocks = sum(
                    -(-(self.reference.results / output).stat().st_size // BLOCK)
                    for output in victim.outputs
                )
                fill(place.folder / "results/filler", self.random.randrange(blocks))
                before = place.finished()
                run = place.run(*targets)
                self.after_full_disk(
                    place, stage, "results/filler", run, targets, victim.outputs, before
                )
        if self.complete:
            self.full_disk_of_snakemake(place)
        shutil.rmtree(place.folder)

    def full_disk_of_snakemake(self, place: Place) -> None:
        """Fill the disk of Snakemake's own records, with a different number of blocks left."""
        stage = "Snakemake's own records"
        with mounted(place.folder / ".snakemake"):
            for blocks in (0, 2, 8):
                victim = self.random.choice([job for jobs in self.stages.values() for job in jobs])
                targets = self.undo(place, [victim])
                fill(place.folder / ".snakemake/filler", blocks)
                before = place.finished()
                run = place.run(*targets)
                if run.process.returncode or not blocks:
                    self.after_full_disk(
                        place, stage, ".snakemake/filler", run, targets, victim.outputs, before
                    )
                (place.folder / ".snakemake/filler").unlink(missing_ok=True)

    def after_full_disk(
        self,
        place: Place,
        stage: str,
        filler: str,
        run: Run,
        targets: list[str],
        needed: list[str],
        before: dict[str, tuple[int, int]],
    ) -> None:
        """Ask what was said, free the disk, and run the same command again."""
        row = self.row(stage, "disk")
        half, before = self.half_files(place), place.finished() | before
        # Snakemake says of its own records that the disk is full, not which file it is.
        own = filler.startswith(".snakemake")
        told = "No space left on device" in run.said if own else FULL.search(run.said)
        if run.process.returncode == 0 or not told:
            row.untold += 1
            self.tell(row, [f"not told: {run.said[-3000:]}"], place)
        (place.folder / filler).unlink()
        if place.locked():
            place.run("--unlock")
        self.judge(place, row, half, before, place.run(*targets), needed)

    # Damage

    def damage(self, number: int) -> None:
        """Damage one HDF5 file of every kind, and run a job that reads it."""
        kinds: dict[str, list[str]] = {}
        for name in self.digests:
            if name.endswith(".h5"):
                kinds.setdefault(name.split("/")[0], []).append(name)
        place = self.copy(f"damage{number}")
        for kind, names in kinds.items():
            readers = [
                (name, job)
                for name in names
                for jobs in self.stages.values()
                for job in jobs
                if name in job.inputs
            ]
            if not readers:
                continue
            for damage in DAMAGES:
                if number and damage != "a wrong bit":
                    continue
                self.damaged(place, kind, damage, *self.random.choice(readers))
        shutil.rmtree(place.folder)

    def damaged(self, place: Place, kind: str, damage: str, name: str, reader: Job) -> None:
        """Damage a file, run a job that reads it, then make both anew."""
        path, row = place.results / name, self.row(kind, damage)
        stamps = path.stat()
        if not DAMAGES[damage](path, self.random):
            return
        os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
        targets = self.undo(place, [reader])
        run = place.run(*targets)
        row.trials += 1
        named = re.search(rf"error: .*{re.escape(name)}: ", run.said)
        outputs = {output: place.results / output for output in reader.outputs}
        unharmed = all(path.exists() and self.whole(n, path) for n, path in outputs.items())
        wrong = []
        if run.process.returncode and not named:
            wrong.append(f"{name}: not named: {run.said[-3000:]}")
        elif not run.process.returncode and not (unharmed and damage == "a wrong bit"):
            wrong.append(f"{name}: damage not noticed")
        row.untold += bool(wrong)
        self.moments[f"{damage}: {'told' if named else 'without effect'}"] += not wrong
        path.unlink()
        place.run(path.relative_to(place.folder).as_posix())
        resumed = place.run(*targets)
        row.equal += not resumed.process.returncode and not self.half_files(place)
        self.tell(row, wrong, place)

    # The lock of `make run`

    def lock(self, number: int) -> None:
        """Kill a `make run`, and start another."""
        place = self.copy(f"lock{number}")
        for name in ("Makefile", "pyproject.toml"):
            (place.folder / name).symlink_to(ROOT / name)
        victim = self.random.choice(next(iter(self.stages.values())))
        targets = self.undo(place, [victim])
        (place.folder / ".venv").mkdir()
        (place.folder / ".venv/.installed").touch()
        bin_, only = f"BIN={Path(sys.executable).parent}", f"ARGS=--only {' '.join(targets)}"
        command = ["make", "run", bin_, "STUDY=study.yaml", only]
        before = place.finished()
        run = Run(command, place.folder)
        run.wait_for(place.locked, 0.01)
        run.wait_for(lambda: False, most=self.random.uniform(0, victim.seconds + 1.5))
        run.kill()
        half, before, locked = self.half_files(place), place.finished() | before, place.locked()
        resumed = Run(command, place.folder)
        resumed.finish()
        row = self.row("`make run`, started again", "kill")
        self.judge(place, row, half, before, resumed, victim.outputs)
        if not locked:
            self.tell(row, [f"not killed while at work: {run.said}"], place)
        shutil.rmtree(place.folder)


def truncate(path: Path, rng: random.Random) -> bool:
    """Cut a file at any place."""
    os.truncate(path, rng.randrange(path.stat().st_size))
    return True


def flip(path: Path, rng: random.Random) -> bool:
    """Change any bit of a file."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return True


def other_version(path: Path, rng: random.Random) -> bool:
    """Make a file one of a later version, where its format has versions."""
    with h5py.File(path, "a") as file:
        if "repbias_format" not in file.attrs:
            return False
        file.attrs["repbias_format"] = file.attrs["repbias_format"] + rng.randint(1, 5)
    return True


DAMAGES = {"truncated": truncate, "a wrong bit": flip, "another version": other_version}


def fill(filler: Path, blocks: int) -> None:
    """Fill a disk but for some blocks."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(BLOCK)):
            pass
    os.truncate(filler, filler.stat().st_size - blocks * BLOCK)


@contextmanager
def mounted(folder: Path) -> Iterator[None]:
    """Put a small disk, with the same content, in a folder's place for a while."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        shutil.rmtree(aside)
        yield
        shutil.copytree(folder, aside)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
    aside.rename(folder)


def jobs_of(place: Place) -> Iterator[Job]:
    """Go through the jobs of a finished run, in the order in which they ended."""
    results = place.results
    for path in (results / "provenance").rglob("*.json"):
        made = json.loads(path.read_text())
        yield Job(
            stage=made["rule"],
            outputs=list(made["outputs"]),
            inputs=[name for name, digest in made["inputs"].items() if digest is None],
            log=path.relative_to(results / "provenance").with_suffix(".log").as_posix(),
            seconds=made["seconds"],
            ended=max((results / output).stat().st_mtime_ns for output in made["outputs"]),
        )


def make_reference(folder: Path) -> Place:
    """Run the study once, undisturbed."""
    folder.mkdir(parents=True)
    shutil.copy(STUDY, folder / "study.yaml")
    rng, n = np.random.default_rng(0), 12
    ids = [f"object{i:02d}" for i in range(n)]
    lines = ["stimulus_id,category", *(f"{name},{i % 3}" for i, name in enumerate(ids))]
    (folder / "stimuli.csv").write_text("\n".join(lines))
    (folder / "ids.txt").write_text("\n".join(ids))
    patterns = rng.standard_normal((n, 8))
    np.save(folder / "responses.npy", patterns[:, None] + rng.standard_normal((n, 3, 8)))
    subjects = patterns + rng.standard_normal((4, n, 8))
    rdms = ((subjects[:, :, None] - subjects[:, None]) ** 2).mean(axis=-1)
    np.save(folder / "rdms.npy", rdms)
    (folder / "results" / "faults").mkdir(parents=True)
    place = Place(folder)
    run = place.run()
    if run.process.returncode:
        sys.exit(run.said)
    return place


def can_mount() -> bool:
    """Say whether disks can be mounted here, or start this program again where they can be."""
    if os.environ.get(MAY_MOUNT):
        return True
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") and not subprocess.run([*unshare, "true"]).returncode:
        os.environ[MAY_MOUNT] = "1"
        os.execvp("unshare", [*unshare, sys.executable, *sys.argv])
    return False


def table(trials: Trials) -> Iterator[str]:
    """Go through the lines of the page's results."""
    rows = trials.rows
    damaged = [row for row in rows.values() if row.fault in DAMAGES]
    disturbed = [row for row in rows.values() if row.fault not in DAMAGES]
    names = {"kill": "run killed", "job": "job killed", "disk": "disk full"}
    names = {fault: name for fault, name in names.items() if any(f == fault for _, f in rows)}
    counted = [row for row in disturbed if row.stage != WHOLE]
    total = {fault: sum(r.trials for r in counted if r.fault == fault) for fault in names}
    counts = ", ".join(f"{name}: {total[fault]}" for fault, name in names.items())
    yield f"Trials: {counts}; damaged files: {sum(row.trials for row in damaged)}."
    host = provenance.host()
    yield f"Measured on {host['processor']}, {host['cores']} cores, {host['system']}; "
    libraries = ", ".join(" ".join(item) for item in provenance.versions().items())
    minutes = (time.monotonic() - trials.started) / 60
    yield f"Snakemake {version('snakemake')}, {libraries}; {minutes:.0f} minutes in all."
    if disturbed:
        yield ""
        yield f"| stage | {' | '.join(names.values())} | half-written files | lost results |"
        yield "|---" * (len(names) + 3) + "|"
    for stage in dict.fromkeys(row.stage for row in disturbed):
        cells = []
        for fault in names:
            row = rows.get((stage, fault))
            cells.append(f"{row.equal} of {row.trials}" if row else "")
        found = [row for row in disturbed if row.stage == stage]
        sums = (str(sum(row.half for row in found)), str(sum(row.lost for row in found)))
        yield f"| {stage} | {' | '.join([*cells, *sums])} |"
    if "disk" in names:
        full = [row for row in disturbed if row.fault == "disk"]
        told = sum(row.trials - row.untold for row in full)
        yield ""
        yield f"Runs on a full disk that failed and said so: {told} of {total['disk']}."
    moments = {k: v for k, v in trials.moments.items() if ":" not in k}
    if moments:
        yield ""
        yield "What jobs were doing when the run was killed: "
        yield "; ".join(f"{name} ({count})" for name, count in moments.items()) + "."
    if damaged:
        yield ""
        yield f"| file | {' | '.join(DAMAGES)} | right after the file was replaced |"
        yield "|---" * (len(DAMAGES) + 2) + "|"
    for kind in dict.fromkeys(row.stage for row in damaged):
        found = {row.fault: row for row in damaged if row.stage == kind}
        cells = [
            f"{row.trials - row.untold} of {row.trials}" if (row := found.get(d)) else "none"
            for d in DAMAGES
        ]
        right, of = sum(r.equal for r in found.values()), sum(r.trials for r in found.values())
        yield f"| {kind} | {' | '.join(cells)} | {right} of {of} |"
    if damaged:
        without = sum(v for k, v in trials.moments.items() if k.endswith("without effect"))
        yield ""
        yield f"Bits that no reader looks at, so that the results were right: {without}."
    wrong = [(row, text) for row in rows.values() for text in row.wrong]
    for row, text in wrong:
        yield ""
        yield f"**Wrong**, {row.fault}, {row.stage}: {' '.join(text.split())[:300]}"


def main() -> None:
    """Disturb, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=3, help="of every stage (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and places")
    parser.add_argument("--stages", nargs="+", help="rules to disturb (default: all)")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--reference", type=Path, help="folder of an undisturbed run, to use it")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write the results")
    options = parser.parse_args()
    if "disk" in options.faults and not can_mount():
        print("full disks are left out: they need Linux that lets users mount a disk of their own")
        options.faults = [fault for fault in options.faults if fault != "disk"]
    work = Path(tempfile.mkdtemp(prefix="repbias-reliability-"))
    print(f"in {work}", flush=True)
    reference = options.reference and Place(options.reference.resolve())
    reference = reference or make_reference(work / "reference")
    trials = Trials(reference, work, options.seed, options.stages)
    passes = {"kill": options.trials, "job": 1, "disk": 1, "damage": options.trials, "lock": 1}
    for fault in options.faults:
        for number in range(passes[fault]):
            getattr(trials, fault)(number)
    head = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    page = [head.split("<!-- table -->")[0] + "<!-- table -->", "", *table(trials), ""]
    options.page.write_text("\n".join(page), encoding="utf-8")
    print(f"wrote {options.page}")
    if any(row.wrong for row in trials.rows.values()):
        sys.exit(f"something went wrong; folders are in {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
