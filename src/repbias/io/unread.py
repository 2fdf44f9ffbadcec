"""Files that are not read, and what to save instead.

Loading a pickle runs the code in it, so no pickle is loaded, whatever it is called. Other files
are in one program's own format.
"""

from __future__ import annotations

from pathlib import Path

from repbias.base.spec import RepbiasError

_PICKLE = "a pickle, which is never loaded, as loading it runs the code in it"
#: Ending of a file to what it is, and the lines that save its content as what can be read.
INSTEAD = {
    **dict.fromkeys(
        (".pkl", ".pickle", ".p"),
        (
            _PICKLE,
            'import numpy as np, pandas as pd; content = pd.read_pickle("{name}")',
            'content.to_csv("{stem}.csv")  # a table; arrays: np.savez("{stem}.npz", x=content)',
        ),
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".ckpt"),
        (
            _PICKLE,
            'import numpy as np, torch; content = torch.load("{name}", map_location="cpu")',
            'np.savez("{stem}.npz", **{{k: v.numpy() for k, v in content.items()}})  # activations'
            "; weights of a model are loaded by a function of yours: networks: {{NAME: {{kind: "
            "torch, factory: MODULE:FUNCTION, files: [{name}], layers: [...]}}}} "
            "(docs/your-network.md)",
        ),
    ),
    ".joblib": (
        _PICKLE,
        'import joblib, numpy as np; content = joblib.load("{name}")',
        'np.savez("{stem}.npz", x=content)  # or content.to_csv("{stem}.csv"), of a table',
    ),
    **dict.fromkeys(
        (".xlsx", ".xls", ".ods"),
        (
            "a spreadsheet of which repbias reads CSV only",
            'import pandas as pd; table = pd.read_excel("{name}")',
            'table.to_csv("{stem}.csv", index=False)',
        ),
    ),
    **dict.fromkeys(
        (".parquet", ".feather"),
        (
            "a table of which repbias reads CSV only",
            'import pandas as pd; table = pd.read_{kind}("{name}")',
            'table.to_csv("{stem}.csv", index=False)',
        ),
    ),
    **dict.fromkeys(
        (".rds", ".rdata", ".rda"),
        (
            "a file of R, which only R can read",
            'table <- readRDS("{name}")  # in R; or load("{name}")',
            'write.csv(table, "{stem}.csv", row.names = FALSE)',
        ),
    ),
    ".fig": (
        "a figure of MATLAB, which only MATLAB can read",
        "lines = findobj(openfig('{name}'), 'Type', 'line');  % in MATLAB",
        "x = get(lines, 'XData'); y = get(lines, 'YData'); save('{stem}.mat', 'x', 'y')",
    ),
}
#: How objects in an npy or npz file are saved as arrays.
OBJECTS = (
    "objects in it are a pickle, which is never loaded (allow_pickle=False), as loading it runs "
    "the code in it. If you trust the file, save arrays of numbers or text instead:",
    'import numpy as np; content = np.load("{name}", allow_pickle=True)',
    'np.savez("{stem}_arrays.npz", **content.item())  # a dictionary, as of GLMsingle (then '
    "variable: betasmd); a list of equally long "
    'arrays: np.save("{stem}_array.npy", np.stack(content))',
)


def refuse_unread(path: Path | str) -> None:
    """Refuse a file that is not read, by its ending.

    Raises
    ------
    RepbiasError
        If it is a pickle or of another program's own format; says what to save instead.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in INSTEAD and not path.is_dir():
        what, *lines = INSTEAD[ending]
        trust = " If you trust the file, save" if what == _PICKLE else " Save"
        raise RepbiasError(f"{path}: {what}.{trust} what can be read: {_filled(path, lines)}")


def objects_error(path: Path) -> RepbiasError:
    """Return the error for an npy or npz file that holds objects."""
    what, *lines = OBJECTS
    return RepbiasError(f"{path}: {what} {_filled(path, lines)}")


def _filled(path: Path, lines: list[str]) -> str:
    names = {"name": path.name, "stem": path.stem, "kind": path.suffix[1:].lower()}
    return "  |  ".join(line.format(**names) for line in lines)
