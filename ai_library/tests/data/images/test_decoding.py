"""Images of every format and depth show what a person sees, and what was done for it is told."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, features

from ai_library.data.images.decoding import ENDS_EARLY, SCALED, SIXTEEN_BITS, decode, decode_pillow
from ai_library.data.images.grounds import ON_BLACK, ON_WHITE
from ai_library.data.images.reading import read_file, read_image


def drawing(size=(160, 120), **options):
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=(200, 30, 40))
    draw.line((0, 0, *size), fill=(20, 60, 180), width=5)
    return image


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def found(tmp_path, content, shape=(60, 80, 3)):
    (tmp_path / "image.jpg").write_bytes(content)
    return read_file(tmp_path / "image.jpg", shape)


def levels(tmp_path, values):
    Image.fromarray(values).save(tmp_path / "deep.tif")
    read = read_file(tmp_path / "deep.tif", (*values.shape, 1))
    return read.image[..., 0], read.remarks


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (96, 900), (1000, 5000), (31_000, 35_000), (0, 200)])
def test_sixteen_bits_are_scaled_by_the_range_that_they_use(tmp_path, low, high):
    values = np.linspace(low, high, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels, remarks = levels(tmp_path, values)
    wanted = np.linspace(0, 255, 64 * 64).reshape(64, 64)
    np.testing.assert_allclose(pixels, wanted, atol=255 / (high - low) + 0.5)
    assert remarks == (SCALED,)


def test_sixteen_bits_that_use_most_of_their_range_are_the_upper_eight(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (32, 32)).astype(np.uint16)
    values[0, :2] = 0, 65535
    pixels, remarks = levels(tmp_path, values)
    np.testing.assert_array_equal(pixels, values >> 8)
    assert remarks == (SIXTEEN_BITS,)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_in_which_zero_is_white_is_not_read_inverted(tmp_path, bits):
    levels = np.arange(256).reshape(16, 16).astype(np.uint8)
    stored = (255 - levels) if bits == 8 else (255 - levels.astype(np.uint16)) * 257
    path = tmp_path / "x-ray.tif"
    Image.fromarray(stored).save(path, tiffinfo={262: 1})
    content = bytearray(path.read_bytes())
    tag = struct.pack("<HHI", 262, 3, 1)
    place = content.index(tag) + len(tag)
    assert content[place] == 1  # black is zero
    content[place] = 0
    path.write_bytes(content)
    np.testing.assert_array_equal(decode(path, 1).pixels, levels)
    with Image.open(path) as image:
        np.testing.assert_array_equal(decode_pillow(image, 1).pixels, levels)


def test_integers_without_a_known_range_are_scaled_by_theirs(tmp_path):
    values = np.linspace(-7_000_000, 5_000_000, 32 * 32).reshape(32, 32).astype(np.int32)
    pixels, remarks = levels(tmp_path, values)
    assert (pixels[0, 0], pixels[-1, -1]) == (0, 255)
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    assert remarks == (SCALED,)


def test_a_defect_of_the_sensor_does_not_darken_the_rest(tmp_path):
    values = np.random.default_rng(0).integers(100, 400, (128, 128)).astype(np.uint16)
    values[5, 7] = 30_000
    pixels, _ = levels(tmp_path, values)
    assert pixels.std() > 60


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ink", [(0, 0, 0), (90, 90, 90), (170, 170, 170), (235, 235, 235), (255, 255, 255)])
def test_a_transparent_drawing_is_visible_on_its_ground(tmp_path, ink, channels):
    image = Image.new("RGBA", (40, 40), (255, 255, 255, 0))
    ImageDraw.Draw(image).ellipse((10, 10, 30, 30), fill=(*ink, 255))
    image.save(tmp_path / "image.png")
    read = read_file(tmp_path / "image.png", (40, 40, channels))
    assert np.abs(read.image[20, 20].astype(int) - read.image[2, 2]).min() >= 64
    assert read.remarks == ((ON_BLACK if ink[0] > 191 else ON_WHITE),)


@pytest.mark.parametrize("size", [(28, 28), (160, 120), (1600, 1200)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_whole(tmp_path, size, progressive, missing):
    content = encoded(drawing(size), "JPEG", progressive=progressive)
    whole, cut = found(tmp_path, content), found(tmp_path, content[:-missing])
    assert cut.remarks == (ENDS_EARLY,)
    np.testing.assert_array_equal(cut.image, whole.image)


def test_a_jpeg_that_lacks_a_few_bytes_is_read_as_far_as_it_goes(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8))
    content = encoded(noise, "JPEG")
    cut = found(tmp_path, content[: int(0.97 * len(content))], (200, 200, 3))
    assert cut.remarks == (ENDS_EARLY,)
    np.testing.assert_array_equal(cut.image[:180], found(tmp_path, content, (200, 200, 3)).image[:180])


@pytest.mark.parametrize("ground", ["white", "black"])
@pytest.mark.parametrize("part", [0.5, 0.8])
def test_a_jpeg_that_lacks_much_is_refused(tmp_path, ground, part):
    image = Image.new("RGB", (300, 300), ground)
    image.paste(drawing((300, 100)), (0, 0))
    content = encoded(image, "JPEG", quality=95)
    assert "ends too early" in found(tmp_path, content[: int(part * len(content) * 0.6)]).error


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
@pytest.mark.parametrize("name", ["image.avif", "image.jpg", "image.png"])
def test_avif_is_read_under_any_ending(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(drawing(), "AVIF", quality=95))
    difference = read_image(tmp_path / name, (120, 160, 3)).astype(int) - np.asarray(drawing())
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_is_read_or_named_as_what_it_is(tmp_path, brand):
    try:
        import pillow_heif
    except ModuleNotFoundError:
        content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(500)
        error = found(tmp_path, content).error
        assert error.startswith("is a HEIC image, as phones take them")
        assert "'ai-library[heic]'" in error
        return
    stream = io.BytesIO()
    pillow_heif.from_pillow(drawing()).save(stream, quality=95)
    read = found(tmp_path, stream.getvalue(), (120, 160, 3))
    assert np.abs(read.image.astype(int) - np.asarray(drawing())).mean() < 6


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><title>404</title>", "a web page"),
        (b"%PDF-1.7 ", "a PDF document"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "a video"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, content, name):
    assert name in found(tmp_path, content).error


def test_a_large_jpeg_is_decoded_at_a_reduced_size_and_looks_the_same(tmp_path):
    image = drawing((2000, 1500))
    image.save(tmp_path / "large.jpg", quality=95)
    assert decode(tmp_path / "large.jpg", 3, needed=32).pixels.shape == (188, 250, 3)
    assert decode(tmp_path / "large.jpg", 3).pixels.shape == (1500, 2000, 3)
    image.save(tmp_path / "large.png", compress_level=0)
    small, whole = (read_image(tmp_path / f"large.{ending}", (24, 32, 3)).astype(int) for ending in ("jpg", "png"))
    assert np.abs(small - whole).max() < 12


def test_a_small_bright_thing_is_no_defect(tmp_path):
    values = np.random.default_rng(0).integers(100, 110, (300, 300)).astype(np.uint16)
    values[20:23, 30:33] = 4000
    values[200, 200] = 60_000  # a hot pixel
    pixels, _ = levels(tmp_path, values)
    assert pixels[20:23, 30:33].min() == 255
    assert pixels[100:150, 100:150].max() < 5


def test_colours_of_sixteen_bits_are_told(tmp_path):
    rows = b"".join(b"\0" + 8 * (6 * b"\x0f\xff") for _ in range(8))  # a filter's byte, then 8 pixels of 12 bits
    head = struct.pack(">IIBBBBB", 16, 8, 16, 2, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "deep.png").write_bytes(content)
    assert "of 16 bits a channel" in decode(tmp_path / "deep.png", 3, 64).remarks[0]


def test_nothing_is_told_of_an_opaque_image_with_a_channel_for_opacity(tmp_path):
    drawing().convert("RGBA").save(tmp_path / "opaque.png")
    assert decode(tmp_path / "opaque.png", 3, 64).remarks == ()
