"""Statistics of images against closed forms, CIE coordinates and their symmetries."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from repbias.base.spec import RepbiasError
from repbias.stimuli.images import Images, open_images
from repbias.stimuli.spec import ImageSet
from repbias.stimuli.statistics import STATISTICS, Picture, image_statistics

DOCS = Path(__file__).parents[2] / "docs"
#: CIELAB of the primaries of sRGB (IEC 61966-2-1; D65, 2° observer), and their CIE Y.
PRIMARIES = {
    (255, 0, 0): ((53.24, 80.09, 67.20), 0.2126),
    (0, 255, 0): ((87.73, -86.18, 83.18), 0.7152),
    (0, 0, 255): ((32.30, 79.19, -107.86), 0.0722),
}
RNG = np.random.default_rng(0)


def linear(level):
    """The luminance of a grey level by the transfer function of sRGB (above its linear part)."""
    return ((np.asarray(level) / 255 + 0.055) / 1.055) ** 2.4


def grey(luminance):
    """Grey pixels of given luminances, to the nearest of 256 levels."""
    level = np.rint(255 * (1.055 * np.asarray(luminance) ** (1 / 2.4) - 0.055)).astype(np.uint8)
    return np.repeat(level[..., None], 3, axis=-1)


def uniform(rgb, shape=(6, 9)):
    return np.full((*shape, 3), rgb, np.uint8)


def grating(cycles, shape, axis=1, michelson=0.8, mean=0.4):
    """A sine grating; `cycles` along the axis."""
    position = (np.arange(shape[axis]) + 0.5) / shape[axis]
    wave = mean * (1 + michelson * np.cos(2 * np.pi * cycles * position + 1))
    return grey(np.broadcast_to(wave if axis else wave[:, None], shape))


def checkerboard(levels, squares=8, side=4):
    rows, columns = np.indices((squares * side, squares * side)) // side
    return uniform(0, rows.shape) + np.asarray(levels, np.uint8)[(rows + columns) % 2, None]


def set_of(*pixels):
    return Images([f"im{i}" for i in range(len(pixels))], lambda i: Image.fromarray(pixels[i]))


def measured(name, *pixels):
    """A statistic of single images, whether or not it differs between them."""
    return [STATISTICS[name].compute(Picture(p)) for p in pixels]


def test_the_luminance_of_greys_is_linear_in_light():
    found = image_statistics(set_of(*(uniform(level) for level in (0, 64, 128, 255))))
    np.testing.assert_allclose(found["luminance"], [0, *linear([64, 128]), 1], atol=1e-5)
    assert linear(128) == pytest.approx(0.2159, abs=1e-4)
    assert list(found) == ["luminance"]  # contrast and colour are 0, spatial frequency undefined


@pytest.mark.parametrize("levels", [(0, 255), (64, 192), (100, 101)])
def test_the_contrast_of_a_checkerboard(levels):
    """Its RMS contrast is its Michelson contrast."""
    low, high = (0 if level == 0 else linear(level) for level in levels)
    (contrast,) = measured("contrast", checkerboard(levels))
    assert contrast == pytest.approx((high - low) / (high + low), rel=1e-4)


def test_the_contrast_of_gratings_and_of_uniform_images():
    images = [grating(4, (64, 64), michelson=m) for m in (0.2, 0.5, 0.9)]
    expected = np.array([0.2, 0.5, 0.9]) / np.sqrt(2)
    np.testing.assert_allclose(measured("contrast", *images), expected, atol=0.002)
    np.testing.assert_allclose(measured("contrast", uniform(0), uniform(77)), 0, atol=1e-12)


@pytest.mark.parametrize(("rgb", "coordinates"), PRIMARIES.items())
def test_the_colours_of_the_primaries(rgb, coordinates):
    (_, a, b), y = coordinates
    half = uniform(rgb, (4, 8))
    half[:, 4:] = 128
    found = image_statistics(set_of(uniform(rgb), half))
    np.testing.assert_allclose(found["colour"], [np.hypot(a, b), np.hypot(a, b) / 2], atol=0.01)
    np.testing.assert_allclose(found["redness"], [a, a / 2], atol=0.01)
    np.testing.assert_allclose(found["yellowness"], [b, b / 2], atol=0.01)
    np.testing.assert_allclose(found["luminance"], [y, (y + linear(128)) / 2], atol=1e-4)


def test_colours_may_cancel_but_not_their_chroma():
    """Red and green, mixed pixel by pixel."""
    image = uniform((255, 0, 0), (2, 4))
    image[:, ::2] = (0, 255, 0)
    assert measured("redness", image)[0] == pytest.approx((80.09 - 86.18) / 2, abs=0.01)
    chroma = [np.hypot(*lab[1:]) for lab, _ in PRIMARIES.values()][:2]
    assert measured("colour", image)[0] == pytest.approx(np.mean(chroma), abs=0.01)


@pytest.mark.parametrize("cycles", [3, 8, 20])
@pytest.mark.parametrize("n", [64, 101])
def test_the_spatial_frequency_of_a_grating(cycles, n):
    """A Hann window spreads a line of the spectrum to its neighbours, with a quarter of its energy.

    That is so on either axis, hence 16 : 4 : 1 for the line, its neighbours and the diagonal ones.
    """
    offsets, weights = [-1, 0, 1], [1 / 6, 4 / 6, 1 / 6]
    expected = sum(
        weight * other * np.log2(np.hypot(cycles + along, across))
        for along, weight in zip(offsets, weights, strict=True)
        for across, other in zip(offsets, weights, strict=True)
    )
    found = measured("spatial_frequency", *(grating(cycles, (n, n), axis) for axis in (0, 1)))
    np.testing.assert_allclose(found, expected, atol=0.005)
    assert expected == pytest.approx(np.log2(cycles), abs=0.06)


def test_spatial_frequencies_are_relative_to_the_longer_side():
    """Neither resolution nor the shape of an image matters."""
    sizes = [(48, 48), (96, 96), (200, 200), (60, 120), (120, 60)]
    found = measured("spatial_frequency", *(grating(12, s, int(np.argmax(s))) for s in sizes))
    np.testing.assert_allclose(found, np.log2(12), atol=0.01)
    (along_shorter,) = measured("spatial_frequency", grating(12, (60, 120), axis=0))
    assert along_shorter == pytest.approx(np.log2(24), abs=0.01)


def test_a_sum_of_gratings_has_the_mean_frequency_weighted_by_energy():
    x = np.arange(128) / 128
    wave = 0.4 + 0.2 * np.cos(2 * np.pi * 8 * x) + 0.1 * np.cos(2 * np.pi * 32 * x)
    (found,) = measured("spatial_frequency", grey(np.broadcast_to(wave, (128, 128))))
    assert found == pytest.approx((4 * 3 + 1 * 5) / 5, abs=0.02)


def test_a_gradient_has_low_frequencies_although_its_ends_do_not_match():
    """Without the window, 0.8: the step between the ends would have energy at all frequencies."""
    (found,) = measured("spatial_frequency", grey(np.tile(np.linspace(0.1, 0.9, 256), (256, 1))))
    assert 0 < found < 0.5


def test_images_may_differ_in_size():
    sizes = [(5, 7), (32, 32), (40, 16), (1, 3)]
    pixels = [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    found = image_statistics(set_of(*pixels))
    assert list(found) == [name for name in STATISTICS if name != "size"]
    for name, values in found.items():
        assert values.dtype == np.float64
        assert values.tolist() == measured(name, *pixels)


# Alpha channels: the share of the image that the object covers.


def disc(radius, n=100):
    rows, columns = np.indices((n, n)) - (n - 1) / 2
    return np.hypot(rows, columns) <= radius


def save_discs(folder, radii, mode="RGBA"):
    for radius in radii:
        image = Image.new("RGBA", (100, 100), (200, 80, 40, 0))
        image.putalpha(Image.fromarray(np.where(disc(radius), 255, 0).astype(np.uint8)))
        image.convert(mode).save(folder / f"disc{radius}.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_the_size_of_a_disc(mode, tmp_path):
    save_discs(tmp_path, (10, 20, 40), mode)
    found = image_statistics(open_images(ImageSet(path=tmp_path)))
    assert list(found) == ["size"]  # what is stored below transparent pixels is the same
    np.testing.assert_allclose(found["size"], np.pi * np.array([0.1, 0.2, 0.4]) ** 2, rtol=0.02)
    np.testing.assert_allclose(found["size"], [disc(radius).mean() for radius in (10, 20, 40)])


def test_half_transparent_pixels_count_half(tmp_path):
    for i, alpha in enumerate((0, 51, 255)):
        Image.new("RGBA", (4, 4), (9, 9, 9, alpha)).save(tmp_path / f"{i}.png")
    found = image_statistics(open_images(ImageSet(path=tmp_path)), ["size"])
    np.testing.assert_allclose(found["size"], [0, 0.2, 1])


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_may_have_a_transparent_colour(suffix, tmp_path):
    for i, rows in enumerate((1, 3)):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.paste(0, (0, 0, 4, rows))
        image.save(tmp_path / f"{i}.{suffix}", transparency=0)
    found = image_statistics(open_images(ImageSet(path=tmp_path)), ["size"])
    assert found["size"].tolist() == [0.75, 0.25]


def test_sizes_follow_the_stimuli_of_the_table_that_are_not_excluded(tmp_path):
    save_discs(tmp_path, (10, 20, 40))
    (tmp_path / "s.csv").write_text("stimulus_id,x\ndisc40,1\ndisc10,2\ndisc20,3\n")
    spec = ImageSet(path=tmp_path, table=tmp_path / "s.csv", exclude=["disc10"])
    found = image_statistics(open_images(spec))
    np.testing.assert_allclose(found["size"], [disc(radius).mean() for radius in (20, 40)])


def test_size_is_not_offered_without_alpha_channels(tmp_path, caplog):
    save_discs(tmp_path, (10, 20))
    Image.new("RGB", (50, 50), (1, 2, 3)).save(tmp_path / "plain.png")
    images = open_images(ImageSet(path=tmp_path))
    with caplog.at_level(logging.INFO):
        assert "size" not in image_statistics(images)
    assert "size is left out: it is defined for images with an alpha channel" in caplog.text
    with pytest.raises(RepbiasError, match=r"'size' is .* 1 of 3 are not, such as 'plain'"):
        image_statistics(images, ["luminance", "size"])
    assert "size" not in image_statistics(set_of(uniform(3), uniform(4)))


def test_opaque_images_have_no_size(tmp_path):
    for i in range(2):
        Image.new("RGBA", (4, 4), (i, i, i, 255)).save(tmp_path / f"{i}.png")
    assert list(image_statistics(open_images(ImageSet(path=tmp_path)))) == ["luminance"]


# What is left out, and what is refused.


def test_grey_images_have_no_statistics_of_colour(caplog):
    """The chroma of greys, .005 and less, grows with luminance; it is rounding of CIE's white."""
    greys = [grey(RNG.uniform(0.05, top, (8, 8))) for top in (0.1, 0.5, 1)]
    assert np.ptp(measured("colour", *greys)) > 1e-4
    with caplog.at_level(logging.INFO):
        found = image_statistics(set_of(*greys))
    assert list(found) == ["luminance", "contrast", "spatial_frequency"]
    for name in ("colour", "redness", "yellowness"):
        assert f"{name} is left out: it is the same for all images" in caplog.text


