"""Numeric arrays out of the files that people have: npy, npz, HDF5 and MATLAB v5 to v7.

Nothing here loads a pickle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from repbias.spec import RepbiasError, nearest

#: File endings that :func:`load_array` reads.
ARRAY_SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".mat")


def load_array(path: str | Path, variable: str | None = None) -> np.ndarray:
    """Read one array from a file.

    Parameters
    ----------
    path
        A .npy, .npz, .h5, .hdf5 or .mat (v5 to v7) file.
    variable
        Which array of the file. In HDF5, slashes step into groups; in MATLAB files, dots step
        into structures, and a structure array gives its elements stacked along its own axes.
        May be left out where the file holds one array.

    Returns
    -------
    numpy.ndarray
        The array as stored, axes untouched.

    Raises
    ------
    RepbiasError
        If the file cannot be read, or the variable is missing or not an array of equal shapes.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            if variable is not None:
                raise RepbiasError(f"{path}: an .npy file holds one array; leave 'variable' out")
            array = np.load(path, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                raise RepbiasError(f"{path}: an archive of arrays (npz), not an npy file")
            return array
        if suffix == ".npz":
            archive = np.load(path, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise RepbiasError(f"{path}: one array (npy), not an npz archive")
            with archive:
                return archive[_choose(path, variable, archive.files)]
        if suffix in (".h5", ".hdf5"):
            return _from_hdf5(path, variable)
        if suffix == ".mat":
            return _from_mat(path, variable)
    except (RepbiasError, MemoryError):
        raise
    except Exception as error:  # damaged files make these libraries raise errors of many kinds
        raise RepbiasError(f"{path}: cannot be read as {suffix[1:]} ({error})") from error
    raise RepbiasError(
        f"{path}: unknown kind of array file {suffix!r}; expected {', '.join(ARRAY_SUFFIXES)}"
    )


def _choose(path: Path, variable: str | None, available: list[str]) -> str:
    if variable is None and len(available) == 1:
        return available[0]
    if not available:
        raise RepbiasError(f"{path}: holds no array")
    if variable is None:
        raise RepbiasError(
            f"{path}: holds several arrays; name one with 'variable' "
            f"(allowed: {', '.join(sorted(available)) or 'nothing'})"
        )
    if variable not in available:
        raise RepbiasError(f"{path}: no variable {variable!r}; {nearest(variable, available)}")
    return variable


def _from_hdf5(path: Path, variable: str | None) -> np.ndarray:
    import h5py

    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(lambda name, x: names.append(name) if hasattr(x, "shape") else None)
        name = _choose(path, variable and variable.strip("/"), names)
        if file[name].shape is None:
            raise RepbiasError(f"{path}: {name!r} has no data")
        return file[name][()]


def _from_mat(path: Path, variable: str | None) -> np.ndarray:
    import scipy.io
    import scipy.sparse

    try:
        content = scipy.io.loadmat(path)
    except NotImplementedError as error:
        raise RepbiasError(
            f"{path}: a MATLAB v7.3 file; save it again with save(..., '-v7')"
        ) from error
    names = [name for name in content if not name.startswith("__")]
    first, *fields = (variable or _choose(path, None, names)).split(".")
    value = content[_choose(path, first, names)]
    for name in fields:
        available = value.dtype.names or ()
        if name not in available:
            raise RepbiasError(
                f"{path}: {first!r} has no field {name!r}; {nearest(name, available)}"
            )
        value = _stack(path, name, value[name])
    return value.toarray() if scipy.sparse.issparse(value) else value


def _stack(path: Path, name: str, cells: np.ndarray) -> np.ndarray:
    shapes = {cell.shape for cell in cells.flat}
    if len(shapes) != 1:
        raise RepbiasError(f"{path}: field {name!r} holds arrays of different shapes {shapes}")
    return np.stack(list(cells.flat)).reshape(cells.shape + shapes.pop())
