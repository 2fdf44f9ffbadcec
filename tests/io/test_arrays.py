"""Arrays survive every file format unchanged, and damaged files are refused."""

from itertools import count
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from repbias.base.spec import RepbiasError
from repbias.io.arrays import ARRAY_SUFFIXES, load_array

CUBE = np.arange(24.0).reshape(2, 3, 4)


def write(path, **variables):
    if path.suffix == ".npy":
        (value,) = variables.values()
        np.save(path, value)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **variables)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, variables)
    else:
        with h5py.File(path, "w") as file:
            for name, value in variables.items():
                file[name] = value
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "bool"])
@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_shape_values_and_type_are_kept(suffix, dtype, tmp_path):
    array = CUBE.astype(dtype)
    found = load_array(write(tmp_path / f"x{suffix}", x=array))
    # MATLAB stores logicals as bytes.
    assert found.dtype == ("uint8" if suffix == ".mat" and dtype == "bool" else dtype)
    np.testing.assert_array_equal(found, array)


@pytest.mark.slow
@given(array=arrays(scalar_dtypes(), array_shapes(max_dims=5, max_side=4, min_side=0)))
def test_any_array_survives_npz_and_hdf5(array, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays")
    kinds = [".npz"] if array.dtype.kind in "mMSUc" else [".npz", ".h5"]
    for suffix in kinds:
        found = load_array(write(folder / f"x{suffix}", x=array))
        assert found.shape == array.shape
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5", ".mat"])
def test_one_of_several_is_chosen_by_name(suffix, tmp_path):
    path = write(tmp_path / f"x{suffix}", first=CUBE, second=-CUBE)
    np.testing.assert_array_equal(load_array(path, "second"), -CUBE)
    np.testing.assert_array_equal(load_array(path, "first"), CUBE)
    with pytest.raises(RepbiasError, match="first, second"):
        load_array(path)


def test_fortran_order_and_capitals_make_no_difference(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray(CUBE))
    (tmp_path / "x.npy").rename(tmp_path / "X.NPY")
    np.testing.assert_array_equal(load_array(tmp_path / "X.NPY"), CUBE)


def test_slashes_step_into_hdf5_groups(tmp_path):
    path = write(tmp_path / "x.h5", **{"v4/day1/rates": CUBE, "v4/day2/rates": -CUBE})
    for name in ("v4/day2/rates", "/v4/day2/rates", "v4/day2/rates/"):
        np.testing.assert_array_equal(load_array(path, name), -CUBE)


def test_dots_step_into_matlab_structures(tmp_path):
    path = write(tmp_path / "x.mat", session={"v4": {"rates": CUBE}, "name": "day 1"})
    # A structure is 1 x 1, at each level.
    np.testing.assert_array_equal(
        load_array(path, "session.v4.rates"), CUBE[None, None, None, None]
    )


def test_a_structure_array_is_stacked_along_its_own_axes(tmp_path):
    structure = np.empty((2, 3), dtype=[("rates", object), ("label", object)])
    for i in range(2):
        for j in range(3):
            structure[i, j] = (CUBE[i] + 100 * j, "trial")
    found = load_array(write(tmp_path / "x.mat", s=structure), "s.rates")
    assert found.shape == (2, 3, 3, 4)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(found[i, j], CUBE[i] + 100 * j)


@pytest.mark.parametrize("compressed", [False, True])
def test_compressed_matlab_files_are_read(compressed, tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"x": CUBE}, do_compression=compressed)
    np.testing.assert_array_equal(load_array(tmp_path / "x.mat"), CUBE)


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".mat"])
def test_text_is_read_as_text(suffix, tmp_path):
    """Stimulus ids may be stored with the responses; in MATLAB, as a cell array."""
    names = ["dog", "", "Äpfel"]
    stored = {".npz": np.array(names), ".h5": names, ".mat": np.array(names, dtype=object)}
    found = load_array(write(tmp_path / f"x{suffix}", names=stored[suffix]), "names")
    assert found.dtype.kind == "U"
    assert found.ravel().tolist() == names


def test_bytes_of_fixed_length_in_hdf5_are_text(tmp_path):
    found = load_array(write(tmp_path / "x.h5", names=np.array([b"dog", b"cat "])))
    assert found.tolist() == ["dog", "cat "]


