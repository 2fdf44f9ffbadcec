"""Folders, archives and array files give the same images, sorted by id, as RGB."""

import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image
from pydantic import ValidationError

from repbias.base.spec import RepbiasError
from repbias.stimuli.images import open_images
from repbias.stimuli.spec import ImageSet

RNG = np.random.default_rng(0)
NAMES = ["b/dog", "cat", "a/zebra", "b/Ape", "cat2"]
SORTED = ["Ape", "cat", "cat2", "dog", "zebra"]
PIXELS = {name.split("/")[-1]: RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8) for name in NAMES}


def images_of(path, variable=None):
    return open_images(ImageSet(path=path, variable=variable))


def pixels_of(images):
    loaded = [images.load(i) for i in range(len(images))]
    assert {image.mode for image in loaded} <= {"RGB"}
    return np.array([np.asarray(image) for image in loaded])


@pytest.fixture
def folder(tmp_path):
    """A folder with images in subfolders and with other files."""
    folder = tmp_path / "photos"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[name.split("/")[-1]]).save(folder / f"{name}.png")
    (folder / "cat2.png").rename(folder / "cat2.PNG")
    (folder / "readme.txt").write_text("not an image")
    (folder / "b" / "._dog.png").write_bytes(b"resource fork, as macOS leaves it in copies")
    return folder


def packed(folder, kind):
    if kind == "folder":
        return folder
    path = folder.parent / f"photos.{kind}"
    files = sorted(folder.rglob("*"), reverse=True)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(folder), recursive=False)
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_images_of_a_folder_or_archive(kind, folder):
    images = images_of(packed(folder, kind))
    assert images.ids == SORTED
    np.testing.assert_array_equal(pixels_of(images), [PIXELS[i] for i in SORTED])
    np.testing.assert_array_equal(images.load(3), PIXELS["dog"])  # in any order, and again


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "mat"])
@pytest.mark.parametrize("shape", [(12, 5, 7, 3), (12, 5, 7), (1, 5, 7, 3), (3, 5, 3)])
def test_images_of_an_array(kind, shape, tmp_path):
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / f"photos.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, photos=array)
    elif kind == "mat":
        scipy.io.savemat(path, {"photos": array})
    else:
        with h5py.File(path, "w") as file:
            file["photos"] = array
    images = images_of(path)
    assert len(images) == shape[0]
    assert images.ids == sorted(images.ids)
    assert (images.ids[0], images.ids[-1]) == {
        12: ("image01", "image12"),
        3: ("image1", "image3"),
        1: ("image1", "image1"),
    }[shape[0]]
    rgb = array if len(shape) == 4 else np.repeat(array[..., None], 3, axis=-1)
    np.testing.assert_array_equal(pixels_of(images), rgb)


@pytest.mark.parametrize("n", [2, 3, 12])
@pytest.mark.parametrize("kind", ["v5", "v73", "npy"])
def test_images_along_the_last_axis(kind, n, tmp_path):
    """MATLAB stacks pictures as height x width x 3 x image."""
    array = RNG.integers(0, 256, (n, 5, 7, 3), dtype=np.uint8)
    stack = np.moveaxis(array, 0, -1)
    path = tmp_path / ("photos.npy" if kind == "npy" else "photos.mat")
    if kind == "npy":
        np.save(path, stack)
    elif kind == "v5":
        scipy.io.savemat(path, {"photos": stack})
    else:
        with h5py.File(path, "w") as file:
            file["photos"] = stack.T
            file["photos"].attrs["MATLAB_class"] = np.bytes_("uint8")
    images = images_of(path)
    assert len(images) == n
    np.testing.assert_array_equal(pixels_of(images), array)


def test_axes_of_images_are_named_where_their_shape_does_not_tell(tmp_path):
    array = RNG.integers(0, 256, (12, 6, 6), dtype=np.uint8)
    path = tmp_path / "a.npy"
    np.save(path, np.moveaxis(array, 0, -1))
    with pytest.raises(RepbiasError, match=r"which axis is which .*Set 'axes', such as \[height"):
        images_of(path)
    images = open_images(ImageSet(path=path, axes=["height", "width", "image"]))
    np.testing.assert_array_equal(pixels_of(images), np.repeat(array[..., None], 3, axis=-1))
    with pytest.raises(RepbiasError, match=r"axes names 4 axes .* the array has 3"):
        open_images(ImageSet(path=path, axes=["image", "height", "width", "colour"]))
    with pytest.raises(ValidationError, match="name image, height and width"):
        ImageSet(path=path, axes=["height", "width"])
    np.save(path, array / 255)
    with pytest.raises(RepbiasError, match=r"uint8, of 0 to 255, found float64 .* im2uint8"):
        images_of(path)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7)])
