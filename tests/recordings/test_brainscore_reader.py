"""Brain-Score assemblies written by xarray are read back, joined by id."""

from __future__ import annotations

import sys
from itertools import permutations

import numpy as np
import pytest
import xarray as xr

from repbias.base.spec import RepbiasError
from repbias.io.recordings import Recording
from repbias.recordings.readers.brainscore import BrainscoreRecording, read

KNOWN = np.array([f"image{i}" for i in range(6)])
N, UNITS, BINS = 15, 4, 3
DATA = np.random.default_rng(0).normal(size=(N, UNITS, BINS))
PRESENTATIONS = {
    "stimulus_id": [f"image{i % 5}" for i in range(N)],
    "repetition": [i // 5 for i in range(N)],
    "object_name": [["face", "car"][i % 2] for i in range(N)],
    "number": list(range(N)),
}
NEUROIDS = {
    "neuroid_id": ["a1", "a2", "b1", "b2"],
    "region": ["V4", "IT", "IT", "IT"],
    "animal": ["Chabo", "Chabo", "Tito", "Tito"],
    "x": [0.5, 1.5, 2.5, 3.5],
}
TIMES = {"time_bin_start": [70, 80, 90], "time_bin_end": [90, 100, 110]}


def assembly(data=DATA, presentations=None, neuroids=None, times=None, name="dicarlo"):
    """Build an assembly; coordinates that are None are left out."""
    tables = {
        "presentation": PRESENTATIONS | (presentations or {}),
        "neuroid": NEUROIDS | (neuroids or {}),
        "time_bin": TIMES | (times or {}),
    }
    dims = list(tables)[: data.ndim]
    coordinates = {
        coordinate: (dimension, values)
        for dimension in dims
        for coordinate, values in tables[dimension].items()
        if values is not None
    }
    return xr.DataArray(data, dims=dims, coords=coordinates, name=name)


def save(array, path, engine="h5netcdf"):
    array.to_netcdf(path, engine=engine)
    return path


def read_file(path, known=KNOWN, **settings) -> Recording:
    spec = BrainscoreRecording(kind="brainscore", path=path, stimuli="set", **settings)
    return read(spec, known)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_reads_back_what_was_written_in_every_order_of_the_dimensions(engine, tmp_path):
    for i, order in enumerate(permutations(["presentation", "neuroid", "time_bin"])):
        path = save(assembly().transpose(*order), tmp_path / f"{i}.nc", engine)
        recording = read_file(path)
        rows = recording.trials["number"]
        np.testing.assert_array_equal(recording.responses, DATA[rows])
        for name in ("stimulus_id", "repetition", "object_name"):
            expected = [PRESENTATIONS[name][row] for row in rows]
            assert recording.trials[name].tolist() == expected
        assert recording.trials["repeat"].tolist() == [row // 5 for row in rows]
        assert recording.units["unit"].tolist() == ["Chabo/a1", "Chabo/a2", "Tito/b1", "Tito/b2"]
        for name, values in NEUROIDS.items():
            assert recording.units[name].tolist() == values
        assert recording.units["subject"].tolist() == NEUROIDS["animal"]
        np.testing.assert_allclose(recording.info["times_s"], [0.08, 0.09, 0.1])


def test_seconds_are_read_if_declared_and_suspected_if_not(tmp_path):
    seconds = {name: [ms / 1000 for ms in values] for name, values in TIMES.items()}
    path = save(assembly(times=seconds), tmp_path / "a.nc")
    recording = read_file(path, time_unit="s")
    np.testing.assert_allclose(recording.info["times_s"], [0.08, 0.09, 0.1])
    with pytest.raises(RepbiasError, match=r"0.07 to 0.09\); .* set 'time_unit: s'"):
        read_file(path)


def test_times_with_units_are_not_turned_into_dates(tmp_path):
    """By default xarray decodes variables with units of milliseconds."""
    array = assembly()
    for name in TIMES:
        array[name].attrs["units"] = "milliseconds"
    np.testing.assert_allclose(
        read_file(save(array, tmp_path / "a.nc")).info["times_s"], [0.08, 0.09, 0.1]
    )


def test_averages_without_time_and_older_names_are_read(tmp_path):
    averages = xr.DataArray(
        DATA[:5, :, 0].T,
        dims=["neuroid", "image_id"],
        coords={
            "image_id": PRESENTATIONS["stimulus_id"][:5],
            "neuroid_id": ("neuroid", [3, 1, 2, 4]),
        },
    )
    path = save(averages, tmp_path / "a.nc")
    recording = read_file(path, stimulus="image_id", subject="PE", region="V4")
    assert "times_s" not in recording.info
    assert recording.units["unit"].tolist() == ["PE/1", "PE/2", "PE/3", "PE/4"]
    assert set(recording.units["region"]) == {"V4"}
    np.testing.assert_array_equal(recording.responses, DATA[:5, [1, 2, 0, 3], 0])
    assert recording.trials["repeat"].tolist() == [0] * 5
    with pytest.raises(RepbiasError, match="window needs time bins"):
        read_file(path, stimulus="image_id", window=(0, 1))


def test_neuroids_that_were_not_observed_stay_nan(tmp_path):
    data = DATA.copy()
    data[:7, 2:] = np.nan
    data[14] = np.nan
    recording = read_file(save(assembly(data), tmp_path / "a.nc"))
    assert len(recording.responses) == N - 1
    np.testing.assert_array_equal(recording.responses, data[recording.trials["number"]])


def test_where_keeps_neuroids_by_their_coordinates(tmp_path):
    path = save(assembly(), tmp_path / "a.nc")
    every = read_file(path).responses
    for where, kept in [
        ({"region": "IT"}, [1, 2, 3]),
        ({"region": "IT", "animal": ["Tito", "Chabo"], "x": [1.5, 3.5]}, [1, 3]),
        ({"neuroid_id": "b1"}, [2]),
    ]:
        np.testing.assert_array_equal(read_file(path, where=where).responses, every[:, kept])


def test_neuroids_may_be_numbered_within_each_animal(tmp_path):
    path = save(assembly(neuroids={"neuroid_id": [1, 2, 1, 2]}), tmp_path / "a.nc")
    assert read_file(path).units["unit"].tolist() == ["Chabo/1", "Chabo/2", "Tito/1", "Tito/2"]
    path = save(assembly(neuroids={"neuroid_id": [1, 1, 1, 2]}), tmp_path / "b.nc")
    with pytest.raises(RepbiasError, match="the id 'Chabo/1' occurs twice"):
        read_file(path)


def test_the_order_of_presentations_and_neuroids_changes_nothing(tmp_path):
    plain = read_file(save(assembly(), tmp_path / "a.nc"))
    rng = np.random.default_rng(1)
    array = assembly().isel(presentation=rng.permutation(N), neuroid=rng.permutation(UNITS))
    (tmp_path / "other").mkdir()
    shuffled = read_file(save(array, tmp_path / "other" / "a.nc"))
    np.testing.assert_array_equal(shuffled.responses, plain.responses)
    for part in ("trials", "units"):
        for name, values in getattr(plain, part).items():
            np.testing.assert_array_equal(getattr(shuffled, part)[name], values)
    assert shuffled.info == plain.info


def test_one_of_several_arrays_is_named(tmp_path):
    both = xr.Dataset(
        {"rates": assembly(name="rates"), "counts": assembly(DATA + 1, name="counts")}
    )
    path = save(both, tmp_path / "a.nc")
    recording = read_file(path, variable="counts")
    np.testing.assert_array_equal(recording.responses, DATA[recording.trials["number"]] + 1)
    with pytest.raises(RepbiasError, match=r"several arrays; .* allowed: counts, rates"):
        read_file(path)
    with pytest.raises(RepbiasError, match=r"no variable 'count'; did you mean 'counts'\?"):
        read_file(path, variable="count")


def test_the_canonical_file_keeps_everything(tmp_path):
    recording = read_file(save(assembly(), tmp_path / "a.nc"))
    recording.write(tmp_path / "recording.h5")
    again = Recording.read(tmp_path / "recording.h5")
    np.testing.assert_array_equal(again.responses, recording.responses)
    assert again.info == recording.info
    for part in ("trials", "units"):
        for name, values in getattr(recording, part).items():
            np.testing.assert_array_equal(getattr(again, part)[name], values)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"stimulus": "image_id"}, "stimulus: no coordinate 'image_id'; .*stimulus_id"),
        ({"neuroids": {"neuroid_id": None}}, {}, "neuroid: no coordinate 'neuroid_id'; .*animal"),
        ({"times": {"time_bin_end": None}}, {}, r"no numbers 'time_bin_end'; did you mean"),
        ({"times": {"time_bin_end": [60, 70, 80]}}, {}, "a time bin ends before it starts"),
        ({}, {"where": {"regoin": "IT"}}, r"no column 'regoin'; did you mean 'region'\?"),
        ({}, {"where": {"region": "V1"}}, "no unit where .*; region is IT, V4"),
        ({}, {"stimulus": "object_name"}, "2 of 2 ids are not in 'set': 'car', 'face'"),
        ({}, {"stimulus": "region"}, "expected those of 'region' and 'neuroid_id'"),
        ({"data": DATA.astype(str)}, {}, "expected numbers"),
        (
            {"data": DATA[:0], "presentations": {name: [] for name in PRESENTATIONS}},
            {},
            "shape .0, 4",
        ),
    ],
)
def test_mismatches_are_refused_with_the_existing_names(changes, settings, message, tmp_path):
    path = save(assembly(**changes), tmp_path / "a.nc")
    with pytest.raises(RepbiasError, match=message) as error:
        read_file(path, **settings)
    assert str(path) in str(error.value)


