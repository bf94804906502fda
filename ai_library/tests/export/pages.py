"""A page in Chromium, as its tests use it: what it answers to image files, asks for and complains of."""

import base64
import contextlib

import numpy as np

from ai_library.data.images.image_arrays import as_images

DEVICES = {
    "desk": {"viewport": {"width": 1100, "height": 760}},
    "phone": {
        "viewport": {"width": 360, "height": 740},
        "has_touch": True,
        "is_mobile": True,
        "color_scheme": "dark",
        "reduced_motion": "reduce",
    },
}
_COLLECT = """count => {
    const found = [];
    window.collected = new Promise((done) => {
        window.collect = ({ detail }) => {
            const seen = [...document.querySelectorAll("#rows canvas")].at(-1) ?? document.getElementById("seen");
            const read = () => seen.getContext("2d").getImageData(0, 0, seen.width, seen.height).data;
            const data = detail.error ? [] : read();
            if (found.push({ ...detail, seen: btoa(String.fromCharCode(...data)) }) === count) done(found);
        };
    });
    document.addEventListener("answer", window.collect);
}"""
_COLLECTED = "window.collected.finally(() => document.removeEventListener('answer', window.collect))"


@contextlib.contextmanager
def opened(browser, path, device="desk", **options):
    """The page in a file, which must ask for nothing but itself, and complain of nothing."""
    context = browser.new_context(**DEVICES[device], **options)
    page, requests, complaints = context.new_page(), [], []
    page.on("request", lambda asked: requests.append(asked.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert requests == [path.as_uri()], requests
    assert complaints == [], complaints


def answers(page, files):
    """What the page makes of files that are chosen together: probabilities (n, classes), and pixels (n, h, w, 4) that
    the network sees; or, for those that cannot be read, None and why."""
    page.evaluate(_COLLECT, len(files))
    page.set_input_files("#files", [str(file) for file in files])
    found = page.evaluate(_COLLECTED)
    assert [each["name"] for each in found] == [file.name for file in files]
    return found


def assert_same(found, classifier, files):
    """A page's answers are those of the classifier. Without opacity, which a canvas rounds, it sees the same pixels."""
    assert [each.get("error") for each in found] == [None] * len(files)
    images = as_images(files, classifier.image_shape, classifier.content_size)
    wanted = classifier.predict_proba(images)
    probabilities = np.array([each["probabilities"] for each in found])
    assert (probabilities.argmax(axis=1) == wanted.argmax(axis=1)).all()
    np.testing.assert_allclose(probabilities, wanted, atol=1e-4)
    height, width, channels = classifier.image_shape
    if channels % 2:
        content = b"".join(base64.b64decode(each["seen"]) for each in found)
        seen = np.frombuffer(content, np.uint8).reshape(-1, height, width, 4)
        np.testing.assert_array_equal(seen[..., :channels], images)


def draw(page, *strokes):
    """Strokes of points (x, y), as parts of the board's sides, by the mouse."""
    box = page.locator("#board").bounding_box()
    for points in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
