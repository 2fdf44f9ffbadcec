"""docs/command-line.md: what it shows is what is printed."""

import re
import shlex
from pathlib import Path

from repbias.commands.main import main

PAGE = Path(__file__).parents[2] / "docs/command-line.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(blocks("python")[0], {})
    (axes,) = blocks("yaml")
    for block in blocks("console"):
        line, _, shown = block.partition("\n")
        words = shlex.split(line.removeprefix("$ repbias "))
        if words[0] == "check":
            monkeypatch.chdir("study")
            study = Path("study.yaml").read_text(encoding="utf-8")
            study = re.sub(r"^ +axes: .*\n", axes, study, flags=re.MULTILINE)
            Path("study.yaml").write_text(study, encoding="utf-8")
        assert main(words) == 0
        assert capsys.readouterr().out == shown
