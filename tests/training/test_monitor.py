"""The monitor: progress of its own phase alone, and events that TensorBoard can read."""

import struct

import numpy as np

from s4jax.runtime.progress import Progress
from s4jax.training.monitor import Monitor


def records(path):
    """The payloads of a file of TensorBoard events: length, checksum, payload, checksum."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from('<Q', data, place)
        yield data[place + 12 : place + 12 + length]
        place += 12 + length + 4


def test_it_follows_its_own_phase_and_keeps_quiet_in_others(tmp_path):
    progress = Progress(tmp_path, {'one': 80.0}, shown=False)
    monitor = Monitor(tmp_path, 'one', progress, batch_size=4)
    with progress.phase('test'):  # the variables are loaded within another phase
        monitor.start(20)
        monitor.advance(20, np.ones(2))
    assert not (tmp_path / 'tensorboard').exists()
    with progress.phase('one'):
        monitor.start(5)
        assert progress._first == progress._done == 20
        monitor.advance(7, np.array([0.5, 0.25]))
        assert progress._done == 28
    monitor.writer.close()
    (file,) = (tmp_path / 'tensorboard' / 'one').iterdir()
    values = [struct.unpack('<f', r[-4:])[0] for r in records(file) if b'loss' in r]
    assert values == [0.5, 0.25]
