"""Arrays come out of every kind of file as they went in, and damaged files are refused."""

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from repbias.arrays import ARRAY_SUFFIXES, load_array
from repbias.spec import RepbiasError

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


def cuts(content):
    """Return the beginnings of a file, cut at some forty places."""
    step = max(1, len(content) // 40)
    return [content[:n] for n in range(0, len(content), step)]


def flips(content):
    """Return copies of a file, each with one wrong bit."""
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        yield bytes(damaged)


@pytest.mark.parametrize("suffix", ARRAY_SUFFIXES)
def test_a_truncated_file_is_refused_by_name(suffix, tmp_path):
    whole = write(tmp_path / f"whole{suffix}", x=CUBE).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for content in cuts(whole):
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        with pytest.raises(RepbiasError, match=f"cut{suffix}"):
            load_array(path, None if suffix == ".npy" else "x")


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