@pytest.mark.parametrize("n", [1, 11])
def test_images_of_a_matlab_structure(shape, n, tmp_path):
    """The format of the 92 images: a 1 x n structure with an image in a field."""
    arrays = RNG.integers(0, 256, (n, *shape), dtype=np.uint8)
    structure = np.empty((1, n), dtype=[("image", object), ("name", object)])
    for i, array in enumerate(arrays):
        structure[0, i] = (array, f"object {i}")
    scipy.io.savemat(tmp_path / "photos.mat", {"stimuli": structure})
    images = images_of(tmp_path / "photos.mat", "stimuli.image")
    assert len(images) == n
    rgb = arrays if len(shape) == 3 else np.repeat(arrays[..., None], 3, axis=-1)
    np.testing.assert_array_equal(pixels_of(images), rgb)


FACES = np.array([1, 0, 0, 1] * 3, np.uint8)
KINDS = np.array(["body part", "face", "", "tree"] * 3)
SIZES = np.linspace(-1, 1, 12)


def with_columns(path):
    """Write twelve images and three properties in the form that each kind of file has."""
    arrays = {"face": FACES.astype(bool), "kind": KINDS, "size": SIZES}
    pixels = RNG.integers(0, 256, (12, 5, 7, 3), dtype=np.uint8)
    if path.suffix == ".npz":
        np.savez(path, image=pixels, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["image"] = pixels
            file["face"], file["size"] = FACES, SIZES[:, None]
            file["kind"] = KINDS.astype(object)
    elif path.stem == "structure":
        structure = np.empty((1, 12), [("image", "O"), ("face", "O"), ("kind", "O"), ("size", "O")])
        for i in range(12):
            structure[0, i] = (pixels[i], FACES[i], KINDS[i], SIZES[i])
        scipy.io.savemat(path, {"stimuli": structure})
    else:
        cells = KINDS.astype(object)[:, None]
        scipy.io.savemat(path, {"image": pixels, "face": FACES, "kind": cells, "size": SIZES})
    prefix = "stimuli." if path.stem == "structure" else ""
    return ImageSet(
        path=path,
        variable=f"{prefix}image",
        columns={name: f"{prefix}{name}" for name in arrays},
    )


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.mat", "structure.mat"])
def test_columns_of_an_array_file(name, tmp_path):
    """They are in the order of the images, also where some of these are left out."""
    spec = with_columns(tmp_path / name)
    images = open_images(spec)
    assert [v.dtype.kind for v in images.columns.values()] == ["i", "U", "f"]
    np.testing.assert_array_equal(images.columns["face"], FACES)
    np.testing.assert_array_equal(images.columns["kind"], KINDS)
    np.testing.assert_array_equal(images.columns["size"], SIZES)
    kept = open_images(spec.model_copy(update={"exclude": ["image10", "image01"]}))
    rows = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert kept.ids == [images.ids[i] for i in rows]
    for column, values in kept.columns.items():
        np.testing.assert_array_equal(values, images.columns[column][rows])
    assert kept.cell(0, "kind") == "stimulus 'image02', column 'kind'"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros(11), "one value for each of 12 images, found an array of shape (11,)"),
        (np.zeros((12, 2)), "one value for each of 12 images, found an array of shape (12, 2)"),
        (np.zeros(12, complex), "expected numbers or text, found complex128"),
        (np.zeros(12, "datetime64[s]"), "expected numbers or text, found datetime64[s]"),
    ],
)
def test_columns_that_do_not_fit_the_images(values, found, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, image=np.zeros((12, 5, 7, 3), np.uint8), face=values)
    with pytest.raises(RepbiasError) as error:
        open_images(ImageSet(path=path, variable="image", columns={"is_face": "face"}))
    assert str(error.value).startswith(f"{path}: column 'is_face' (face): ")
    assert found in str(error.value)