@pytest.mark.parametrize("where", ["link", "external", "virtual"])
@pytest.mark.parametrize("suffix", [".h5", ".mat"])
def test_other_files_are_not_read(suffix, where, tmp_path):
    write(tmp_path / "secret.h5", x=np.arange(3.0))
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    path = tmp_path / f"x{suffix}"
    with h5py.File(path, "w", userblock_size=512) as file:
        if where == "link":
            file["x"] = h5py.ExternalLink("secret.h5", "x")
            message = "'x' is a link to another file"
        else:
            message = "'x' keeps its data in other files"
        if where == "external":
            file.create_dataset("x", (3,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 24)])
        if where == "virtual":
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "x", (3,))
            file.create_virtual_dataset("x", layout)
        if where != "link":
            file["x"].attrs["MATLAB_class"] = np.bytes_("double")
    with pytest.raises(RepbiasError, match=message):
        load_array(path, "x")


# MATLAB v7.3. Without MATLAB, such files are written here by its conventions.

NUMBERS = count()
MATLAB_CLASS = {"float64": "double", "float32": "single"}


class Struct(dict):
    """A structure; if its values are object arrays, a structure array of their shape."""


def is_cells(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "O"


def save_v73(path, **variables):
    """Write a MATLAB v7.3 file by MATLAB's conventions.

    It is an HDF5 file after a block of 512 bytes that begins with a text, and has the version and
    the order of bytes at 124. Axes are reversed. The attribute MATLAB_class says what a dataset is;
    MATLAB_int_decode, of which width the integers of text and logicals are. The elements of cell
    and structure arrays are in the group #refs#, and references to them in their place. An empty
    array is stored as its shape, with MATLAB_empty. In a sparse matrix, `ir` are the rows of
    the values `data`, `jc` the first of each column, and MATLAB_sparse is the number of rows.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            put_v73(file, file, name, value)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 "
    with path.open("r+b") as file:
        file.write((header + b"schema 1.00 .").ljust(124) + b"\x00\x02IM")
    return path


def put_v73(file, group, name, value):
    def dataset(data, kind, **attributes):
        group[name] = data
        group[name].attrs["MATLAB_class"] = np.bytes_(kind)
        for key, number in attributes.items():
            group[name].attrs[key] = np.int32(number)

    def references(cells):
        refs = file.require_group("#refs#")
        out = np.empty(cells.shape, h5py.ref_dtype)
        for index in np.ndindex(cells.shape):
            put_v73(file, refs, key := f"r{next(NUMBERS)}", cells[index])
            out[index] = refs[key].ref
        return out.T

    if isinstance(value, Struct):
        member = group.create_group(name)
        member.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, content in value.items():
            if is_cells(content):
                member.create_dataset(field, data=references(content), dtype=h5py.ref_dtype)
            else:
                put_v73(file, member, field, content)
    elif scipy.sparse.issparse(value):
        member = group.create_group(name)
        member.attrs["MATLAB_class"] = np.bytes_("double")
        member.attrs["MATLAB_sparse"] = np.uint64(value.shape[0])
        columns = value.tocsc()
        member["jc"] = columns.indptr.astype(np.uint64)
        if columns.nnz:
            member["data"] = columns.data
            member["ir"] = columns.indices.astype(np.uint64)
    elif isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le"), np.uint16)
        if len(units):
            dataset(units[:, None], "char", MATLAB_int_decode=2)
        else:
            dataset(np.zeros(2, np.uint64), "char", MATLAB_empty=1, MATLAB_int_decode=2)
    elif is_cells(value):
        if value.size:
            group.create_dataset(name, data=references(value), dtype=h5py.ref_dtype)
            group[name].attrs["MATLAB_class"] = np.bytes_("cell")
        else:
            dataset(np.array(value.shape, np.uint64), "cell", MATLAB_empty=1)
    elif value.dtype.kind == "U":  # a matrix of characters
        units = np.array([[ord(c) for c in row] for row in value.tolist()], np.uint16)
        dataset(units.T, "char", MATLAB_int_decode=2)
    elif value.dtype == bool:
        dataset(value.T.astype(np.uint8), "logical", MATLAB_int_decode=1)
    else:
        kind = MATLAB_CLASS.get(value.dtype.name, value.dtype.name)
        if value.size == 0:
            dataset(np.array(value.shape, np.uint64), kind, MATLAB_empty=1)
        elif value.dtype.kind == "c":
            pairs = np.empty(value.T.shape, [("real", "f8"), ("imag", "f8")])
            pairs["real"], pairs["imag"] = value.T.real, value.T.imag
            dataset(pairs, "double")
        else:
            dataset(value.T, kind)


def save_v5(path, **variables):
    """Write the same content as v5, by SciPy."""

    def plain(value):
        if not isinstance(value, Struct):
            return value
        shape = next((v.shape for v in value.values() if is_cells(v)), (1, 1))
        records = np.empty(shape, dtype=[(field, object) for field in value])
        for index in np.ndindex(shape):
            records[index] = tuple(plain(v[index] if is_cells(v) else v) for v in value.values())
        return records

    scipy.io.savemat(path, {name: plain(value) for name, value in variables.items()})
    return path


def cells(rows):
    array = np.empty((len(rows), len(rows[0])), object)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            array[i, j] = value
    return array


VARIABLES = {
    "cube": CUBE,
    "row": np.arange(5.0)[None],
    "single": CUBE.astype(np.float32),
    **{f"i{kind}": CUBE.astype(kind) for kind in ("int8", "int16", "int32", "int64")},
    **{f"i{kind}": CUBE.astype(kind) for kind in ("uint8", "uint16", "uint32", "uint64")},
    "logical": CUBE % 2 == 0,
    "complex": np.array([[1 + 2j, 3 - 1j], [0, 1j], [5, 6]]),
    "empty": np.zeros((0, 3)),
    "text": "hello wörld 🐈",
    "no_text": "",
    "matrix_of_text": np.array(["ab ", "cde"]),
    "names": cells([["dog", "", "a longer name"]]),
    "column": cells([["dog"], ["cat"]]),
    "numbers": cells([[CUBE, CUBE + 1], [CUBE + 2, CUBE + 3], [CUBE + 4, CUBE + 5]]),
    "nested": cells([[cells([[np.ones((1, 2)), np.zeros((1, 2))]])]]),
    "sparse": scipy.sparse.csc_matrix(np.diag([1.5, 0, -2])[:, :2]),
    "no_sparse": scipy.sparse.csc_matrix((4, 3)),
}


@pytest.fixture(scope="module")
def matlab(tmp_path_factory):
    """All variables and structures in both formats; tests may only read the files."""
    folder = tmp_path_factory.mktemp("matlab")
    content = {"variables": VARIABLES, "structures": STRUCTURES}
    return {
        (what, save): save(folder / f"{what}_{save.__name__}.mat", **content[what])
        for what in content
        for save in (save_v5, save_v73)
    }


@pytest.mark.parametrize("name", VARIABLES)
def test_matlab_v73_gives_the_same_array_as_v5(name, matlab):
    v5 = load_array(matlab["variables", save_v5], name)
    v73 = load_array(matlab["variables", save_v73], name)
    assert v73.shape == v5.shape
    assert v73.dtype == v5.dtype
    np.testing.assert_array_equal(v73, v5)


@pytest.mark.parametrize(
    "name", ["cube", "row", "single", "logical", "complex", "names", "numbers"]
)
def test_matlab_v73_is_read_as_pymatreader_reads_it(name, tmp_path):
    """Which drops axes of length 1, and the shape of cell arrays."""
    pymatreader = pytest.importorskip("pymatreader", reason="pip install 'repbias[matlab]'")
    path = save_v73(tmp_path / "v73.mat", **{name: VARIABLES[name]})
    theirs = pymatreader.read_mat(path)[name]
    ours = load_array(path, name)
    if isinstance(theirs, list) and isinstance(theirs[0], str):
        assert ours.ravel().tolist() == [t if isinstance(t, str) else "" for t in theirs]
    elif isinstance(theirs, list):  # by columns, as MATLAB counts cells
        np.testing.assert_array_equal(np.stack(theirs), ours.swapaxes(0, 1).reshape(-1, 2, 3, 4))
    else:
        np.testing.assert_array_equal(theirs, ours.squeeze())


def test_matlab_v73_gives_what_was_written(matlab):
    path = matlab["variables", save_v73]
    np.testing.assert_array_equal(load_array(path, "cube"), CUBE)
    assert load_array(path, "text").tolist() == ["hello wörld 🐈"]
    assert load_array(path, "names").ravel().tolist() == ["dog", "", "a longer name"]
    np.testing.assert_array_equal(load_array(path, "numbers")[2, 0], CUBE + 4)
    np.testing.assert_array_equal(load_array(path, "sparse"), np.diag([1.5, 0, -2])[:, :2])


STRUCTURES = {
    "session": Struct(v4=Struct(rates=CUBE, unit="spikes"), name="day 1"),
    "array": Struct(
        rates=cells([[CUBE[i] + 100 * j for j in range(3)] for i in range(2)]),
        label=cells([["a", "bb", ""], ["d", "e", "f"]]),
        inner=cells([[Struct(x=np.full((1, 2), i + j)) for j in range(3)] for i in range(2)]),
    ),
}


@pytest.mark.parametrize(
    "name",
    ["session.v4.rates", "session.v4.unit", "session.name", "array.rates", "array.inner.x"],
)
def test_structures_of_matlab_v73_are_those_of_v5(name, matlab):
    v5 = load_array(matlab["structures", save_v5], name)
    v73 = load_array(matlab["structures", save_v73], name)
    assert v73.shape == v5.shape
    np.testing.assert_array_equal(v73, v5)


def test_labels_in_a_structure_array_are_text(matlab):
    for save in (save_v5, save_v73):
        found = load_array(matlab["structures", save], "array.label")
        assert found.shape == (2, 3, 1)
        assert found.ravel().tolist() == ["a", "bb", "", "d", "e", "f"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, r"several arrays; name one with 'variable' \(allowed: array, session\)"),
        ("sesion", r"no variable 'sesion'; did you mean 'session'\?"),
        ("session", "'session' is a structure; name a field after a dot .allowed: name, v4"),
        ("session.v4.rate", r"'v4' has no field 'rate'; did you mean 'rates'\?"),
        ("session.name.x", "'name' has no field 'x'"),
        ("array.inner", "'inner' is a structure; name a field"),
    ],
)
@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_wrong_names_are_refused(save, name, message, matlab):
    with pytest.raises(RepbiasError, match=message):
        load_array(matlab["structures", save], name)


@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_cells_that_are_not_an_array_are_refused(save, tmp_path):
    ragged, nothing = cells([[np.ones((1, 2)), np.ones((1, 3))]]), np.empty((0, 0), object)
    path = save(tmp_path / "x.mat", ragged=ragged, nothing=nothing)
    with pytest.raises(RepbiasError, match=r"'ragged' holds arrays of different shapes"):
        load_array(path, "ragged")
    with pytest.raises(RepbiasError, match="'nothing' holds nothing"):
        load_array(path, "nothing")


def test_other_classes_of_matlab_v73_are_refused(tmp_path):
    path = save_v73(tmp_path / "x.mat", mine=CUBE)
    with h5py.File(path, "a") as file:
        del file["mine"].attrs["MATLAB_class"]
    with pytest.raises(RepbiasError, match=r"if MATLAB did not write the file, call it \.h5"):
        load_array(path, "mine")


def test_references_in_a_circle_end(tmp_path):
    path = save_v73(tmp_path / "x.mat", c=cells([["a"]]))
    with h5py.File(path, "a") as file:
        file["c"][...] = np.array([[file["c"].ref]], dtype=h5py.ref_dtype)
    with pytest.raises(RepbiasError, match=r"x\.mat: cannot be read as mat"):
        load_array(path, "c")


def test_a_file_that_matlab_wrote_is_read():
    """SciPy's test data include one such file, and the same variable as v5 (MATLAB 7.4)."""
    folder = Path(scipy.io.__file__).parent / "matlab" / "tests" / "data"
    v5, v73 = (folder / f"{name}_7.4_GLNX86.mat" for name in ("testdouble", "testhdf5"))
    if not (v5.is_file() and v73.is_file()):
        pytest.skip("this SciPy comes without its test data")
    assert h5py.is_hdf5(v73)
    assert not h5py.is_hdf5(v5)
    found = load_array(v73, "testdouble")
    assert found.shape == (1, 9)
    np.testing.assert_array_equal(found, load_array(v5, "testdouble"))
    np.testing.assert_allclose(found, np.arange(9)[None] * np.pi / 4)


def cuts(content):
    """Return the beginnings of a file, cut at a dozen places."""
    step = max(1, len(content) // 12)
    return [content[:n] for n in range(0, len(content), step)]


def flips(content):
    """Return copies of a file, each with one wrong bit."""
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        yield bytes(damaged)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_a_truncated_file_is_refused_by_name(suffix, tmp_path):
    whole = write(tmp_path / f"whole{suffix}", x=CUBE).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for content in cuts(whole):
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        with pytest.raises(RepbiasError, match=f"cut{suffix}"):
            load_array(path, None if suffix == ".npy" else "x")


@pytest.mark.slow
def test_a_truncated_matlab_v73_file_is_refused_by_name(tmp_path):
    whole = save_v73(tmp_path / "whole.mat", x=CUBE).read_bytes()
    path = tmp_path / "cut.mat"
    for content in cuts(whole):
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        with pytest.raises(RepbiasError, match=r"cut\.mat"):
            load_array(path, "x")


# Not MATLAB and HDF5 files: wrong bits can crash SciPy's reader and hang the HDF5 library.
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_wrong_bit_gives_an_array_or_a_refusal(suffix, tmp_path):
    whole = write(tmp_path / f"whole{suffix}", x=CUBE).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    refused = 0
    for content in flips(whole):
        path.write_bytes(content)
        try:
            assert isinstance(load_array(path, None if suffix == ".npy" else "x"), np.ndarray)
        except RepbiasError as error:
            assert path.name in str(error)
            refused += 1
    assert refused > 5
