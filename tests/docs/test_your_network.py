"""The worked example of a PyTorch model and a recording."""

import sys
from pathlib import Path

import numpy as np
import torch
from pages import section
from PIL import Image

from repbias.commands.main import main


def test_the_model_of_the_page_is_found_loaded_and_shown_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = section("your-network.md", "Your PyTorch model and your recording", "python")
    (study,) = section("your-network.md", "Your PyTorch model and your recording", "yaml")
    Path("my_cnn.py").write_text(code)
    Path("study.yaml").write_text(study)
    monkeypatch.syspath_prepend(tmp_path)
    import my_cnn

    rng, ids = np.random.default_rng(0), [f"grating_{i:02}" for i in range(32)]
    rows = [f"{name},{i % 8 * 22.5},{rng.random():.3f}" for i, name in enumerate(ids)]
    Path("gratings.csv").write_text("\n".join(["stimulus_id,orientation,contrast", *rows]))
    Path("images").mkdir()
    for name in ids:
        pixels = rng.integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(pixels).save(f"images/{name}.png")
    Path("order.txt").write_text("\n".join(reversed(ids)))
    np.save("neurons.npy", rng.poisson(rng.uniform(1, 9, (20, 32, 1)), (20, 32, 4)))
    torch.save(my_cnn.untrained().state_dict(), "trained.pt")
    assert main(["check", "study.yaml"]) == 0
    del sys.modules["my_cnn"]
    said = capsys.readouterr().out
    assert "0 problems, 0 warnings" in said
    assert said.count("preprocessed by my_cnn:grey") == 2
    assert said.count("conv1 588, conv2 1,176, fc 48") == 2