def test_a_column_whose_variable_does_not_exist(tmp_path):
    spec = with_columns(tmp_path / "structure.mat")
    with pytest.raises(RepbiasError, match="no field 'fase'; did you mean 'face'"):
        open_images(spec.model_copy(update={"columns": {"face": "stimuli.fase"}}))


def test_columns_need_a_file_with_several_arrays_and_no_table(folder, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((12, 5, 7, 3), np.uint8))
    table = tmp_path / "stimuli.csv"
    table.write_text("stimulus_id,face\n")
    for settings, problem in (
        ({"path": folder}, "photos; expected a file that holds several arrays"),
        ({"path": tmp_path / "a.npy"}, "a.npy; expected a file that holds several arrays"),
        ({"table": table}, "not given; expected a file that holds several arrays"),
    ):
        with pytest.raises(ValidationError, match=problem):
            ImageSet(**settings, columns={"face": "face"})
    spec = with_columns(tmp_path / "a.npz")
    with pytest.raises(ValidationError, match="or a table, not both"):
        ImageSet(path=spec.path, table=table, columns=spec.columns)
    for name in ("stimulus_id", "a/b", ""):
        with pytest.raises(ValidationError, match="cannot name a column"):
            ImageSet(path=spec.path, columns={name: "face"})


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_rgb(mode, tmp_path):
    image = Image.new("RGB", (4, 4), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 4, 2))
    image.convert(mode).save(tmp_path / ("x.tif" if mode == "CMYK" else "x.png"))
    (pixels,) = pixels_of(images_of(tmp_path))
    np.testing.assert_array_equal(pixels[:2], 0)
    np.testing.assert_array_equal(pixels[2:], 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "L"])
def test_the_alpha_channel_of_an_image(mode, tmp_path):
    image = Image.new("RGBA", (4, 3), (255, 255, 255, 0))
    image.paste((10, 20, 30, 200), (0, 0, 4, 2))
    image.convert(mode).save(tmp_path / "x.png")
    alpha = images_of(tmp_path).load_alpha(0)
    if mode in ("RGB", "L"):
        assert alpha is None
    else:
        np.testing.assert_array_equal(alpha, np.repeat([200, 200, 0], 4).reshape(3, 4))


def test_the_alpha_channel_of_a_damaged_image_is_refused(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (9, 9, 4), dtype=np.uint8)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(RepbiasError, match=r"x\.png is not a readable image"):
        images_of(tmp_path).load_alpha(0)


def test_images_are_decoded_only_when_asked_for(folder):
    (folder / "a" / "broken.png").write_bytes(b"no image")
    images = images_of(folder)
    assert images.ids == sorted([*SORTED, "broken"])
    np.testing.assert_array_equal(images.load(0), PIXELS["Ape"])
    with pytest.raises(RepbiasError, match=r"broken\.png"):
        images.load(images.ids.index("broken"))


def test_a_folder_in_an_archive_is_not_an_image(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.mkdir("scans.png")
        Image.fromarray(PIXELS["cat"]).save(tmp_path / "cat.png")
        archive.write(tmp_path / "cat.png", "scans.png/cat.png")
    assert images_of(tmp_path / "photos.zip").ids == ["cat"]


def test_images_of_16_bits_are_refused(tmp_path):
    """Pillow would convert them to pure black and white."""
    gradient = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(gradient).save(tmp_path / "deep.png")
    with pytest.raises(RepbiasError, match=r"deep\.png has more than 8 bits"):
        open_images(ImageSet(path=tmp_path)).load(0)


# Tables of stimuli.


def with_table(tmp_path, text, images=("a", "b", "c")):
    for name in images:
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "stimuli.csv").write_text(text)
    return open_images(ImageSet(path=tmp_path if images else None, table=tmp_path / "stimuli.csv"))


def test_the_columns_of_a_table_follow_the_sorted_ids(tmp_path):
    stimuli = with_table(tmp_path, "size,stimulus_id,kind\n3,c,animal\n1,a,NA\n2,b,tool\n")
    assert stimuli.ids == ["a", "b", "c"]
    assert stimuli.columns["size"].tolist() == [1, 2, 3]
    assert stimuli.columns["kind"].tolist() == ["", "tool", "animal"]
    assert stimuli.load(0).size == (4, 4)


