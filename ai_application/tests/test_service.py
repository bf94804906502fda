"""What the service answers, without a network."""

import gzip
import io
import json
import re
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from ai_application import EVALUATION, MODELS
from ai_application.service.app import application
from ai_application.service.limits import Limits
from ai_application.tests.serving import serving, tensor
from ai_library import Classifier, InputError, load_model
from ai_library.export.page_file import page_of
from ai_library.networks.initial import initialise
from ai_library.tests.model_files import small_classifier
from ai_library.tests.own_networks import Standardising

IMAGES = sorted(EVALUATION.glob("shapes/*/*.png"))[::75]
BATCH = np.stack([np.asarray(Image.open(path))[..., None] for path in IMAGES])


@pytest.fixture(scope="module")
def shapes():
    return load_model(MODELS / "shapes.msgpack")


@pytest.fixture(scope="module")
def expected(shapes):
    """The probabilities of `BATCH` as a service gives them, which differ from those of `predict_proba` by rounding."""
    found = shapes.probabilities(next(shapes.predict_logits([BATCH], by_onnx="all")))
    np.testing.assert_allclose(found, shapes.predict_proba(BATCH), rtol=0, atol=1e-5)
    return found


@pytest.fixture(scope="module")
def log():
    return []


@pytest.fixture(scope="module")
def client(shapes, log):
    with serving(log=log, shapes=shapes, mnist=load_model(MODELS / "mnist.msgpack")) as client:
        yield client


def test_an_image_file_is_predicted_as_the_classifier_does(client, shapes, expected):
    for path, probabilities in zip(IMAGES, expected, strict=True):
        answer = client.post("/predict/shapes", content=path.read_bytes()).json()
        assert list(answer["probabilities"].values()) == probabilities.tolist()
        assert answer["class"] == shapes.class_names[probabilities.argmax()]
        assert answer["confidence"] == probabilities.max()
        assert answer["threshold"] == shapes.abstain_below
        assert answer["abstained"] == (probabilities.max() < shapes.abstain_below)


def test_what_is_uncertain_is_left_to_a_person(client, shapes):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    answer = client.post("/predict/shapes", content=file.getvalue()).json()
    assert answer["abstained"] == (answer["confidence"] < shapes.abstain_below)
    with serving(plain=small_classifier()) as without:
        answer = without.post("/predict/plain", content=file.getvalue()).json()
    assert (answer["abstained"], answer["threshold"]) == (False, None)


def test_what_had_to_be_done_to_read_an_image_is_told(client):
    file = io.BytesIO()
    Image.fromarray(np.full((64, 64), 40_000, np.uint16)).save(file, "PNG")
    (remark,) = client.post("/predict/shapes", content=file.getvalue()).json()["remarks"]
    assert "16 bits" in remark


@pytest.mark.parametrize("data", [BATCH.ravel().tolist(), BATCH.tolist()], ids=["flat", "nested"])
def test_tensors_are_predicted_as_the_classifier_does(client, expected, data):
    answer = client.post("/v2/models/shapes/infer", json={"id": "7", **tensor(BATCH, data=data)}).json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "shapes", "1")
    probabilities, labels = answer["outputs"]
    assert (probabilities["name"], probabilities["datatype"], probabilities["shape"]) == (
        "probabilities",
        "FP32",
        [len(BATCH), 9],
    )
    assert probabilities["data"] == expected.astype(np.float32).ravel().tolist()
    assert labels == {"name": "labels", "datatype": "INT64", "shape": [len(BATCH)], "data": expected.argmax(1).tolist()}


