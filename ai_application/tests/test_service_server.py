"""The service as a process of its own: real connections, real clients, and signals."""

import contextlib
import fcntl
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_application import EVALUATION, MODELS
from ai_application.commands import serve
from ai_application.service.server import listening
from ai_application.tests.serving import tensor
from ai_library import load_model, save_model
from ai_library.tests.model_files import small_classifier

ROOT = Path(__file__).resolve().parents[2]
FILE = EVALUATION / "shapes/star/00007.png"
IMAGE = np.asarray(Image.open(FILE))[None, ..., None]
CHUNKED = b"POST /predict/shapes HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="signals, pipes and their sizes as Linux has them"),
]


class Service:
    """`serve.py` with some arguments, ready, at a free port."""

    def __init__(self, *arguments, script=(ROOT / "scripts/serve.py",)):
        command = [sys.executable, *script, "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("serving "), line + self.process.stderr.read()
        self.port = int(re.search(r":(\d+)$", line)[1])
        self.lines = []
        self._reading = threading.Thread(target=lambda: self.lines.extend(self.process.stdout))
        self._reading.start()
        while self.ask("GET", "/v2/health/ready")[0] != 200:
            time.sleep(0.02)

    def connected(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def ask(self, method, path, body=None, headers=None):
        """(status, body) of an answer on a connection of its own."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as client:
            client.request(method, path, body, headers or {})
            answer = client.getresponse()
            return answer.status, answer.read()

    def end(self, number=signal.SIGTERM):
        """Its exit status and what it wrote to standard error, once a signal has ended it."""
        self.process.send_signal(number)
        status = self.process.wait(30)
        self._reading.join()
        with self.process.stdout, self.process.stderr:
            return status, self.process.stderr.read()


@contextlib.contextmanager
def running(*arguments, **options):
    service = Service(*arguments, **options)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.end()


@pytest.fixture(scope="module")
def service():
    with running("--idle-seconds=2", "--body-seconds=1", "--max-connections=60") as service:
        yield service
        status, errors = service.end()
        assert (status, errors) == (0, "")
        assert all(re.fullmatch(r"(-|[A-Z]+) (-|/\S*) (\d+|no answer) [\d.]+ ms\n", line) for line in service.lines)


@pytest.fixture
def refused(monkeypatch, capfd):
    """Runs the command in this process with arguments that it does not serve by; returns its one line of errors."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # which a command changes

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["serve.py", *arguments])
        assert serve.main() == 1
        errors = capfd.readouterr().err
        assert errors.count("\n") == 1
        return errors

    return run


@pytest.fixture(scope="module")
def probabilities():
    """As a service gives them, which differ from those of `predict_proba` by rounding."""
    classifier = load_model(MODELS / "shapes.msgpack")
    found = classifier.probabilities(next(classifier.predict_logits([IMAGE], by_onnx="all")))
    np.testing.assert_allclose(found, classifier.predict_proba(IMAGE), rtol=0, atol=1e-5)
    return found


def test_curl_gets_the_class_of_an_image_file(service, probabilities):
    status, body = service.ask("POST", "/predict/shapes", FILE.read_bytes())
    assert (status, json.loads(body)["class"]) == (200, "star")
    assert list(json.loads(body)["probabilities"].values()) == probabilities[0].tolist()


CLIENT = """
import sys
import numpy as np
import tritonclient.http as triton
client = triton.InferenceServerClient("127.0.0.1:" + sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("shapes", "1")
assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
metadata = client.get_model_metadata("shapes")
images, expected = np.load(sys.argv[2]), np.load(sys.argv[3])
name, kind, shape = (metadata["inputs"][0][key] for key in ("name", "datatype", "shape"))
assert (kind, shape) == ("UINT8", [-1, *images.shape[1:]])
for binary in (True, False):
    given = triton.InferInput(name, images.shape, kind)
    given.set_data_from_numpy(images, binary_data=binary)
    for packing in (None, "gzip", "deflate"):
        options = dict(request_compression_algorithm=packing, response_compression_algorithm=packing)
        found = client.infer("shapes", [given], request_id="7", **options)
        assert found.get_response()["id"] == "7"
        np.testing.assert_array_equal(found.as_numpy("probabilities"), expected.astype(np.float32))
        np.testing.assert_array_equal(found.as_numpy("labels"), expected.argmax(1))
    for answer in (True, False):
        asked = triton.InferRequestedOutput("probabilities", binary_data=answer)
        found = client.infer("shapes", [given], outputs=[asked], model_version="1")
        np.testing.assert_array_equal(found.as_numpy("probabilities"), expected.astype(np.float32))
        assert found.as_numpy("labels") is None
        asked = triton.InferRequestedOutput("probabilities", binary_data=answer, class_count=2)
        (best, _), *_ = client.infer("shapes", [given], outputs=[asked]).as_numpy("probabilities")
        best = best.decode() if isinstance(best, bytes) else best
        assert best.split(":")[1:] == ["7", "star"]
try:
    client.infer("none", [given])
except triton.InferenceServerException as error:
    assert (error.status(), "no such model" in error.message()) == ("404", True)
else:
    raise AssertionError("it should not have answered")
"""


def test_tritons_client_gets_right_answers(service, probabilities, tmp_path):
    np.save(tmp_path / "images.npy", IMAGE)
    np.save(tmp_path / "expected.npy", probabilities)
    command = [sys.executable, "-c", CLIENT, str(service.port), tmp_path / "images.npy", tmp_path / "expected.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_schemathesis_finds_nothing_that_is_not_as_described(service):
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,unsupported_method,negative_data_rejection"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json"]
    options = ["--checks", checks, "--max-examples=15", "--seed=0", "--phases=examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd="/tmp")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_connections_that_say_nothing_do_not_keep_others_from_right_answers(service, probabilities):
    rng = np.random.default_rng(0)
    with contextlib.ExitStack() as silent:
        connections = [silent.enter_context(service.connected()) for _ in range(300)]
        for each in connections[::3]:
            with contextlib.suppress(OSError):  # it may have been closed for others
                each.sendall(
                    b"POST /predict/shapes HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"[: rng.integers(70)]
                )
        for _ in range(10):
            status, body = service.ask("POST", "/predict/shapes", FILE.read_bytes())
            assert status == 200
            assert list(json.loads(body)["probabilities"].values()) == probabilities[0].tolist()
        begun = time.monotonic()
        for each in connections:
            with contextlib.suppress(ConnectionError):
                while each.recv(1000):  # a 408 may come before the end
                    pass
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b""),
        (b"POST /predict/shapes HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow", b"HTTP/1.1 408 "),
        (b"POST /predict/none HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow", b"HTTP/1.1 404 "),
        (b"POST /predict/shapes HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", b"HTTP/1.1 413 "),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000, b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HTTP/1.1 400 "),
        (CHUNKED + b"xyz\r\n", b"HTTP/1.1 400 "),
        (b"GET /%ff%00%1b HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n" * 1000, b"HTTP/1.1 400 "),
    ],
    ids=["head", "body", "unread body", "long", "headers", "TLS", "chunks", "path", "many ahead"],
)
def test_what_is_no_request_or_never_a_whole_one_is_answered_and_closed(service, sent, answer):
    found = b""
    with service.connected() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        while part := connection.recv(10_000):
            found += part
    assert found.startswith(answer)
    assert bool(found) == bool(answer)
    assert b"Traceback" not in found
    assert service.ask("GET", "/v2/health/live")[0] == 200


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nX: ", CHUNKED + b"1\r\nx\r\n0\r\nX: ", CHUNKED + b"1;x="],
    ids=["header", "trailer", "extension"],
)
def test_what_never_ends_is_not_taken_for_long(service, begun):
    with service.connected() as connection:
        connection.sendall(begun)
        with pytest.raises(ConnectionError):
            connection.sendall(b"x" * 30_000_000)


