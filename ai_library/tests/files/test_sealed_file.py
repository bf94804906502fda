"""What can be written to a sealed file can be read from it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ai_library import InputError
from ai_library.files.sealed_file import SealedFormat, check_arrays

FORMAT = SealedFormat(magic=b"AILTESTS", version=1, name="a test")
TYPES = [np.float32, np.float16, jnp.bfloat16, bool, np.int8, np.int16, np.int32, np.uint8, np.uint16, np.uint32]

leaves = st.sampled_from(TYPES).flatmap(
    lambda dtype: st.builds(
        lambda bits: bits.astype(dtype),
        arrays.arrays(np.uint8, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)),
    )
)
trees = st.recursive(
    leaves | st.none(), lambda children: st.dictionaries(st.text(max_size=140), children, max_size=20), max_leaves=30
)


def written_and_read(path, tree):
    FORMAT.write(path, {}, tree)
    return FORMAT.read(path)[2]


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(tree=st.dictionaries(st.text(max_size=140), trees, max_size=5))
def test_a_tree_is_read_as_it_was_or_refused_when_it_is_written(tmp_path_factory, tree):
    path = tmp_path_factory.mktemp("sealed") / "file"
    try:
        read = written_and_read(path, tree)
    except InputError:
        assert not path.exists()
        return
    check_arrays(read, tree)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), read, tree))


@pytest.mark.parametrize("dtype", TYPES)
def test_types_of_networks_and_optimizers_come_back(tmp_path, dtype):
    read = written_and_read(tmp_path / "file", {"a": np.arange(3).astype(dtype)})
    assert read["a"].dtype == dtype
    np.testing.assert_array_equal(read["a"], np.arange(3).astype(dtype))


def test_networks_of_many_layers_come_back(tmp_path):
    tree = {"params": {f"Conv_{layer}": {"kernel": np.full(2, layer, np.float32)} for layer in range(600)}}
    read = written_and_read(tmp_path / "file", tree)
    assert read["params"].keys() == tree["params"].keys()
    assert (read["params"]["Conv_599"]["kernel"] == 599).all()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": {"b": np.zeros(2)}}, r"a test holds arrays of float32, .*, but a/b is float64\(2,\)"),
        ({"a": np.array("text")}, "but a is <U4"),
        ({"a": np.zeros(2, complex)}, "but a is complex128"),
        ({"a": np.zeros((1,) * 33, np.float32)}, "at most 32 dimensions"),
        ({"n" * 129: np.zeros(1, np.float32)}, "names of at most 128 bytes"),
        ({str(i): np.zeros(1, np.float32) for i in range(4_097)}, r"at most 4,096 dictionaries and entries, got 4,098"),
        (np.zeros(1, np.float32), "must hold a dictionary of arrays"),
    ],
)
def test_what_could_not_be_read_is_refused_by_its_name(tmp_path, tree, message):
    with pytest.raises(InputError, match=message):
        FORMAT.write(tmp_path / "file", {}, tree)
    assert not (tmp_path / "file").exists()


def test_a_random_key_of_jax_is_refused(tmp_path):
    with pytest.raises(InputError, match="a test can only hold arrays of numbers"):
        FORMAT.write(tmp_path / "file", {}, {"key": jax.random.key(0)})


def test_a_class_that_flax_cannot_store_is_named_with_what_to_do():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Count:
        n: np.ndarray

    with pytest.raises(
        InputError, match="but state/0 is Count: make its class a NamedTuple or a flax.struct.dataclass"
    ):
        FORMAT.storable({"state": (Count(np.zeros(2, np.int32)),)})
