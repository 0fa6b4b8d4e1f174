"""Resized tables against PyTorch's bicubic interpolation."""

import numpy as np
import pytest

from s4jax.models.weights.resize import bicubic

# torch.nn.functional.interpolate(…, mode='bicubic', align_corners=False) of TABLE in float64, torch
# 2.13.0
TABLE = np.array([[(3 * i * i + 7 * j + 2 * i * j) % 11 for j in range(4)] for i in range(4)])
EXPECTED = {
    2: [[2.530273, 8.813477], [3.391602, 2.014648]],
    3: [
        [1.313886, 5.149884, 8.985882],
        [1.518699, 2.543945, 4.645797],
        [4.615003, 7.800492, 1.150322],
    ],
    6: [
        [-0.935872, 4.111003, 7.325167, 2.588027, 5.802192, 10.849067],
        [1.486762, 2.530273, 4.64048, 6.70327, 8.813477, 9.856988],
        [3.123461, 0.814272, 1.459326, 8.072864, 8.833297, 6.636172],
        [1.045448, 0.557473, 0.508435, 1.48585, 2.013708, 2.08605],
        [2.709418, 3.391602, 4.200376, 4.528791, 2.014648, -0.530599],
        [5.158541, 6.230252, 8.191282, 10.269294, 5.007595, -0.935872],
    ],
}


@pytest.mark.parametrize('side', EXPECTED)
def test_as_pytorch(side):
    both = np.stack([TABLE, 2 * TABLE], -1)
    found = bicubic(both, side)
    np.testing.assert_allclose(found[..., 0], EXPECTED[side], atol=2e-6)
    np.testing.assert_allclose(found[..., 1], 2 * found[..., 0], rtol=1e-6)


def test_the_same_size_is_the_same_table():
    np.testing.assert_array_equal(bicubic(TABLE[..., None], 4)[..., 0], TABLE)
