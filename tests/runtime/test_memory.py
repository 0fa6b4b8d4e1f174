"""A full device: one line, from the error that XLA really raises."""

import jax
import jax.numpy as jnp
import pytest

from s4jax.errors import UsageError
from s4jax.runtime.files import disk_errors
from s4jax.runtime.memory import device_memory
from s4jax.training.evaluate import EvaluateSettings


def too_much():
    return jax.jit(lambda: jnp.ones((2**22, 2**24)))().block_until_ready()


def test_a_full_device_is_one_line_with_what_to_write(tmp_path):
    advice = EvaluateSettings(architectures=16).smaller
    with pytest.raises(UsageError) as found:
        with device_memory(lambda: advice(many=True)):
            with disk_errors(tmp_path):  # and is not a full disk
                too_much()
    text = str(found.value)
    assert text.startswith('the memory of the device is full (') and 'GiB' in text
    assert '--config.evaluate.architectures=8 (now 16)' in text and '\n' not in text


def test_other_errors_stay_as_they_are():
    with pytest.raises(ZeroDivisionError), device_memory(lambda: ''):
        raise ZeroDivisionError
    settings = EvaluateSettings(architectures=1, batch_size=64)
    assert 'batch_size=32 (now 64)' in settings.smaller(many=True) == settings.smaller(many=False)
    assert 'smaller model' in EvaluateSettings(architectures=1, batch_size=1).smaller(many=True)
