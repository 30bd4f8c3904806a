"""Every response comes back bit for bit, whatever a model put into it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import codec
from harness.api.errors import DataError
from harness.api.types import Embedded, Failure, Forecasted, Generated, Labelled, Scored


def there_and_back(response):
    return codec.decode_response(codec.loads(codec.dumps(codec.encode_response(response))))


@pytest.mark.parametrize(
    "response",
    [
        Generated(""),
        Generated("a\x00b \ud800 \u202e🙂\r\n\x1b[31m", tokens=(3, 0), accepted=(1, 1), calls=2, finished="eos"),
        Generated("x", extra={"draft": math.nan, "share": 0.5}),
        Scored((), ()),
        Scored((-math.inf, -0.1, 5e-324), ((0, 1), (1, 1), (1, 4)), greedy=True),
        Failure("out of memory"),
        Failure(""),
    ],
)
def test_a_response_comes_back_equal(response):
    assert repr(there_and_back(response)) == repr(response)


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<i8", ">f4"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4)])
def test_arrays_keep_their_bytes_type_and_shape(dtype, shape):
    array = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    back = there_and_back(Labelled(array)).scores
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_arrays_keep_nan_infinity_and_their_order_in_memory_does_not_matter():
    array = np.array([[np.nan, np.inf], [-np.inf, -0.0], [1.0, 2.0]]).T
    back = there_and_back(Forecasted(array, samples=array[None])).samples
    assert back.tobytes() == np.ascontiguousarray(array).tobytes()
    back[0, 0, 0] = 1.0  # a stored array is the reader's own


def test_an_embedding_of_float32_stays_float32():
    assert there_and_back(Embedded(np.ones(4, dtype=np.float32))).vector.dtype == np.float32


@given(st.lists(st.floats(allow_nan=False)))
def test_every_float_survives(values):
    assert codec.loads(codec.dumps(values)) == values


@given(st.text(alphabet=st.characters()))
def test_every_text_survives_on_one_ascii_line(text):
    line = codec.dumps({"text": text})
    assert line.isascii()
    assert "\n" not in line
    assert codec.loads(line) == {"text": text}


@pytest.mark.parametrize("stored", [{"type": "os.system"}, {"text": "x"}, {"type": "Generated", "evil": 1}])
def test_an_unknown_type_or_field_is_refused(stored):
    with pytest.raises(DataError, match="cannot be read"):
        codec.decode_response(stored)


@pytest.mark.parametrize("shape", [(0, 1), (5, 3), (1, 1)])
def test_a_packed_matrix_comes_back_exactly(shape):
    matrix = np.random.default_rng(0).normal(size=shape)
    matrix[:1] = np.nan
    np.testing.assert_array_equal(codec.unpack_matrix(codec.pack_matrix(matrix)), matrix)


@pytest.mark.parametrize("change", [{"shape": [7, 7]}, {"zlib": "AAAA"}, {"zlib": "not base64"}, {"zlib": None}])
def test_a_damaged_matrix_is_reported(change):
    with pytest.raises(DataError, match="stored statistics"):
        codec.unpack_matrix(codec.pack_matrix(np.ones((2, 2))) | change)


def test_an_object_that_is_no_data_is_not_stored():
    with pytest.raises(TypeError, match="a function cannot be stored"):
        codec.dumps({"hook": there_and_back})
