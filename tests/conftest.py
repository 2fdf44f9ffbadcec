"""Fixtures that several rooms of the tests share."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from repbias.io.activations import Activations, write_activations
from repbias.pipeline.jobs import GARBAGE

sys.path.insert(0, str(Path(__file__).parent))  # what several rooms import

# Numerical libraries are a million objects that stay, among which to look for garbage takes long.
gc.set_threshold(GARBAGE)

# Shared machines are slow at times, and a failure must come back when the test is run again.
settings.register_profile("repbias", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("repbias")


#: Files that take longest start first, so that no worker is left with one at the end.
LONGEST = ("tests/slurm", "tests/workflow/test_run.py", "tests/workflow", "tests/docs")


def pytest_collection_finish() -> None:
    """Look for garbage among the objects of tests only; nilearn does so for each image it reads."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into an order for `pytest -n`, which deals out files as they come."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(item.config.rootpath).as_posix()
        return next((i for i, start in enumerate(LONGEST) if path.startswith(start)), len(LONGEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of the real recordings; tests that need it are skipped where it is absent."""
    default = Path(__file__).parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("REPBIAS_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip("real recordings are absent; set REPBIAS_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def make_activations(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Activations]:
    """Function that writes layers of shape (network, stimulus, unit) to a new folder and opens the
    file."""

    def make(layers: dict, ids: list, networks: list | None = None, name: str = "activations"):
        n = len(next(iter(layers.values())))
        rows = networks or [(seed, "final") for seed in range(n)]
        table = {
            "network": [f"seed{seed}" for seed, _ in rows],
            "seed": [seed for seed, _ in rows],
            "snapshot": [snapshot for _, snapshot in rows],
            "step": [0 if snapshot == "initial" else 100 for _, snapshot in rows],
            "included": [True] * n,
        }
        path = tmp_path_factory.mktemp("activations") / f"{name}.h5"
        sizes = {layer: values.shape[2] for layer, values in layers.items()}
        with write_activations(path, np.array(ids), table, sizes) as datasets:
            for layer, values in layers.items():
                datasets[layer][...] = values
        return Activations.open(path)

    return make


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Function that gives a folder of a name, filled by the first worker that asks for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name: str, fill: Callable[[Path], object]) -> Path:
        folder = base / name
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                (part := folder.with_suffix(".part")).mkdir()
                fill(part)
                part.rename(folder)
        return folder

    return made_once


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium, which logs what its console says."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no chromium, chromedriver (Debian: chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()