def test_another_dimension_is_refused(tmp_path):
    array = assembly().expand_dims(fold=2)
    path = save(array, tmp_path / "a.nc")
    with pytest.raises(RepbiasError, match=r"dimensions are \['fold', 'presentation'"):
        read_file(path)


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_empty_damaged_and_other_files_are_refused(engine, tmp_path):
    whole = save(assembly(), tmp_path / "a.nc", engine).read_bytes()
    contents = {"empty.nc": b"", "text.nc": b"not netCDF"}
    contents |= {f"cut{i}.nc": whole[: len(whole) * i // 5] for i in range(1, 5)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in [*contents, ""]:
        with pytest.raises(RepbiasError, match=f"{name}: cannot be read as netCDF"):
            read_file(tmp_path / name)


def test_a_file_without_any_array_is_refused(tmp_path):
    path = save(xr.Dataset({"a": ("x", [1, 2])}), tmp_path / "a.nc")
    with pytest.raises(RepbiasError, match="holds no array of two or more dimensions"):
        read_file(path)


@pytest.mark.parametrize("name", ["xarray", "h5netcdf"])
def test_a_missing_library_is_reported_with_its_extra(name, tmp_path, monkeypatch):
    path = save(assembly(), tmp_path / "a.nc")
    monkeypatch.setitem(sys.modules, name, None)
    message = rf"needs {name}: pip install 'repbias\[brainscore\]'"
    with pytest.raises(RepbiasError, match=message):
        read_file(path)


def test_presentations_are_selected_by_their_coordinates(tmp_path):
    path = save(assembly(), tmp_path / "a.nc")
    found = read_file(path, trials_where={"object_name": "face"}, where={"region": "IT"})
    assert (found.trials["number"] % 2 == 0).all()
    np.testing.assert_array_equal(found.responses, DATA[found.trials["number"]][:, 1:])
    assert found.info["trials_left_out"] == 7
