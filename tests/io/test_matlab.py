"""Objects of MATLAB are refused with the line that saves them; what is listed is what is there."""

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from repbias.base.spec import RepbiasError
from repbias.io import matlab
from repbias.io.arrays import list_arrays, load_array, matching
from repbias.io.matlab import Unread

VALUES = np.arange(6.0).reshape(2, 3)


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def opaque(name: str, what: str) -> bytes:
    """Return an object as MATLAB saves it up to v7; its values are in another part of the file.

    The format is not published; this is its header as SciPy's reader takes it apart (class 17,
    mxOPAQUE_CLASS: the names of the variable, of the system and of the class, then a matrix).
    """
    place = struct.pack("<6I", 0xDD000000, 2, 1, 1, 1, 1)
    matrix = [(6, struct.pack("<II", 13, 0)), (5, struct.pack("<ii", 6, 1)), (1, b""), (6, place)]
    parts = [
        element(6, struct.pack("<II", 17, 0)),
        *(element(1, text.encode()) for text in (name, "MCOS", what)),
        element(14, b"".join(element(*part) for part in matrix)),
    ]
    return element(14, b"".join(parts))


def with_objects(path: Path, version: str, **classes: str) -> Path:
    """Write the array `x`, and objects of the named classes."""
    if version == "v5":
        scipy.io.savemat(path, {"x": VALUES})
        with path.open("ab") as file:
            for name, what in classes.items():
                file.write(opaque(name, what))
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = VALUES.T
        file["x"].attrs["MATLAB_class"] = np.bytes_("double")
        for name, what in classes.items():
            file[name] = np.array([[0xDD000000, 2, 1, 1, 1, 1]], np.uint32)
            file[name].attrs["MATLAB_class"] = np.bytes_(what)
            file[name].attrs["MATLAB_object_decode"] = np.int32(3)
    return path


@pytest.mark.parametrize("version", ["v5", "v7.3"])
@pytest.mark.parametrize(
    ("what", "line"),
    [
        (
            "table",
            "load('a.mat'); s = table2struct(convertvars(t, @(x) isstring(x) || "
            "iscategorical(x), @cellstr), 'ToScalar', true); save('a_t.mat', '-struct', 's')",
        ),
        ("timetable", "table2struct(convertvars(timetable2table(t), "),
        ("string", "load('a.mat'); t = cellstr(string(t)); save('a.mat', 't', '-append')"),
        ("categorical", "t = cellstr(string(t)); save('a.mat', 't', '-append')"),
        ("datetime", "t = posixtime(t); save('a.mat', 't', '-append')"),
        ("containers.Map", "k = keys(t); v = values(t); save('a_t.mat', 'k', 'v')"),
        ("Session", "s = struct(t); save('a_t.mat', '-struct', 's')"),
    ],
)
def test_objects_are_refused_with_the_line_that_saves_them(what, line, version, tmp_path):
    path = with_objects(tmp_path / "a.mat", version, t=what)
    with pytest.raises(RepbiasError) as error:
        load_array(path, "t")
    assert f"{path}: 't' is an object or function of MATLAB (of class '{what}')" in str(error.value)
    assert str(error.value).endswith(line) or line in str(error.value)
    np.testing.assert_array_equal(load_array(path, "x"), VALUES)


@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_arrays_beside_objects_are_listed_and_read(version, tmp_path):
    """SciPy calls every object None, and lists no file that holds one."""
    path = with_objects(tmp_path / "a.mat", version, t="table", names="string")
    found = list_arrays(path, 1e6)
    assert sorted(found) == ["names", "t", "x"]
    np.testing.assert_array_equal(found["x"], VALUES)
    assert "(of class 'table')" in str(found["t"])
    assert "(of class 'string')" in str(found["names"])
    with pytest.raises(RepbiasError, match=r"no variable 'y'; allowed: names, t, x"):
        load_array(path, "y")


def test_headers_are_what_scipy_says_of_files_that_matlab_wrote():
    """All files of SciPy's test data that SciPy can list, of MATLAB 4 to 8 and both byte orders."""
    folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
    compared = 0
    for path in sorted(folder.glob("*.mat")):
        try:
            listed = scipy.io.whosmat(path)
        except Exception:  # damaged, or of version 7.3
            continue
        theirs = {name: shape for name, shape, kind in listed if kind != "char"}
        theirs.pop("__function_workspace__", None)
        ours = {h.name: h.shape for h in matlab._headers(path) if h.kind != "char"}
        if "utf8" not in path.name:
            assert {name: ours[name] for name in theirs} == theirs, path.name
            compared += 1
    if not compared:
        pytest.skip("this SciPy comes without its test data")
    assert compared > 80


@pytest.mark.parametrize("suffix", ["npz", "h5", "v5.mat", "compressed.mat", "v73.mat"])
def test_what_exceeds_the_budget_is_left_unread(suffix, tmp_path):
    large, path = np.zeros((50, 40, 3, 2), np.uint8), tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez_compressed(path, large=large, small=VALUES)
    elif suffix.endswith("v73.mat") or suffix == "h5":
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, value in {"large": large, "small": VALUES}.items():
                file[name] = value if suffix == "h5" else value.T
                kind = "uint8" if name == "large" else "double"
                file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    else:
        content = {"large": large, "small": VALUES}
        scipy.io.savemat(path, content, do_compression=suffix.startswith("c"))
    found = list_arrays(path, 1000)
    assert found["large"] == Unread(large.shape, large.dtype)
    np.testing.assert_array_equal(found["small"], VALUES)
    everything = list_arrays(path, 1e6)
    np.testing.assert_array_equal(everything["large"], large)


def test_a_pattern_names_arrays_and_fields(tmp_path):
    fields = {"sub1": VALUES, "sub2": VALUES + 1}
    content = {"sub10": VALUES, "sub2": VALUES, "stimuli": VALUES, "data": fields}
    scipy.io.savemat(tmp_path / "a.mat", content)
    assert matching(tmp_path / "a.mat", "sub*") == {"sub10": "10", "sub2": "2"}
    assert matching(tmp_path / "a.mat", "data.s*") == {"data.sub1": "ub1", "data.sub2": "ub2"}
    with pytest.raises(RepbiasError, match=r"no variable matches 'subj\*'; did you mean 'sub2'"):
        matching(tmp_path / "a.mat", "subj*")
    with pytest.raises(RepbiasError, match="expected a pattern with one"):
        matching(tmp_path / "a.mat", "s*b*")
