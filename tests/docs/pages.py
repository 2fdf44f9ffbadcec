"""Pages of the documentation, and doing what they say."""

import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

from forked import prepared_python, run_module

ROOT = Path(__file__).parents[2]


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = re.findall(rf"^( *)```{language}\n(.*?)```", text, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) if indent else code for indent, code in found]


def fences(document: str) -> Counter[str]:
    """Return how many blocks of which language there are."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return Counter(re.findall(r"^ *```+(.*)\n(?:.*\n)*?^ *```+$", text, flags=re.MULTILINE))


def cells(document: str) -> list[tuple[str, str]]:
    """Return the options and the code of every cell of a notebook."""
    found = (
        re.fullmatch(r"((?:---\n.*?---\n)?(?::[^\n]*\n)*)(.*)", cell, flags=re.DOTALL)
        for cell in blocks(document, r"\{code-cell\} python")
    )
    return [(cell[1], cell[2]) for cell in found if cell]


def section(document: str, title: str, language: str) -> list[str]:
    """Return the blocks of code under a heading of the second level."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", found, flags=re.DOTALL)


def follow(document: str, folder: Path) -> dict[str, str]:
    """Do in a folder all that a tutorial says; return what each command printed.

    Blocks of Python that begin with the name of a file are saved, as is the study; commands run. If
    none does, all blocks run, which make the example.
    """
    named = {c: re.match(r"# (\w+\.py)\n", c) for c in blocks(document, "python")}
    assert all(named.values()) or not any(named.values()), "a block would not be run"
    for code, name in named.items():
        if name:
            (folder / name[1]).write_text(code)
    if not any(named.values()):
        for code in named:
            subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    (study,) = blocks(document, "yaml")
    (folder / "study.yaml").write_text(study)
    said = {}
    for command in "".join(blocks(document, "sh")).splitlines():
        program, *arguments = command.split()
        if program == "python":
            subprocess.run([prepared_python(), *arguments], cwd=folder, check=True)
            continue
        done = run_module(program, *arguments, cwd=folder)
        assert not done.returncode, f"{command}\n{done.stdout}"
        said[command] = done.stdout
    return said
