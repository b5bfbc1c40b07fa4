from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mltk.core.preprocess.utils import image as by_reference_name
from mltk.errors import DatasetError
from mltk_plugin_image._files import ReadingRules, read_image
from mltk_plugin_image.utils import read_image_file, write_image_file


@pytest.fixture
def pixels():
    smooth = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(smooth).resize((24, 20), Image.Resampling.BICUBIC))


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., :3] @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "tif", "tiff", "webp"])
def test_lossless_formats_give_the_pixels(tmp_path, pixels, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(pixels).save(path, lossless=True)
    assert np.array_equal(read_image(path), pixels)


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb", "rgba"])
@pytest.mark.parametrize("stored", ["L", "RGB", "CMYK"])
def test_jpeg_files_agree_with_pillow(tmp_path, pixels, stored, color_mode):
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).convert(stored).save(path, quality=95)
    expected = Image.open(path).convert({"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[color_mode])
    got = read_image(path, color_mode)
    assert got.dtype == np.uint8
    assert np.abs(got.squeeze().astype(int) - np.asarray(expected)).max() <= 2


def test_jpeg_files_are_resized_like_any_other(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    image = Image.open(tmp_path / "a.jpg")
    expected = np.asarray(image.resize((9, 7), Image.Resampling.BILINEAR))
    assert np.abs(read_image(tmp_path / "a.jpg", "rgb", (7, 9)).astype(int) - expected).max() <= 2


def test_a_palette_with_transparency_becomes_rgb_without_a_warning(tmp_path, pixels):
    path = tmp_path / "a.png"
    image = Image.fromarray(pixels).quantize(64)
    image.save(path, transparency=bytes(range(0, 256, 4)))
    assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))
    assert read_image(path, "grayscale").shape == (20, 24, 1)


def test_sixteen_bits_are_brought_to_the_scale_of_eight(tmp_path):
    path = tmp_path / "a.png"
    deep = np.linspace(0, 65535, 48, dtype=np.uint16).reshape(6, 8)
    Image.fromarray(deep).save(path)
    image = read_image(path, "grayscale")
    assert image.dtype == np.float32
    assert image[..., 0] == pytest.approx(deep / 257, abs=1e-3)
    assert read_image(path, "rgb").shape == (6, 8, 3)
    assert read_image(path, "rgba")[..., 3].min() == 255


@pytest.fixture
def warned(caplog):
    """The warnings that were given, as one text."""
    caplog.set_level("WARNING", "mltk.data")
    return lambda: caplog.text


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_the_orientation_in_exif_data_is_applied_on_request_and_reported_by_default(
    tmp_path, pixels, ending, warned
):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{ending}"
    Image.fromarray(pixels).save(path, exif=exif)
    assert read_image(path, rules=ReadingRules(exif_orientation=False)).shape == pixels.shape
    assert not warned()
    assert read_image(path).shape == pixels.shape
    assert "orientation in their EXIF data" in warned() and f"a.{ending}" in warned()
    turned = read_image(path, rules=ReadingRules(exif_orientation=True))
    assert turned.shape == (24, 20, 3)
    assert np.abs(turned.astype(int) - np.rot90(pixels, -1)).mean() < (0.1 if ending == "png" else 20)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_orientation_of_tiff_files_is_part_of_the_format(tmp_path, pixels, bits, warned):
    values = pixels.astype(np.uint16) * 257 if bits == 16 else pixels
    cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1])
    content = (tmp_path / "a.tif").read_bytes()
    # OpenCV writes no orientation: turn another tag of one short value into it.
    tag = struct.pack("<HHIHH", 284, 3, 1, 1, 0)
    assert content.count(tag) == 1
    (tmp_path / "a.tif").write_bytes(content.replace(tag, struct.pack("<HHIHH", 274, 3, 1, 6, 0)))
    assert read_image(tmp_path / "a.tif") == pytest.approx(np.rot90(pixels, -1), abs=1e-3)
    assert not warned()


def test_every_orientation_is_turned_as_pillow_does(tmp_path, pixels):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        expected = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
        got = read_image(tmp_path / "a.png", rules=ReadingRules(exif_orientation=True))
        assert np.array_equal(got, np.asarray(expected))


@pytest.mark.parametrize("name", ["a.png", "a.webp", "gray_alpha.png"])
def test_transparent_images_are_laid_on_a_color_or_reported(tmp_path, pixels, name, warned):
    alpha = np.full(pixels.shape[:2], 64, np.uint8)
    image = Image.fromarray(np.dstack([pixels, alpha]))
    if name.startswith("gray"):
        image = image.convert("LA")
    image.save(tmp_path / name, lossless=True)
    stored = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / name, rules=ReadingRules(alpha_background="ignore")), stored)
    assert np.array_equal(read_image(tmp_path / name, "rgba")[..., 3], alpha)
    assert not warned()
    assert np.array_equal(read_image(tmp_path / name), stored)
    assert "alpha channel is dropped" in warned() and name in warned()
    laid = read_image(tmp_path / name, rules=ReadingRules(alpha_background=(255, 0, 100)))
    expected = stored * (64 / 255) + np.array([255, 0, 100]) * (191 / 255)
    assert np.abs(laid - expected).max() <= 1


