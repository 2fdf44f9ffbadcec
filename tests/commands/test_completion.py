"""What shells complete: asked of the shell itself."""

import shutil
import subprocess

import pytest

from repbias.commands.main import COMMANDS, main


@pytest.fixture
def script(tmp_path, capsys):
    """Function that writes the script of a shell; gives its path."""

    def write(shell):
        with pytest.raises(SystemExit) as done:
            main(["--print-completion", shell])
        assert done.value.code in (None, 0)
        path = tmp_path / f"completion.{shell}"
        path.write_text(capsys.readouterr().out)
        return path

    return write


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ([""], set(COMMANDS)),
        (["che"], {"check"}),
        (["check", "--qu"], {"--quick"}),
        (["check", "stu"], {"study.yaml"}),
        (["init", "new", "--template", "t"], {"tokens", "torch", "table"}),
        (["init", "new", "--recording", "spikes"], {"spikes.npy", "spikes of a day.npy"}),
        (["diff", "a", "results/a"], {"results/after"}),
    ],
)
def test_bash_completes_commands_options_and_files(script, tmp_path, words, completed):
    for name in ("study.yaml", "spikes.npy", "spikes of a day.npy"):
        (tmp_path / name).touch()
    (tmp_path / "results/after").mkdir(parents=True)
    ask = (
        'source "$1"; shift; COMP_WORDS=(repbias "$@"); COMP_CWORD=$#; '
        "_shtab_repbias; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", ask, "ask", script("bash"), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert set(done.stdout.splitlines()) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_that_they_read(script, shell):
    path = script(shell)
    assert all(command in path.read_text() for command in COMMANDS)
    if shutil.which(shell):
        subprocess.run([shell, "-n", path], check=True)