def test_spatial_frequency_is_undefined_for_a_blank_screen():
    images = set_of(grating(2, (32, 32)), grating(9, (32, 32)), uniform(128))
    assert list(image_statistics(images)) == ["luminance", "contrast"]
    with pytest.raises(RepbiasError, match=r"luminance is not uniform, which 1 of 3 .* 'im2'"):
        image_statistics(images, ["spatial_frequency"])


def test_statistics_are_chosen_by_name():
    images = set_of(checkerboard((0, 255)), uniform((10, 0, 0)))
    found = image_statistics(images, ["contrast", "luminance", "contrast"])
    assert list(found) == ["contrast", "luminance"]
    assert image_statistics(images, []) == {}
    with pytest.raises(RepbiasError, match="no image statistic 'color'; did you mean 'colour'"):
        image_statistics(images, ["color"])


def test_stimuli_that_are_not_images_have_no_statistics(tmp_path):
    (tmp_path / "sounds.csv").write_text("stimulus_id,pitch\na,1\nb,2\n")
    images = open_images(ImageSet(table=tmp_path / "sounds.csv"))
    with pytest.raises(RepbiasError, match=r"sounds\.csv: statistics need images"):
        image_statistics(images)


# Symmetries.

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(4))


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, SHAPES))
def test_mirrored_and_rotated_images_have_the_same_statistics(pixels):
    turned = [pixels, pixels[::-1], pixels[:, ::-1], np.rot90(pixels), np.rot90(pixels, 2)]
    pictures = [Picture(p[..., :3], p[..., 3]) for p in turned]
    for name, statistic in STATISTICS.items():
        first, *others = [statistic.compute(picture) for picture in pictures]
        np.testing.assert_allclose(others, first, rtol=1e-7, atol=1e-9, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, SHAPES), st.integers(2, 3))
def test_only_spatial_frequency_depends_on_where_the_pixels_are(pixels, times):
    """Nor does it matter how often each is repeated: resolution does not."""
    moved = RNG.permutation(pixels.reshape(-1, 4)).reshape(pixels.shape)
    larger = pixels.repeat(times, axis=0).repeat(times, axis=1)
    pictures = [Picture(p[..., :3], p[..., 3]) for p in (pixels, moved, larger)]
    for name in STATISTICS.keys() - {"spatial_frequency"}:
        first, *others = [STATISTICS[name].compute(picture) for picture in pictures]
        np.testing.assert_allclose(others, first, rtol=1e-7, atol=1e-9, err_msg=name)


def test_the_documentation_lists_all_statistics():
    page = (DOCS / "bring-your-recording.md").read_text()
    for name, statistic in STATISTICS.items():
        row = f"| `{name}` | {statistic.meaning} | {statistic.unit} | {statistic.defined} |"
        assert row in page