def test_requests_that_come_before_an_answer_are_answered_in_their_order(service):
    ask = b"GET /v2/models/%s HTTP/1.1\r\nHost: a\r\n%s\r\n"
    with service.connected() as connection:
        connection.sendall(ask % (b"shapes", b"") + ask % (b"none", b"") + ask % (b"shapes", b"Connection: close\r\n"))
        answers = connection.makefile("rb").read()
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200"]


@pytest.mark.parametrize(
    ("keep_alive", "number"),
    [(True, signal.SIGTERM), (False, signal.SIGINT)],
    ids=["one connection, SIGTERM", "new connections, SIGINT"],
)
def test_a_signal_under_load_ends_it_with_status_0_and_every_answer(keep_alive, number, tmp_path, probabilities):
    head = {"inputs": [{"name": "images", "shape": IMAGE.shape, "datatype": "UINT8"}]}
    head["inputs"][0]["parameters"] = {"binary_data_size": IMAGE.size}
    text = json.dumps(head).encode()
    body, headers = text + IMAGE.tobytes(), {"Inference-Header-Content-Length": str(len(text))}
    lost, answers, ending = [], [], threading.Event()

    def client():
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        while True:
            try:
                connection.connect() if connection.sock is None else None
            except ConnectionError:
                return  # nobody listens any more: it was never accepted
            try:
                connection.request("POST", "/v2/models/shapes/infer", body, headers)
                answer = connection.getresponse()
                found = json.loads(answer.read())["outputs"][0]["data"]
                answers.append(found == probabilities[0].astype(np.float32).tolist())
            except (OSError, http.client.HTTPException) as error:
                lost.append((ending.is_set(), repr(error)))
                return
            if not keep_alive:
                connection.close()

    with running() as service, ThreadPoolExecutor(8) as threads:
        clients = [threads.submit(client) for _ in range(8)]
        while len(answers) < 40 and not lost:
            time.sleep(0.01)
        ending.set()
        status, errors = service.end(number)
        for each in clients:
            each.result()
    assert (status, errors, lost) == (0, "", [])
    assert all(answers)


