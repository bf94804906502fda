"""Whatever JSON a model file's header holds, it loads as what it says or is refused in one line, in little memory."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ai_library import InputError, ModelFileError, load_model, save_model
from ai_library.data.folders.samples import Sample
from ai_library.networks.network import network_of
from ai_library.networks.resnet import ResNet
from ai_library.reporting.findings import Findings
from ai_library.reporting.page import report_page
from ai_library.reporting.predictions import predict_samples
from ai_library.tests.model_files import peaks_of_loading, rewritten, sealed, small_classifier

# What hypothesis draws may be long, of which it then warns.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

HUGE = [10**400, -(10**400), 1e308, 2**63, 2**31, -1, 0, 1.5, True, None, "", "x" * 3000, "\x1b[2J", "\u202e", "$\\x$"]

numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(HUGE)
values = st.recursive(
    numbers | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
PLACES = [
    (),
    *((name,) for name in ("class_names", "image_shape", "preprocessing", "network", "temperature", "metrics")),
    *(("class_names", i) for i in (0, 1)),
    *(("image_shape", i) for i in (0, 1, 2)),
    *(("preprocessing", name) for name in ("scale", "offset", "content_size", "new")),
    *(("network", name) for name in ("name", "arguments", "new")),
    *(("network", "arguments", name) for name in ("num_classes", "features", "dense", "patch", "name", "parent")),
    *(("metrics", name) for name in ("evaluation", "validation")),
    *(("metrics", "evaluation", name) for name in ("accuracy", "n", "accuracy_interval")),
    *(("metrics", "validation", name) for name in ("validation_accuracy", "epoch")),
]
METRICS = {"evaluation": {"accuracy": 0.5, "n": 2}, "validation": {"validation_accuracy": 0.5, "epoch": 1}}


def changed(header, changes):
    """A header with other values at those of the places that it has."""
    holder = {"header": header}
    for place, value in changes:
        *path, last = "header", *place
        inner = holder
        for name in path:
            inner = inner[name] if isinstance(inner, dict) and name in inner else {}
        if (isinstance(inner, list) and last in range(len(inner))) or isinstance(inner, dict):
            inner[last] = value
    return holder["header"]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    save_model(path := tmp_path_factory.mktemp("small") / "m", small_classifier(metrics=METRICS))
    return path.read_bytes()


def with_header(data, encoded):
    """The bytes of a model file with another header."""
    end = 16 + struct.unpack_from("<8sII", data)[2]
    return sealed(data[:12] + struct.pack("<I", len(encoded)) + encoded + data[end:-32])


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(PLACES), values), max_size=3))
@example([(("metrics", "evaluation", "accuracy"), 10**400)])
@example([(("network", "name"), "ResNet"), (("network", "arguments"), {"num_classes": 2, "parent": 5})])
@example([(("network", "name"), "x" * 3000)])
@example([(("network", "arguments"), {"x" * 3000: 1, "\x1b[2J": 1})])
@example([(("image_shape",), [10**400] * 3)])
@example([(("class_names", 0), "x" * 1_900_000)])
def test_a_header_with_any_values_loads_as_it_says_or_is_refused_in_a_line(small_model, tmp_path, changes):
    length = struct.unpack_from("<8sII", small_model)[2]
    header = changed(json.loads(small_model[16 : 16 + length]), changes)
    (tmp_path / "m").write_bytes(with_header(small_model, json.dumps(header).encode()))
    try:
        classifier = load_model(tmp_path / "m")
    except ModelFileError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 600
        return
    assert list(classifier.class_names) == header["class_names"]
    assert classifier.metrics == header["metrics"]
    assert len(repr(classifier)) < 1000
    assert len(report_page(Findings(classifier=classifier, images=1, report=None, hardest=[]))) < 40_000
    if sum(classifier.image_shape) < 100:
        image = np.zeros(classifier.image_shape, np.uint8)
        findings = predict_samples(classifier, [Sample("0", 1, image)], tmp_path / "out")
        assert findings.report.n == 1


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "-Infinity", "NaN"])
def test_a_figure_that_is_no_number_is_refused(small_model, tmp_path, number):
    text = json.dumps({"class_names": ["a", "b"], "metrics": {"x": 0}}).replace("0", number)
    (tmp_path / "m").write_bytes(with_header(small_model, text.encode()))
    with pytest.raises(ModelFileError, match=f"header that is not JSON .{number} is not a number"):
        load_model(tmp_path / "m")


def test_a_network_of_more_blocks_than_a_file_holds_is_refused_at_once(small_model, tmp_path):
    for features, blocks in (((1,) * 64, 4), ((16_384,) * 4, 64), ((1,) * 64, 64)):
        with pytest.raises(InputError, match="at most 192 blocks in all stages, got"):
            network_of(ResNet, {"num_classes": 2, "features": features, "blocks": blocks})
    (tmp_path / "m").write_bytes(small_model)
    arguments = {"num_classes": 2, "features": [1] * 64, "blocks": 64}
    rewritten(
        tmp_path / "m", tmp_path / "m", lambda header: header["network"].update(name="ResNet", arguments=arguments)
    )
    with pytest.raises(ModelFileError, match="at most 192 blocks"):
        load_model(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_header_full_of_any_value_takes_less_than_100_mb(small_model, tmp_path):
    paths = []
    for value in ["{}", '{"":{}}', "[[[]]]", '"\U0001f600"', '{"":0}']:
        values = ",".join([value] * ((2**21 - 1000) // len(f"{value},".encode())))
        text = f'{{"metrics": {{"x": [{values}]}}}}'
        paths.append(tmp_path / str(len(paths)))
        paths[-1].write_bytes(with_header(small_model, text.encode()))
    for path, peak in zip(paths, peaks_of_loading(paths), strict=True):
        assert peak < 2 * path.stat().st_size + 100e6, path
