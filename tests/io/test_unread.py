"""The lines that are printed for a file that is not read save what is in it."""

import pickle

import numpy as np
import pandas as pd
import pytest

from repbias.base.spec import RepbiasError
from repbias.io.arrays import load_array
from repbias.io.text_tables import read_table
from repbias.io.unread import INSTEAD, refuse_unread

ARRAY = np.arange(6.0).reshape(2, 3)


def advised(read) -> str:
    """Return the two lines of Python in the message with which a reader refuses a file."""
    with pytest.raises(RepbiasError) as error:
        read()
    message = str(error.value)
    assert message.count("  |  ") == 1
    return message[message.index("import ") :].replace("  |  ", "\n")


@pytest.mark.parametrize("suffix", [".pkl", ".pickle", ".p"])
def test_a_pickled_table_becomes_csv(suffix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(ARRAY, columns=["a", "b", "c"]).to_pickle(f"x{suffix}")
    exec(advised(lambda: refuse_unread(tmp_path / f"x{suffix}")), {})
    table = read_table(tmp_path / "x.csv")
    np.testing.assert_array_equal(table.astype(float), ARRAY)
    assert table.attrs["said"] == ["column 1 is an index of rows, and left out"]


def test_tensors_become_arrays(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save({"layer": torch.tensor(ARRAY)}, "x.pt")
    exec(advised(lambda: refuse_unread(tmp_path / "x.pt")), {})
    np.testing.assert_array_equal(load_array(tmp_path / "x.npz", "layer"), ARRAY)


def test_a_dictionary_in_npy_becomes_arrays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", {"rates": ARRAY}, allow_pickle=True)
    exec(advised(lambda: load_array(tmp_path / "x.npy")), {})
    np.testing.assert_array_equal(load_array(tmp_path / "x_arrays.npz", "rates"), ARRAY)


def test_joblib_s_arrays_become_npz(tmp_path, monkeypatch):
    joblib = pytest.importorskip("joblib")
    monkeypatch.chdir(tmp_path)
    joblib.dump(ARRAY, "x.joblib")
    exec(advised(lambda: refuse_unread(tmp_path / "x.joblib")), {})
    np.testing.assert_array_equal(load_array(tmp_path / "x.npz"), ARRAY)


def test_a_folder_or_another_file_is_not_meant(tmp_path):
    (tmp_path / "x.pt").mkdir()
    refuse_unread(tmp_path / "x.pt")
    refuse_unread(tmp_path / "x.npy")
    assert all(len(lines) == 3 for lines in INSTEAD.values())
    (tmp_path / "y.pkl").write_bytes(pickle.dumps(ARRAY))
    with pytest.raises(RepbiasError, match="If you trust the file"):
        refuse_unread(tmp_path / "y.pkl")
