"""Parts of messages."""

from s4jax.data.messages import first_few, near


def test_near():
    assert near('cifar1O', ['cifar10', 'digits', 'cifar100']) == '; near: cifar10, cifar100'
    assert near('xyz', iter(['cifar10'])) == ''


def test_first_few():
    reasons = {f'{i}.png': 'empty' for i in range(5)}
    assert first_few(reasons, 2) == '0.png (empty); 1.png (empty) and 3 more'
    assert first_few({'a.png': 'empty'}) == 'a.png (empty)'