SLOW = """
import sys, time
from ai_library import Classifier
predict = Classifier.predict_logits
def slowly(self, batches, **options):
    time.sleep(60 if len(batches[0]) > 1 else 0)
    return predict(self, batches, **options)
Classifier.predict_logits = slowly
from ai_application.start import serve
sys.exit(serve())
"""


def test_a_request_that_takes_too_long_after_a_signal_is_told_so_and_does_not_keep_it_from_ending():
    asked = tensor(np.repeat(IMAGE, 2, axis=0))
    with running("--finish-seconds=1", script=("-c", SLOW)) as service, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(service.ask, "POST", "/v2/models/shapes/infer", json.dumps(asked))
        while b"ai_requests_running 2.0" not in service.ask("GET", "/metrics")[1]:  # this one is running, too
            time.sleep(0.02)
        begun = time.monotonic()
        status, errors = service.end()
        assert time.monotonic() - begun < 10
    assert (status, "Traceback" in errors, errors.count("\n")) == (0, False, 1)
    assert answer.result()[0] == 503
    assert "the service ends" in json.loads(answer.result()[1])["error"]


def test_nobody_who_reads_its_lines_does_not_stop_it():
    arguments = [sys.executable, ROOT / "scripts/serve.py", "--port", "0"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)  # which holds fewer lines than come
    port = int(re.search(r":(\d+)$", process.stdout.readline())[1])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        for _ in range(200):
            client.request("GET", "/v2/health/live")
            assert client.getresponse().read() == b'{"live":true}'
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_a_model_that_gives_no_numbers_ends_it_with_one_line(tmp_path):
    save_model(tmp_path / "wild.msgpack", small_classifier(fill=-1e30))
    command = [sys.executable, ROOT / "scripts/serve.py", "--port=0", "--model", tmp_path / "wild.msgpack"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*wild.msgpack gives nan or infinity .*\n", done.stderr)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a b.msgpack"], "cannot stand in an address"),
        (["one/m.msgpack", "two/m.msgpack"], "second model that is called m"),
    ],
)
def test_names_that_addresses_cannot_have_are_refused(names, message, tmp_path, refused):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_model(tmp_path / name, small_classifier())
    assert message in refused(*(f"--model={tmp_path / name}" for name in names))


def test_answers_do_not_wait_until_their_beginning_is_acknowledged():
    with listening("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        errors = refused(f"--port={port}")
    assert errors.startswith(f"error: cannot listen on 127.0.0.1, port {port}: Address already in use")
