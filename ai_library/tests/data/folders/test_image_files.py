"""Image files of every kind, whole and broken, become arrays or a clear error."""

import collections
import contextlib
import io
import os
import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_library import InputError
from ai_library.data.folders.image_files import image_files
from ai_library.data.images.decoding import MAX_PIXELS, SEVERAL_FRAMES, decode_pillow
from ai_library.data.images.reading import read_file, read_image
from ai_library.tests.memory import peak_bytes

FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "webp": "WEBP", "ppm": "PPM"}


def picture(size=(40, 30)):
    """Black, with a white upper left quarter."""
    image = Image.new("RGB", size)
    image.paste("white", (0, 0, size[0] // 2, size[1] // 2))
    return image


def encoded(image, ending, **options):
    file = io.BytesIO()
    image.save(file, FORMATS[ending], **options)
    return file.getvalue()


def orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif


@contextlib.contextmanager
def as_nobody():
    """Reads as a user without rights, since root may read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public_folder():
    """One that all users may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_any_mode_is_converted(tmp_path, mode):
    image = np.tile(np.arange(0, 256, 8, np.uint8), (32, 1))[..., None]
    grey = Image.fromarray(image.squeeze())
    if mode == "I;16":
        grey = Image.fromarray(image.squeeze().astype(np.uint16) * 257)
    path = tmp_path / f"image.{'tif' if mode == 'CMYK' else 'png'}"
    (grey if mode == "I;16" else grey.convert(mode)).save(path)
    found = read_image(path, (32, 32, 1))
    tolerance = 255 if mode == "1" else 2  # one bit dithers: only the mean is kept
    assert np.abs(found.astype(int) - image).max() <= tolerance
    assert abs(found.mean() - image.mean()) < 12
    assert read_image(path, (32, 32, 3)).shape == (32, 32, 3)


@pytest.mark.parametrize(("mode", "factor"), [("I", 1), ("I", 256), ("I;16", 256)])
def test_more_than_8_bits_are_scaled_not_cut_off(tmp_path, mode, factor):
    values = np.tile(np.arange(0, 256, 8), (32, 1)) * factor
    Image.fromarray(values.astype(np.int32 if mode == "I" else np.uint16)).save(tmp_path / "deep.tif")
    np.testing.assert_allclose(read_image(tmp_path / "deep.tif", (32, 32, 1))[..., 0], values // factor, atol=1)


def test_values_without_a_scale_are_refused(tmp_path):
    Image.fromarray(np.full((32, 32), 0.5, np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match="no known scale; save it with 8 bits"):
        read_image(tmp_path / "float.tif", (32, 32, 1))


@pytest.mark.slow
def test_long_thin_images_need_no_more_memory_than_they_have(tmp_path):
    Image.new("RGB", (1, 60_000), "white").save(tmp_path / "thin.png")
    assert peak_bytes(lambda: read_image(tmp_path / "thin.png", (64, 64, 3))) < 10e6


def test_transparent_pixels_are_white(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png", (32, 32, 1)) == 255).all()


@pytest.mark.parametrize("ending", FORMATS)
def test_the_content_decides_not_the_ending(tmp_path, ending):
    wanted = read_image_of(tmp_path / f"right.{ending}", encoded(picture(), ending))
    for wrong in ("png", "jpg", "tif"):
        np.testing.assert_array_equal(read_image_of(tmp_path / f"wrong.{wrong}", encoded(picture(), ending)), wanted)


def read_image_of(path, content, image_shape=(32, 32, 3)):
    path.write_bytes(content)
    return read_image(path, image_shape)


def test_formats_that_run_programs_are_not_opened(tmp_path):
    with pytest.raises(InputError, match="not an image, or of an unknown format"):
        read_image_of(tmp_path / "image.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("part", [0, 0.1, 0.6])
def test_what_is_cut_off_is_refused(tmp_path, ending, part):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    content = encoded(noise, ending)
    with pytest.raises(InputError, match="not an image|cannot be read"):
        read_image_of(tmp_path / "image.png", content[: int(part * len(content))])


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_of_an_animation_the_first_frame_is_read(tmp_path, ending):
    frames = encoded(Image.new("RGB", (32, 32), "white"), ending, save_all=True, append_images=[picture((32, 32))])
    assert (read_image_of(tmp_path / "image.png", frames) == 255).all()
    assert read_file(tmp_path / "image.png", (32, 32, 3)).remarks == (SEVERAL_FRAMES,)
    read_image_of(tmp_path / "image.png", encoded(picture((32, 32)), ending))
    assert read_file(tmp_path / "image.png", (32, 32, 3)).remarks == ()


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_upright(tmp_path, ending):
    turned = encoded(picture((32, 32)), ending, exif=orientation(6))  # the camera was held upright
    found = read_image_of(tmp_path / "image.png", turned, (32, 32, 1))[..., 0]
    assert found[:12, 20:].min() > 200
    assert found[20:].max() < 50


@pytest.mark.parametrize(
    ("number", "size"), [(1, (2000, 1125)), (3, (2000, 1125)), (6, (1125, 2000)), (8, (1125, 2000))]
)
def test_the_size_told_is_that_of_the_upright_image(tmp_path, number, size):
    """Cameras turn none of the pixels, so that upright photographs had odd proportions among others."""
    content = encoded(picture((2000, 1125)), "jpg", exif=orientation(number))
    for path, bytes_ in ((tmp_path / "whole.jpg", content), (tmp_path / "cut.jpg", content[:-2])):
        path.write_bytes(bytes_)
        assert read_file(path, (32, 32, 1)).size == size
    with Image.open(tmp_path / "whole.jpg") as image:
        assert decode_pillow(image, 3).size == size


def test_a_damaged_orientation_turns_nothing(tmp_path):
    upright, turned = (encoded(picture(), "jpg", exif=orientation(number)) for number in (1, 6))
    header = turned.index(b"Exif\0\0") + 6
    damaged = turned[:header] + b"\xff" * 8 + turned[header + 8 :]
    np.testing.assert_array_equal(
        read_image_of(tmp_path / "damaged.jpg", damaged), read_image_of(tmp_path / "upright.jpg", upright)
    )


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000), (20_000, 300)])
def test_the_smallest_and_the_widest_are_read(tmp_path, size):
    content = encoded(Image.new("RGB", size, (200, 200, 200)), "png")
    assert (read_image_of(tmp_path / "image.png", content) == 200).all()


@pytest.mark.parametrize("size", [(12_000, 11_000), (40_000, 40_000), (2_000_000_000, 2_000_000_000)])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path, size):
    assert size[0] * size[1] > MAX_PIXELS
    with pytest.raises(InputError, match="is too large: .* pixels, and at most 128,000,000 .*; save it smaller"):
        read_image_of(tmp_path / "bomb.ppm", b"P5 %d %d 255 " % size)


def test_endless_files_are_refused(tmp_path):
    (tmp_path / "sparse.webp").write_bytes(encoded(picture(), "webp"))
    os.truncate(tmp_path / "sparse.webp", 10**10)
    with pytest.raises(InputError, match="is too large: 10,000,000,000 bytes"):
        read_image(tmp_path / "sparse.webp", (32, 32, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "ending"), [("RGB", "jpg"), ("RGB", "png"), ("P", "png"), ("1", "png"), ("RGBA", "png"), ("I;16", "png")]
)
def test_large_photographs_look_like_small_ones(tmp_path, mode, ending):
    found = []
    for size in ((640, 480), (6_400, 4_800)):
        image = picture(size).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        found.append(read_image_of(tmp_path / "image", encoded(image, ending), (32, 32, 3)).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 4


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(InputError, match="is not a regular file"):
            read_image(tmp_path / name, (32, 32, 1))


def test_links_are_followed_where_they_lead_anywhere(tmp_path):
    (tmp_path / "image.png").write_bytes(encoded(picture(), "png"))
    (tmp_path / "good.png").symlink_to("image.png")
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    assert read_image(tmp_path / "good.png", (32, 32, 1)).shape == (32, 32, 1)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_image(tmp_path / "broken.png", (32, 32, 1))
    with pytest.raises(InputError, match="cannot be read: Too many levels of symbolic links"):
        read_image(tmp_path / "circle.png", (32, 32, 1))


def test_what_may_not_be_read_is_refused(public_folder):
    (public_folder / "image.png").write_bytes(encoded(picture(), "png"))
    (public_folder / "image.png").chmod(0)
    (public_folder / "closed").mkdir(mode=0)
    with as_nobody():
        with pytest.raises(InputError, match="cannot be read: Permission denied"):
            read_image(public_folder / "image.png", (32, 32, 1))
        with pytest.raises(InputError, match="closed cannot be listed: Permission denied; make it readable"):
            list(image_files(public_folder))


@pytest.mark.slow
def test_broken_files_are_read_or_refused_and_leave_no_trace(tmp_path, capfd):
    rng = random.Random(0)
    image = picture((50, 40))
    whole = [(ending, encoded(image, ending)) for ending in FORMATS]
    whole += [("png", encoded(image.quantize(), "png")), ("jpg", encoded(image, "jpg", exif=orientation(6)))]
    whole += [("tif", encoded(image.convert("1"), "tif", compression="group4"))]
    whole += [("tif", encoded(image, "tif", compression=kind)) for kind in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
    results = []
    for ending, content in whole * 40:
        broken = bytearray(content)
        for _ in range(rng.choice((1, 2, 10))):
            broken[rng.randrange(min(len(broken), rng.choice((64, 10_000))))] = rng.choice((0, 127, 255))
        try:
            results.append(read_image_of(tmp_path / f"image.{ending}", broken, (32, 32, 1)).shape)
        except InputError as error:
            results.append(str(error) != "")
    assert set(results) == {(32, 32, 1), True}
    assert capfd.readouterr() == ("", "")


def test_files_are_found_in_the_order_of_their_names(tmp_path):
    for name in (
        "b/2.png",
        "b/10.PNG",
        "b/.hidden.png",
        "a/c/x.jpg",
        "a/d.png/y.gif",
        ".git/z.png",
        "b/notes.txt",
        "z.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)]
    assert found == ["z.png", "a/c/x.jpg", "a/d.png/y.gif", "b/10.PNG", "b/2.png"]


@pytest.mark.slow
def test_the_names_of_a_folder_take_little_more_than_their_bytes(tmp_path, monkeypatch):
    wanted = [f"{index:05}.png" for index in range(10_000)]
    for name in reversed(wanted):
        (tmp_path / name).touch()
    monkeypatch.setattr("ai_library.data.folders.image_files._NAMES", 999)
    assert [path.name for path in image_files(tmp_path)] == wanted
    exhaust = collections.deque(maxlen=0).extend
    assert peak_bytes(lambda: exhaust(image_files(tmp_path))) < 400_000  # all of them take a megabyte


def test_linked_folders_are_followed_but_not_in_circles(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/image.png").write_bytes(b"")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    assert list(image_files(tmp_path / "images")) == [tmp_path / "images/link/image.png"]
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "images")
    with pytest.raises(InputError, match="link/back leads to a folder that is there already"):
        list(image_files(tmp_path / "images"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_every_mode_is_read_into_1_to_4_channels(tmp_path, mode):
    values = np.tile(np.repeat(np.uint8([0, 255]), 16), (32, 1))
    image = Image.fromarray(values.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(values).convert(mode)
    image.save(tmp_path / "image.tif")
    for channels in (1, 2, 3, 4):
        wanted = np.repeat(values[..., None], channels, axis=2)
        if channels in (2, 4):
            wanted[..., -1] = 255  # opaque
        np.testing.assert_array_equal(read_image(tmp_path / "image.tif", (32, 32, channels)), wanted)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
@pytest.mark.parametrize("size", [32, 48])
def test_transparency_is_the_last_of_2_or_4_channels(tmp_path, mode, size):
    image = Image.new("RGBA", (size, size), (60, 60, 60, 255))
    image.paste((200, 200, 200, 0), (0, 0, size // 2, size))
    image.convert(mode if mode != "P" else "RGBA").save(tmp_path / "image.png")
    if mode == "P":
        palette = Image.new("P", (size, size), 1)
        palette.putpalette([200, 200, 200, 60, 60, 60])
        palette.paste(0, (0, 0, size // 2, size))
        palette.save(tmp_path / "image.png", transparency=0)
    for channels in (2, 4):
        found = read_image(tmp_path / "image.png", (32, 32, channels))
        assert (found[:, :13, -1] == 0).all()
        assert (found[:, 19:, -1] == 255).all()
        assert (found[:, 19:, :-1] == 60).all()
    for channels in (1, 3):
        found = read_image(tmp_path / "image.png", (32, 32, channels))
        assert (found[:, :13] == 255).all()
        assert (found[:, 19:] == 60).all()
