"""The record of a training phase: back from its JSON as it was."""

import json

import pytest

from s4jax.training.trained import Record


def test_a_record_survives_json():
    record = Record({'depth': 2, 'num_heads': [1, 2]}, 'masked', 623, 'f0ef', 19_936, 0.25)
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    with pytest.raises(TypeError):
        Record.from_json({'steps': 3})
