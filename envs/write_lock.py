"""Write what `pip freeze` prints to lock.txt, and what the package needs itself to repbias.yaml."""

import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
HEAD = "# Exact versions of everything that CI and 'make' install; 'make lock' writes this file.\n"


def locked(lines: list[str]) -> dict[str, str]:
    """Return packages to their versions, without the build that a machine prefers (+cpu)."""
    found = (re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines)
    return {match[1].lower(): match[0] for match in found if match}


def environment(lock: dict[str, str]) -> str:
    """Return repbias.yaml with these versions."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w.-]+", d)[0].lower() for d in project["dependencies"]]
    head = (HERE / "repbias.yaml").read_text().partition("  - pip:\n")[0]
    return head + "  - pip:\n" + "".join(f"      - {lock[name]}\n" for name in names)


if __name__ == "__main__":
    lock = locked(sys.stdin.read().splitlines())
    (HERE / "lock.txt").write_text(HEAD + "".join(f"{lock[name]}\n" for name in sorted(lock)))
    (HERE / "repbias.yaml").write_text(environment(lock))
