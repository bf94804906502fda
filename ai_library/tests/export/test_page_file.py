"""A page answers as its classifier does, whatever the network and the image file, and does without a connection."""

import itertools
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from ai_library import CNN, Classifier, InputError, ResNet, export_page
from ai_library.export.page_file import page_of
from ai_library.tests.browser import chromium
from ai_library.tests.export.classifiers import classifier_of
from ai_library.tests.export.pages import answers, assert_same, draw, opened
from ai_library.tests.model_files import small_classifier
from ai_library.tests.own_networks import Mirrored, made

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SMALL = {"features": (4, 8, 8, 8, 4), "dense": 8}
NETWORKS = {
    "CNN, grey": (CNN(num_classes=3, **SMALL), (16, 16, 1)),
    "CNN, grey and opacity, without patches": (CNN(num_classes=13, **SMALL, patch=1), (9, 9, 2)),
    "CNN, colour, an odd size": (CNN(num_classes=3, **SMALL), (15, 22, 3)),
    "ResNet, colour": (ResNet(num_classes=3, features=(4, 6, 5), blocks=2, patch=2), (16, 12, 3)),
    "ResNet, colour and opacity, one row": (ResNet(num_classes=2, features=(4, 8)), (1, 40, 4)),
}
SQUARE = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75), (0.25, 0.25)]


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page_file(tmp_path):
    """A function that exports a classifier; it returns the path."""

    def export(classifier):
        export_page(tmp_path / "page.html", classifier)
        return tmp_path / "page.html"

    return export


def smooth(height, width, channels):
    """Pixels (h, w, c) without noise, as a drawing or a photograph has them."""
    few = np.random.default_rng(height + width).integers(0, 256, (7, 7, 4), np.uint8)
    return np.asarray(Image.fromarray(few, "RGBA").resize((width, height), Image.Resampling.BICUBIC))[..., :channels]