@pytest.mark.parametrize(
    "packed",
    [
        lambda body: (body, {}),
        lambda body: (gzip.compress(body), "gzip"),
        lambda body: (zlib.compress(body), "deflate"),
    ],
    ids=["plain", "gzip", "deflate"],
)
def test_binary_tensors_are_predicted_as_the_classifier_does(client, expected, packed):
    request = tensor(BATCH, parameters={"binary_data_size": BATCH.size})
    del request["inputs"][0]["data"]
    request["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps(request).encode()
    body, encoding = packed(head + BATCH.tobytes())
    headers = {"Inference-Header-Content-Length": str(len(head))} | ({"content-encoding": encoding} if encoding else {})
    answer = client.post("/v2/models/shapes/versions/1/infer", content=body, headers=headers)
    length = int(answer.headers["inference-header-content-length"])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.content) - length
    found = np.frombuffer(answer.content[length:], "<f4").reshape(output["shape"])
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_the_most_probable_classes_can_be_asked_for(client, shapes, expected):
    request = {**tensor(BATCH[:1]), "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}]}
    (output,) = client.post("/v2/models/shapes/infer", json=request).json()["outputs"]
    probabilities = expected[0]
    best = np.argsort(-probabilities)[:2]
    assert output["shape"] == [1, 2]
    assert output["data"] == [f"{probabilities[label]:.6f}:{label}:{shapes.class_names[label]}" for label in best]


def test_a_model_says_what_it_takes_and_gives(client, shapes):
    told = client.get("/v2/models/shapes").json()
    assert told["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 64, 64, 1]}]
    assert told["parameters"]["class_names"] == list(shapes.class_names)
    assert told["parameters"]["abstain_below"] == shapes.abstain_below
    assert client.get("/v2/models/mnist/versions/1/ready").json() == {"name": "mnist", "ready": True}
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]


def infer(**changes):
    """A request that lacks what the protocol wants."""
    return {"inputs": [{"name": "images", "shape": [1, 64, 64, 1], "datatype": "UINT8", "data": [0] * 4096, **changes}]}


WRONG = {
    "nothing": (b"", "JSON"),
    "no JSON": (b"\xff{", "JSON"),
    "deep": (b"[" * 100_000, "JSON"),
    "a number": (b"1", "an object"),
    "no inputs": (b"{}", "inputs"),
    "two inputs": ({"inputs": infer()["inputs"] * 2}, "one tensor"),
    "name": (infer(name="image"), "'images'"),
    "datatype": (infer(datatype="FP32"), "UINT8"),
    "shape": (infer(shape=[1, 64, 64]), "shape"),
    "none": (infer(shape=[0, 64, 64, 1], data=[]), "n from 1"),
    "negative": (infer(shape=[-1, 64, 64, 1]), "n from 1"),
    "yes": (infer(shape=[True, 64, 64, 1]), "shape"),
    "huge": (infer(shape=[10**400, 64, 64, 1]), "n from 1"),
    "too few": (infer(data=[0]), "4096"),
    "ragged": (infer(data=[[0], [0, 1]]), "4096"),
    "fractions": (infer(data=[0.5] * 4096), "whole numbers"),
    "texts": (infer(data=["0"] * 4096), "whole numbers"),
    "NaN": (json.dumps(infer(data=[float("nan")] * 4096)).encode(), "whole numbers"),
    "too large": (infer(data=[256] * 4096), "0 to 255"),
    "enormous": (infer(data=[10**30] * 4096), "0 to 255"),
    "a long text": (infer(data=["x" * 2**20] + [""] * 4095), "whole numbers"),
    "nested otherwise": (infer(data=[[0] * 2048] * 2), "nested by the shape"),
    "no data": (infer(data=None), "an array"),
    "binary size": (infer(parameters={"binary_data_size": 5}), "binary_data_size"),
    "parameters": (infer(parameters=[1]), "an object"),
    "id": ({**infer(), "id": 5}, "a string"),
    "outputs": ({**infer(), "outputs": [{"name": "logits"}]}, "probabilities"),
    "an output twice": ({**infer(), "outputs": [{"name": "labels"}] * 2}, "at most once"),
    "output": ({**infer(), "outputs": [3]}, "an object"),
    "classes": ({**infer(), "outputs": [{"name": "probabilities", "parameters": {"classification": -1}}]}, "count"),
}


@pytest.mark.parametrize(("body", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_told_what_is_wrong(client, body, told):
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post("/v2/models/shapes/infer", content=content)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert len(answer.content) < 1000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(key=st.sampled_from(["name", "shape", "datatype", "data", "parameters"]), value=JSON, top=st.booleans())
def test_whatever_a_request_holds_it_is_answered(client, key, value, top):
    request = (
        {**infer(), {"name": "outputs", "shape": "id"}.get(key, "parameters"): value} if top else infer(**{key: value})
    )
    answer = client.post("/v2/models/shapes/infer", content=json.dumps(request))
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("method", "path", "content", "headers", "status"),
    [
        ("POST", "/predict/shapes", b"", {}, 400),
        ("POST", "/predict/shapes", b"GIF89a", {}, 400),
        ("POST", "/predict/shapes", IMAGES[0].read_bytes()[:150], {}, 400),
        ("POST", "/predict/shapes", b"{}", {"content-type": "application/json"}, 415),
        ("POST", "/predict/shapes", b"x", {"content-encoding": "br"}, 415),
        ("POST", "/predict/shapes", b"x", {"content-encoding": "gzip"}, 400),
        ("POST", "/predict/shapes", gzip.compress(b"x", mtime=0)[:-4], {"content-encoding": "gzip"}, 400),
        ("POST", "/predict/shapes", gzip.compress(bytes(2**25), mtime=0), {"content-encoding": "gzip"}, 413),
        ("POST", "/predict/shapes", bytes(2**24 + 1), {}, 413),
        ("POST", "/predict/..%2f..%2fetc", b"x", {}, 404),
        ("POST", "/predict/none", b"x", {}, 404),
        ("GET", "/page/none", None, {}, 404),
        ("GET", "/v2/models/shapes/versions/2", None, {}, 404),
        ("POST", "/v2/models/none/infer", b"{}", {}, 404),
        ("POST", "/v2/models/shapes/infer", b"{}", {"inference-header-content-length": "-1"}, 400),
        ("POST", "/v2/models/shapes/infer", b"{}", {"inference-header-content-length": "3"}, 400),
        ("GET", "/predict/shapes", None, {}, 405),
        ("GET", "/..%2f..%2fetc%2fpasswd", None, {}, 404),
    ],
)
def test_hostile_requests_are_refused(client, method, path, content, headers, status):
    answer = client.request(method, path, content=content, headers=headers)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text


@pytest.mark.slow
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(client):
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    begun = time.perf_counter()
    answer = client.post("/predict/shapes", content=bomb.getvalue())
    assert answer.status_code == 400
    assert "pixels" in answer.json()["error"]
    assert time.perf_counter() - begun < 5


def test_requests_are_logged_and_counted_without_what_clients_wrote(client, log):
    log.clear()
    client.post("/predict/secret%1b%5b2J", content=b"private")
    client.get("/v2/models/shapes?token=secret")
    client.request("SECRET", "/v2")
    assert [line.rsplit(" ", 2)[0] for line in log] == [
        "POST /predict/{model} 404",
        "GET /v2/models/{model} 200",
        "- /v2 405",
    ]
    figures = client.get("/metrics").text
    assert 'ai_requests_total{method="POST",path="/predict/{model}",status="404"}' in figures
    assert "secret" not in figures


def test_the_page_is_the_one_that_is_exported(client, shapes):
    assert client.get("/page/shapes").content == page_of(shapes)


def test_the_page_of_each_model_is_served_and_may_ask_for_nothing(monkeypatch):
    def page_of(classifier):
        if len(classifier.class_names) == 3:
            raise InputError("this network cannot run in a page")
        return classifier.class_names[0].encode()

    monkeypatch.setattr("ai_application.service.app.page_of", page_of)
    one, other, without = (small_classifier(names) for names in (("ant", "bee"), ("cat", "dog"), ("x", "y", "z")))
    with serving(one=one) as client:
        page = client.get("/")
        assert (page.text, page.headers["content-type"]) == ("ant", "text/html; charset=utf-8")
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert page.headers["x-content-type-options"] == "nosniff"
    with serving(one=one, other=other, without=without) as client:
        assert re.findall('<a href="(.*?)"', client.get("/").text) == ["page/one", "page/other"]
        assert client.get("/page/other").text == "cat"
        assert client.get("/page/without").status_code == 404
        assert "<li>without: /predict/without</li>" in client.get("/").text
    with serving(one=one, without=without) as client:
        assert re.findall('<a href="(.*?)"', client.get("/").text) == ["page/one"]
        assert "/predict/without" in client.get("/").text


@pytest.mark.slow
def test_a_network_whose_answers_depend_on_other_requests_is_never_ready():
    network = Standardising(2)
    mixing = Classifier(network, initialise(network, 0, (16, 16, 1)), ("a", "b"), (16, 16, 1))
    app = application({"mixing": mixing}, Limits(), [].append)
    with TestClient(app) as client:
        while not app.state.warming.done():
            assert client.get("/v2/health/ready").status_code == 503
            time.sleep(0.01)
        assert client.get("/v2/health/ready").status_code == 503
        assert "must not depend on the other images of the batch" in str(app.state.warming.exception())


def test_every_address_is_described(client):
    described = client.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    declared = {route.path for route in client.app.routes} - {"/openapi.json"}
    assert set(described["paths"]) == declared