def test_an_opaque_alpha_channel_is_not_reported(tmp_path, pixels, warned):
    Image.fromarray(pixels).convert("RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)
    assert not warned()


@pytest.mark.parametrize("name", ["gray.png", "color.png", "color.tif", "alpha.png"])
def test_twelve_bits_in_sixteen_are_reported_and_scaled_on_request(tmp_path, name, warned):
    shape = {"gray": (6, 8), "color": (6, 8, 3), "alpha": (6, 8, 4)}[name.split(".")[0]]
    deep = np.random.default_rng(0).integers(0, 4096, shape).astype(np.uint16)
    if deep.ndim == 3:
        deep[..., 3:] = 4095
    cv2.imwrite(str(tmp_path / name), deep)
    mode = "grayscale" if deep.ndim == 2 else "rgb"
    expected = deep[..., None] if deep.ndim == 2 else deep[..., [2, 1, 0]]
    image = read_image(tmp_path / name, mode, rules=ReadingRules(value_bits=12))
    assert image.dtype == np.float32
    assert image == pytest.approx(expected * (255 / 4095), abs=1e-3)
    assert not warned()
    assert read_image(tmp_path / name, mode) == pytest.approx(expected / 257, abs=1e-3)
    assert "use 12 bits at most" in warned() and name in warned()
    half = read_image(tmp_path / name, mode, (3, 4), "box", ReadingRules(value_bits=12))
    assert half[0, 0] == pytest.approx(image[:2, :2].mean(axis=(0, 1)), abs=1e-3)


def test_integers_beyond_the_number_of_bits_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 70000]], np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DatasetError, match=r"a\.tif.*0 to 70,000.* 0 to 65,535.*value_bits"):
        read_image(tmp_path / "a.tif", "grayscale")
    deep = read_image(tmp_path / "a.tif", "grayscale", rules=ReadingRules(value_bits=17))
    assert deep[0, 1, 0] == pytest.approx(70000 * 255 / (2**17 - 1))


@pytest.mark.parametrize("ending", ["npy", "tif"])
def test_real_numbers_are_taken_as_they_are_and_reported_if_out_of_range(tmp_path, ending, warned):
    def write(values: np.ndarray) -> str:
        path = str(tmp_path / f"a{values.min()}.{ending}")
        if ending == "npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
        return path

    values = np.random.default_rng(0).uniform(0, 255, (5, 6)).astype(np.float32)
    assert np.array_equal(read_image(write(values), "grayscale")[..., 0], values)
    unit = write(values / 255)
    read_image(unit, "grayscale", rules=ReadingRules(value_range=(0, 1)))
    assert not warned()
    read_image(unit, "grayscale")
    assert "from 0 to 1, although" in warned()
    read_image(write(values - 9), "grayscale")
    assert "values outside of value_range" in warned()
    values[2, 3] = np.nan
    with pytest.raises(DatasetError, match=rf"nan\.{ending}.*NaN or infinity"):
        read_image(write(values), "grayscale")


