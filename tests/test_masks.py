import numpy as np
import pytest

from tfp_realnvp.bijectors import masks


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (3, 5, 2), (1, 2, 1)])
def test_checkerboard(image_shape):
    even, odd = masks.checkerboard(image_shape, 0), masks.checkerboard(image_shape, 1)
    assert even.shape == image_shape and even.dtype == bool
    assert np.array_equal(even, ~odd)
    assert even[0, 0].all()
    assert not np.any(even[1:] & even[:-1]) and not np.any(even[:, 1:] & even[:, :-1])


def test_kept_first_is_a_permutation():
    mask = masks.checkerboard((3, 3, 2))
    order = masks.kept_first(mask)
    assert sorted(order) == list(range(18))
    assert mask.reshape(-1)[order].tolist() == [True] * 10 + [False] * 8
