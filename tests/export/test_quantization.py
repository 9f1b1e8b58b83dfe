"""The numbers of an exported model, against the float32 ones that they stand for."""

import numpy as np
import pytest
from tiny import build, checkpoint_of, task

from selfteach_fairseq.checkpoints.checkpoint import Checkpoint
from selfteach_fairseq.export.quantization import quantized
from selfteach_fairseq.export.specification import specification


@pytest.fixture(scope="module")
def spec():
    state = checkpoint_of(build()[0])
    # A row of zeros, and one so small that its scale is near the largest float.
    state["model"]["encoder.layers.0.fc1.weight"][0] = 0
    state["model"]["encoder.layers.0.fc1.weight"][1] = 1e-38
    there = task()
    both = there.source_dictionary, there.target_dictionary
    return specification(Checkpoint.of(state).stock(), both)


def arrays(spec):
    variables = spec.variables().items()
    return {name: value.numpy() for name, value in variables if not isinstance(value, str)}


@pytest.mark.parametrize("kind", ["int8", "int8_float32", "int8_float16"])
def test_int8_has_seven_bits_and_is_as_near_as_they_allow(spec, kind):
    exact, stored = arrays(spec), arrays(quantized(spec, kind))
    matrices = [name for name, values in stored.items() if values.dtype == np.int8 and values.ndim]
    assert len(matrices) > 10
    for name in matrices:
        scale = stored[f"{name}_scale"][:, None]
        assert np.isfinite(scale).all()
        assert np.abs(stored[name]).max() == 64  # products of two fit in 16 bits: 255 * 64 * 2
        error = np.abs(stored[name] / scale - exact[name])
        assert (error <= 0.5001 / scale).all(), name


def test_the_given_numbers_stay(spec):
    before = {name: values.copy() for name, values in arrays(spec).items()}
    quantized(spec, "int8")
    quantized(spec, "int16")
    for name, values in arrays(spec).items():
        assert np.array_equal(values, before[name]), name


@pytest.mark.parametrize("kind", ["float16", "int8_float16"])
def test_numbers_that_do_not_fit_are_refused(kind):
    state = checkpoint_of(build()[0])
    state["model"]["encoder.layers.0.fc1.bias"][0] = 1e6
    there = task()
    both = there.source_dictionary, there.target_dictionary
    large = specification(Checkpoint.of(state).stock(), both)
    with pytest.raises(ValueError, match=f"--quantization {kind}: can't hold encoder/layer_0/ffn"):
        quantized(large, kind)
    quantized(large, "bfloat16")