def saved_images():
    """Yields names, Pillow images and how to save them: of each kind that PNG has, in sizes that nothing divides."""
    for size in ((1, 9), (50, 41), (180, 23)):
        colour, name = Image.fromarray(smooth(*size, 3)), f"{size[0]}x{size[1]}"
        grey = colour.convert("L")
        yield f"colour {name}", colour, {}
        yield f"transparent {name}", Image.fromarray(smooth(*size, 4)), {}
        yield f"grey {name}", grey, {}
        yield f"grey and opacity {name}", Image.fromarray(smooth(*size, 2)), {}
        yield f"palette {name}", colour.quantize(37), {}
        yield f"palette of 2 bits {name}", colour.quantize(4), {"bits": 2}
        yield f"palette and opacity {name}", colour.quantize(16), {"transparency": bytes(range(0, 240, 15))}
        yield f"one bit {name}", grey.convert("1"), {}
        yield f"16 bits {name}", Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), {}
        yield f"12 bits {name}", Image.fromarray(np.asarray(grey).astype(np.uint16) * 11), {}
        few = Image.fromarray(smooth(*size, 3) // 64 * 64)
        yield f"one colour transparent {name}", few, {"transparency": (64, 64, 0)}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        yield f"turned by EXIF {orientation}", Image.fromarray(smooth(30, 20, 3)), {"exif": exif}
    for ink in (10, 250):
        drawing = Image.new("RGBA", (70, 60))
        ImageDraw.Draw(drawing).ellipse((12, 9, 50, 47), fill=(ink, ink, ink, 255))
        yield f"drawn on nothing in {ink}", drawing, {}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Image files that a program may stumble over."""
    folder = tmp_path_factory.mktemp("images")
    for name, image, options in saved_images():
        image.save(folder / f"{name}.png", **options)
    return sorted(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_it_answers_as_the_classifier_to_every_kind_of_file(network, browser, page_file, files):
    model, image_shape = NETWORKS[network]
    classifier = classifier_of(model, image_shape, temperature=0.7)
    with opened(browser, page_file(classifier)) as page:
        assert_same(answers(page, files), classifier, files)


@pytest.mark.slow
def test_content_is_cut_out_as_the_library_does_it(browser, page_file, tmp_path):
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (28, 28, 1), content_size=20)
    files = []
    for index, (paper, ink) in enumerate([(255, 0), (0, 255), (180, 90), (230, 20), (210, 60), (250, 120)]):
        sheet = Image.new("RGB", (90 + 41 * index, 120 - 9 * index), (paper,) * 3)
        ImageDraw.Draw(sheet).line([(30, 20), (60, 40), (35, 70)], fill=(ink, ink, ink + 20), width=7)
        if index > 2:  # a sheet with a shade and noise, as photographs have it
            rng, pixels = np.random.default_rng(index), np.asarray(sheet, float)
            shade = np.linspace(1, 0.6, sheet.width)[:, None]
            sheet = Image.fromarray((pixels * shade + rng.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8))
        files.append(tmp_path / f"{index}.png")
        sheet.save(files[-1])
    with opened(browser, page_file(classifier)) as page:
        assert_same(answers(page, files), classifier, files)


@pytest.mark.slow
def test_large_images_are_reduced_as_the_library_does_it(browser, page_file, tmp_path):
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, 1))
    files = [tmp_path / "large.png", tmp_path / "transparent.png"]
    pixels = smooth(4099, 4001, 1)[..., 0]
    Image.fromarray(pixels).save(files[0], compress_level=1)
    Image.fromarray(pixels // 64 * 64).save(files[1], compress_level=1, transparency=64)
    with opened(browser, page_file(classifier)) as page:
        assert_same(answers(page, files), classifier, files)


@pytest.mark.slow
def test_png_files_are_turned_wherever_they_say_so(browser, page_file, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    numbers = b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x112, 4, 1, 6, 0)  # the orientation as a LONG
    listed = exif.tobytes().hex()
    listed = f"\nexif\n{len(listed) // 2:8}\n{listed[:72]}\n{listed[72:]}\n"
    xmp = '<rdf:Description tiff:Orientation="6"/>'
    notes = [PngImagePlugin.PngInfo() for _ in range(7)]
    notes[0].add(b"eXIf", b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
    notes[1].add(b"eXIf", numbers)
    notes[2].add_text("Raw profile type exif", listed)
    notes[3].add_text("Raw profile type exif", listed, zip=True)
    notes[4].add_itxt("XML:com.adobe.xmp", xmp, lang="x", tkey="y")
    notes[5].add_itxt("XML:com.adobe.xmp", xmp, zip=True)
    notes[6].add(b"zTXt", b"Raw profile type exif\0\0broken")  # which turns nothing
    files = [tmp_path / f"{index}.png" for index in range(len(notes))]
    for file, note in zip(files, notes, strict=True):
        Image.fromarray(smooth(30, 20, 3)).save(file, pnginfo=note)
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, 3))
    with opened(browser, page_file(classifier)) as page:
        assert_same(answers(page, files), classifier, files)


def png(path, rows, depth, kind, *chunks):
    """Writes a PNG file of rows of bytes and with chunks (type, content) of which Pillow does not write all."""
    width = len(rows[0]) * 8 // (depth * (3 if kind == 2 else 1))
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 4])
def test_a_transparent_colour_is_found_as_the_library_finds_it(channels, browser, page_file, tmp_path):
    grey, colour = smooth(40, 40, 1)[..., 0] // 64 * 64, smooth(40, 40, 3) // 64 * 64
    colour[8:30, 6:28] = 255
    kinds = {
        "bit": ([np.packbits(row > 127).tobytes() for row in grey], 1, 0),
        "grey": ([row.tobytes() for row in grey], 8, 0),
        "colour": ([row.tobytes() for row in colour], 8, 2),
        "deep": ([row.repeat(2).tobytes() for row in colour], 16, 2),
    }
    named = {"bit": (0, 1, 256), "grey": (64, 320), "colour": (255, 511), "deep": (65535, 255)}
    files = []
    for kind, (rows, depth, number) in kinds.items():
        for level in named[kind]:
            files.append(tmp_path / f"{kind} {level}.png")
            png(files[-1], rows, depth, number, (b"tRNS", struct.pack(">H", level) * (3 if number == 2 else 1)))
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, channels))
    with opened(browser, page_file(classifier)) as page:
        assert_same(answers(page, files), classifier, files)


@pytest.mark.slow
def test_png_files_with_a_wrong_checksum_before_the_pixels_are_refused(browser, page_file, tmp_path):
    colours = (b"PLTE", bytes(range(0, 240, 5)))
    png(tmp_path / "right.png", [bytes(range(16))] * 9, 8, 3, colours, (b"gAMA", struct.pack(">I", 45455)))
    right, files = (tmp_path / "right.png").read_bytes(), []
    for name in (b"IHDR", b"PLTE", b"gAMA", b"IDAT"):
        files.append(tmp_path / f"{name.decode()}.png")
        place = right.index(name) + 4 + (7 if name == b"IHDR" else 0)
        if name == b"IDAT":  # whose checksum is not read
            place += int.from_bytes(right[place - 8 : place - 4])
        files[-1].write_bytes(right[:place] + bytes([right[place] ^ 1]) + right[place + 1 :])
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, 3))
    with opened(browser, page_file(classifier)) as page:
        found = answers(page, files)
    assert [each.get("error") for each in found] == ["it is a broken PNG"] * 3 + [None]
    for file in files[:3]:
        with pytest.raises(InputError):
            classifier.predict_proba([file])
    assert_same(found[3:], classifier, files[3:])


@pytest.mark.slow
def test_what_the_browser_decodes_is_turned_as_the_library_turns_it(browser, page_file, tmp_path):
    classifier, files = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, 3)), []
    corner = np.zeros((64, 40, 3), np.uint8)  # which is another one in each orientation
    corner[:24, :12], corner[:, 32:] = 255, 128
    for ending in ("jpg", "webp"):
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x112] = orientation
            files.append(tmp_path / f"{orientation}.{ending}")
            Image.fromarray(corner).save(files[-1], exif=exif, quality=100, lossless=True)
    wanted = classifier.predict_proba(files)
    assert min(np.abs(one - other).max() for one, other in itertools.combinations(wanted[8:], 2)) > 4e-4
    with opened(browser, page_file(classifier)) as page:
        found = [answer["probabilities"] for answer in answers(page, files)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_what_the_browser_decodes_is_near_and_the_page_says_so(browser, page_file, tmp_path):
    classifier = classifier_of(CNN(num_classes=3, **SMALL), (16, 16, 3))
    files = [tmp_path / name for name in ("a.jpg", "b.webp", "c.gif", "d.bmp")]
    for file in files:
        Image.fromarray(smooth(60, 80, 3)).save(file)
    with opened(browser, page_file(classifier)) as page:
        found = answers(page, files)
        assert "decoded by this browser" in page.inner_text("#remarks")
        wanted = classifier.predict_proba(files)
    np.testing.assert_allclose([each["probabilities"] for each in found], wanted, atol=0.01)


@pytest.mark.slow
def test_files_that_cannot_be_read_are_told_and_keep_no_other_from_its_answer(browser, page_file, tmp_path, files):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("text")
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:60])
    broken = [tmp_path / f"{name}.png" for name in ("cut", "empty", "text")]
    with opened(browser, page_file(classifier_of(*NETWORKS["CNN, grey"]))) as page:
        found = answers(page, [*broken, files[0]])
        assert found[3]["error"] is None
        assert page.inner_text("#confidence").startswith("cut.png cannot be read: it is a broken PNG")
        told = page.locator("#rows").inner_text()
    assert [each["error"] for each in found[:3]] == [
        "it is a broken PNG",
        "it is empty",
        "it is not an image, or in a format that this browser does not read",
    ]
    assert all(each["error"] in told for each in found[:3])


@pytest.mark.slow
def test_files_can_be_dropped_and_pasted(browser, page_file):
    make = """type => new Promise((done) => {
        const data = new DataTransfer();
        document.createElement("canvas").toBlob((blob) => {
            data.items.add(new File([blob], `${type}.png`, { type: "image/png" }));
            document.addEventListener("answer", ({ detail }) => done(detail.name), { once: true });
            const Kind = type === "drop" ? DragEvent : ClipboardEvent;
            dispatchEvent(new Kind(type, { dataTransfer: data, clipboardData: data, cancelable: true }));
        });
    })"""
    with opened(browser, page_file(classifier_of(*NETWORKS["CNN, grey"]))) as page:
        assert [page.evaluate(make, kind) for kind in ("drop", "paste")] == ["drop.png", "paste.png"]


def with_threshold(classifier, confidence):
    return replace(classifier, metrics={"evaluation": {"coverage": [{"coverage": 0.99, "confidence": confidence}]}})


@pytest.mark.slow
def test_below_the_threshold_it_is_not_sure(browser, page_file):
    fresh = small_classifier(("ant", "bee"))
    for confidence, headline in ((0.5, "ant"), (0.6, "not sure")):
        with opened(browser, page_file(with_threshold(fresh, confidence))) as page:
            draw(page, SQUARE)
            page.wait_for_selector(f"#headline:text-is('{headline}')")
            page.wait_for_selector("#status:not(:empty)", state="attached")
            assert f"Below {confidence:.1%}" in page.inner_text("#threshold")
            assert "ant, 50.0%" in page.locator("#status").text_content()
    with opened(browser, page_file(fresh)) as page:
        draw(page, SQUARE)
        page.wait_for_selector("#headline:text-is('ant')")
        assert "no threshold" in page.inner_text("#threshold")


def drawn(page):
    """How many pixels of the board are ink."""
    page.wait_for_timeout(50)
    count = """board => board.getContext("2d").getImageData(0, 0, board.width, board.height).data
        .filter((level, i) => i % 4 === 0 && level < 99).length"""
    return page.locator("#board").evaluate(count)


@pytest.mark.slow
def test_it_is_drawn_on_by_keyboard_and_what_is_drawn_can_be_undone(browser, page_file):
    with opened(browser, page_file(classifier_of(*NETWORKS["CNN, grey"]))) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "board"
        for key in ("ArrowUp", "Space", *["ArrowRight"] * 5, "Shift+ArrowDown", "Space", "ArrowDown"):
            page.keyboard.press(key)
        first = drawn(page)
        assert first > 32 * 5 * 16 * 0.9
        assert re.search("class [0-2], ", page.locator("#status").text_content())
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Space", "ArrowLeft", "Escape"):
            page.keyboard.press(key)
        assert drawn(page) > first
        page.keyboard.press("Control+z")
        assert drawn(page) == first
        page.get_by_role("button", name="Clear").press("Enter")
        assert drawn(page) == 0
        assert page.inner_text("#headline") == "Draw something"


@pytest.mark.slow
def test_names_can_neither_break_the_page_nor_run(browser, page_file):
    names = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "`${x}`", "<!-- \\ 圆"]
    model = CNN(num_classes=4, **SMALL)
    hostile = replace(classifier_of(model, (16, 16, 1)), class_names=tuple(names))
    with opened(browser, page_file(hostile)) as page:
        shown = page.locator("#bars .name").all_text_contents()
    assert shown == names


@pytest.mark.slow
def test_of_many_classes_the_most_probable_are_shown(browser, page_file):
    with opened(browser, page_file(classifier_of(*NETWORKS["CNN, grey and opacity, without patches"]))) as page:
        draw(page, SQUARE)
        page.wait_for_selector("#bars .value:not(:empty)")
        shares = [float(text.strip("%>")) for text in page.locator("#bars .value").all_text_contents()]
    assert len(shares) == 12
    assert shares == sorted(shares, reverse=True)


def test_its_policy_lets_it_load_nothing():
    page = page_of(small_classifier()).decode()
    [policy] = re.findall('http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert re.fullmatch(
        r"default-src 'none'; script-src 'sha256-\S{44}'; style-src 'sha256-\S{44}'; "
        r"base-uri 'none'; form-action 'none'",
        policy,
    )
    assert page_of(small_classifier()).decode() == page


def test_a_network_that_may_compute_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="A page is written for CNN and ResNet, not for Mirrored"):
        export_page(tmp_path / "page.html", classifier_of(made(Mirrored), (16, 16, 1)))
    classifier = small_classifier()
    with pytest.raises(InputError, match="the classifier cannot be exported: it "):
        export_page(tmp_path / "page.html", Classifier(classifier.network, {}, classifier.class_names, (16, 16, 1)))
    assert not [*tmp_path.iterdir()]