def test_the_first_frame_of_an_animation_is_used_and_reported(tmp_path, pixels, warned):
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(read_image(tmp_path / "a.webp"), pixels)
    assert "several frames" in warned()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_half_a_file_that_was_filled_up_with_zeros_is_refused(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{ending}")
    content = (tmp_path / f"a.{ending}").read_bytes()
    half = len(content) // 2
    (tmp_path / f"a.{ending}").write_bytes(content[:half] + bytes(len(content) - half))
    with pytest.raises(DatasetError, match=rf"a\.{ending}' cannot be read: .*truncated"):
        read_image(tmp_path / f"a.{ending}")


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"])
def test_images_are_resized_as_pillow_does(tmp_path, pixels, method):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = Image.fromarray(pixels).resize((11, 8), Image.Resampling[method.upper()])
    assert np.array_equal(read_image(tmp_path / "a.png", "rgb", (8, 11), method), np.asarray(expected))


def test_none_refuses_another_size(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", "rgb", (20, 24), "none").shape == (20, 24, 3)
    with pytest.raises(DatasetError, match=r"a\.png.* 20×24 .*instead of 8×11"):
        read_image(tmp_path / "a.png", "rgb", (8, 11), "none")


def test_arrays_in_files_are_taken_as_they_are(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float64)
    np.save(tmp_path / "a.npy", values)
    image = read_image(tmp_path / "a.npy", "grayscale", (4, 5))
    assert image.dtype == np.float32
    assert np.array_equal(image[..., 0], values.astype(np.float32))
    with pytest.raises(DatasetError, match=r"a\.npy.*4×5"):
        read_image(tmp_path / "a.npy", "grayscale", (8, 8))
    np.save(tmp_path / "b.npy", np.zeros((4, 5, 2)))
    with pytest.raises(DatasetError, match=r"b\.npy.*\(4, 5, 2\)"):
        read_image(tmp_path / "b.npy", "rgb")


def test_a_file_that_runs_code_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(DatasetError, match=r"a\.npy"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, pixels, ending, part):
    path = tmp_path / f"cut.{ending}"
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(DatasetError, match=rf"cut\.{ending}' cannot be read: ") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.png", b"hello", "not an image"),
        ("text.jpg", b"\xff\xd8\xff\xd9", "."),
        ("a.npy", b"hello", "."),
    ],
)
def test_a_file_of_another_kind_is_an_error_that_names_it(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{name}.*{reason}"):
        read_image(tmp_path / name)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.png.*does not exist"):
        read_image(tmp_path / "gone.png")


def test_written_images_are_read_back(tmp_path, pixels):
    path = write_image_file(tmp_path / "a.png", pixels)
    assert path == str(tmp_path / "a.png")
    assert np.array_equal(read_image_file(path, return_numpy=True), pixels)
    assert read_image_file(path, target_channels=1, return_numpy=True)[..., 0] == pytest.approx(
        luminance(pixels), abs=1
    )
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_floating_point_images_are_stretched_unless_told_otherwise(tmp_path):
    image = np.array([[0.0, 0.5], [1.0, 0.25]])
    assert read_image_file(write_image_file(tmp_path / "a.png", image), return_numpy=True)[
        ..., 0
    ].tolist() == [
        [0, 128],
        [255, 64],
    ]
    raw = write_image_file(tmp_path / "b.png", image * 100 + 200, auto_scale=False)
    assert read_image_file(raw, return_numpy=True)[..., 0].tolist() == [[200, 250], [255, 225]]
    flat = write_image_file(tmp_path / "c.png", np.full((2, 2), 7.0))
    assert read_image_file(flat, return_numpy=True).max() == 0


def test_a_folder_gets_numbered_files(tmp_path, pixels):
    batch = np.stack([pixels, 255 - pixels])
    paths = write_image_file(tmp_path / "out", batch, batch_size=2)
    assert [p.rsplit("/", 1)[1] for p in paths] == ["image-0.png", "image-1.png"]
    assert np.array_equal(read_image_file(paths[1], return_numpy=True), 255 - pixels)
    assert write_image_file(tmp_path / "out", pixels).endswith("image-2.png")


def test_the_reference_imports_are_these_functions():
    assert by_reference_name.read_image_file is read_image_file
    assert by_reference_name.write_image_file is write_image_file


def test_both_work_inside_a_tf_data_pipeline(tmp_path, pixels):
    tf = pytest.importorskip("tensorflow")
    path = write_image_file(tmp_path / "a.png", pixels)
    assert np.array_equal(read_image_file(path).numpy(), pixels)

    def invert(path):
        image = 255 - read_image_file(path, target_channels=3)
        return write_image_file(tf.strings.regex_replace(path, "a.png", "b.png"), image), image

    (written, image), *_ = list(tf.data.Dataset.from_tensor_slices([path]).map(invert))
    assert written.numpy().decode() == str(tmp_path / "b.png")
    assert np.array_equal(read_image_file(tmp_path / "b.png", return_numpy=True), image.numpy())


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_image_that_would_take_much_memory_is_refused(tmp_path, monkeypatch, ending):
    from PIL import Image

    from mltk_plugin_image import _files

    path = tmp_path / f"large.{ending}"
    Image.new("RGB", (60, 50)).save(path)
    assert read_image(path).shape == (50, 60, 3)
    monkeypatch.setattr(_files, "MAX_PIXELS", 2999)
    with pytest.raises(
        DatasetError, match=r"large.* cannot be used: it has more than .* Resize or remove it"
    ):
        read_image(path)
    monkeypatch.undo()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    if ending != "jpg":
        with pytest.raises(DatasetError, match="it has more than 40 million pixels"):
            read_image(path)


@pytest.fixture(scope="module")
def image_files():
    """Small images of all kinds, by ending."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    files = []
    for ending, mode, more in (
        ("png", "RGB", {}),
        ("png", "P", {}),
        ("jpg", "RGB", {}),
        ("jpg", "CMYK", {"progressive": True}),
        ("bmp", "RGB", {}),
        ("tif", "F", {}),
        ("tif", "RGB", {"compression": "tiff_lzw"}),
        ("ppm", "RGB", {}),
    ):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending), **more)
        files.append((ending, buffer.getvalue()))
    for array in (pixels, pixels.astype(np.float32), pixels.astype(object)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        files.append(("npy", buffer.getvalue()))
    return files


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_images_of_every_kind_are_read_or_refused_in_one_line(tmp_path_factory, image_files, data):
    ending, content = data.draw(st.sampled_from(image_files))
    spoilt = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 100) | st.integers(0, len(spoilt) - 1))
        spoilt[place : place + data.draw(st.sampled_from([0, 1, 4]))] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("fuzz") / f"a.{ending}"
    path.write_bytes(spoilt)
    try:
        image = read_image(path, data.draw(st.sampled_from(["rgb", "rgba", "grayscale"])), (16, 16))
    except DatasetError as e:
        assert len(str(e).splitlines()) == 1
    else:
        assert image.shape[:2] == (16, 16)