def test_an_empty_cell_does_not_make_text_of_numbers(tmp_path):
    stimuli = with_table(tmp_path, "stimulus_id,size,kind\n a ,1.5,\nb,,x\nc,2.5,3\n")
    np.testing.assert_array_equal(stimuli.columns["size"], [1.5, np.nan, 2.5])
    assert stimuli.columns["kind"].tolist() == ["", "x", "3"]


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "N/A", "nan", "NaN", "<NA>", "#N/A", "-nan"])
def test_missing_numbers_are_spelled_in_many_ways(cell, tmp_path):
    stimuli = with_table(tmp_path, f"stimulus_id,size,kind\na,1,x\nb,{cell},{cell}\nc,4,none\n")
    np.testing.assert_array_equal(stimuli.columns["size"], [1, np.nan, 4])
    assert stimuli.columns["kind"].tolist() == ["x", "", "none"]
    assert stimuli.cell(1, "size") == (
        f"{tmp_path / 'stimuli.csv'}: line 3, stimulus 'b', column 'size'"
    )


def test_a_table_may_be_separated_by_tabs_and_end_with_empty_rows(tmp_path):
    (tmp_path / "s.tsv").write_text("stimulus_id\tsize\nb\t2\n\t\na\t1\n\t\n")
    stimuli = open_images(ImageSet(table=tmp_path / "s.tsv"))
    assert stimuli.ids == ["a", "b"]
    assert stimuli.columns["size"].tolist() == [1, 2]
    assert stimuli.lines.tolist() == [4, 2]


def test_stimuli_need_not_be_images(tmp_path):
    stimuli = with_table(tmp_path, "stimulus_id,loud\n10,0.5\n9,1\n", images=())
    assert stimuli.ids == ["10", "9"]
    assert stimuli.load is None
    assert stimuli.columns["loud"].tolist() == [0.5, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stimulus,x\na,1\n", "to stimulus_id, which may be 'stimulus' "),
        ("stimulus_id,x\na,1\na,2\nb,1\nc,1\n", "the stimulus 'a' has two rows"),
        ("stimulus_id,x\na,1\nb,1\n", "stimuli.csv: no row for 1 of 3 stimuli: 'c'"),
        ("stimulus_id,x\na,1\nb,1\nc,1\nd,1\n", "no image for 1 of 4 stimuli: 'd'"),
        ("", "the file is empty"),
        ("stimulus_id,x\n", "holds no rows below the header"),
        ("stimulus_id,x\na,1,\nb,1,\nc,1,\n", "line 2 has 3 cells for 2 columns"),
        ("stimulus_id,x,x\na,1,2\nb,1,2\nc,1,2\n", "two columns are called 'x'"),
        ("stimulus_id,a/b\na,1\nb,1\nc,1\n", "the column name 'a/b' contains a /"),
        ("stimulus_id,x\na,1\n,1\nc,1\n", "line 3, column 'stimulus_id': is empty"),
        ("stimulus_id,x\na,1\nNA,1\nc,1\n", "line 3, column 'stimulus_id': holds 'NA', which"),
    ],
)
def test_a_table_that_does_not_fit_the_images_is_refused(tmp_path, text, message):
    with pytest.raises(RepbiasError, match=message):
        with_table(tmp_path, text)


def test_stimuli_are_left_out_of_a_set(tmp_path):
    text = "stimulus_id,size\na,1\nblank,0\nc,3\n"
    with_table(tmp_path, text, images=("a", "blank", "c"))
    for settings in (
        {"path": tmp_path},
        {"table": tmp_path / "stimuli.csv"},
        {"path": tmp_path, "table": tmp_path / "stimuli.csv"},
    ):
        images = open_images(ImageSet(**settings, exclude=["blank"]))
        assert images.ids == ["a", "c"]
        if "table" in settings:
            assert images.columns["size"].tolist() == [1, 3]
            assert images.lines.tolist() == [2, 4]
        if "path" in settings:
            assert images.load(1).size == (4, 4)
    with pytest.raises(RepbiasError, match=r"exclude: no stimulus 'blanc'; did you mean 'blank'\?"):
        open_images(ImageSet(path=tmp_path, exclude=["blanc"]))


def test_a_set_of_stimuli_has_images_or_a_table():
    with pytest.raises(ValidationError, match="give a path"):
        ImageSet()
