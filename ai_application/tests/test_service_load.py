"""What the service does when it has more to do than it can, and when it fails."""

import concurrent.futures
import io
import threading
import time
import zlib

import numpy as np
from PIL import Image, PngImagePlugin

from ai_application.service.limits import Limits
from ai_application.tests.serving import serving, tensor
from ai_library import Classifier, InputError
from ai_library.tests.model_files import small_classifier


class Slow(Classifier):
    """A model that predicts when it is let, and knows how many images it was given together."""

    def __post_init__(self):
        super().__post_init__()
        vars(self).update(seen=[], let=threading.Semaphore(0))

    def predict_logits(self, batches, shared=False, by_onnx="none"):
        for batch in batches:
            assert self.let.acquire(timeout=20)
            self.seen.append(len(batch))
            if (batch == 255).all(axis=(1, 2, 3)).any():
                raise InputError("gives nan")
            yield np.zeros((len(batch), len(self.class_names)), np.float32)


def slow():
    model = small_classifier()
    found = Slow(model.network, model.variables, model.class_names, model.image_shape)
    found.let.release()  # for the warming up
    return found


def test_requests_that_wait_are_predicted_together_and_too_many_are_refused():
    model = slow()
    image = np.zeros((1, *model.image_shape), np.uint8)
    with serving(Limits(max_waiting=9), slow=model) as client, concurrent.futures.ThreadPoolExecutor(12) as threads:
        send = lambda image=image: client.post("/v2/models/slow/infer", json=tensor(image))  # noqa: E731
        first = threads.submit(send)
        while "ai_requests_running 1.0" not in client.get("/metrics").text.replace("2.0", "1.0"):
            time.sleep(0.01)
        time.sleep(0.2)
        others = [threads.submit(send) for _ in range(7)]
        bad = threads.submit(send, np.full_like(image, 255))
        time.sleep(0.5)
        refused = send()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        for _ in range(20):
            model.let.release()
        assert first.result().status_code == 200
        assert [each.result().status_code for each in others] == [200] * 7
        assert bad.result().status_code == 500  # the image is none that a client could mend
        assert bad.result().json() == {"error": "gives nan"}
    assert model.seen[:3] == [1, 1, 8]


def test_small_images_are_answered_while_large_ones_take_all_memory_for_decoding(monkeypatch):
    content, begun, let = io.BytesIO(), threading.Event(), threading.Event()
    Image.new("L", (16, 16)).save(content, "PNG")
    small, large = content.getvalue(), bytearray(content.getvalue())
    large[16:24] = (16_000).to_bytes(4) + (8_000).to_bytes(4)
    large[29:33] = zlib.crc32(large[12:29]).to_bytes(4)
    load = PngImagePlugin.PngImageFile.load

    def slowly(file):
        if file.width > 16:
            begun.set()
            assert let.wait(timeout=20)
        return load(file)

    with serving(plain=small_classifier()) as client, concurrent.futures.ThreadPoolExecutor(2) as threads:
        monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", slowly)
        try:
            first = threads.submit(client.post, "/predict/plain", content=bytes(large))
            assert begun.wait(timeout=20)
            second = threads.submit(client.post, "/predict/plain", content=small)
            assert second.result(timeout=10).status_code == 200
            assert client.get("/v2/health/live").json() == {"live": True}
        finally:
            let.set()
        assert first.result().status_code == 400


def test_bodies_that_are_too_many_at_once_are_refused():
    with serving(Limits(max_bodies=1000), plain=small_classifier()) as client:
        answer = client.post("/predict/plain", content=bytes(2000))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.post("/predict/plain", content=bytes(900)).status_code == 400  # what was held is free again


def test_a_fault_of_the_service_is_told_without_its_traceback(monkeypatch):
    with serving(plain=small_classifier()) as client:
        monkeypatch.setattr(Classifier, "predict_logits", lambda *_, **__: 1 / 0)
        answer = client.post(
            "/v2/models/plain/infer", json=tensor(np.zeros((1, *small_classifier().image_shape), np.uint8))
        )
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "division" not in answer.text
