"""The settings of a dataset, and scikit-learn's digits."""

import numpy as np
import pytest

from s4jax.data import DataSettings, sources
from s4jax.errors import UsageError
from s4jax.settings import read


def test_digits_are_scikit_learns(digits):
    from sklearn.datasets import load_digits

    bunch = load_digits()
    assert len(digits.everything) + 400 == len(bunch.target) == 1797
    assert digits.train.images.shape == (997, 8, 8, 1) and digits.train.images.dtype == np.uint8
    together = np.concatenate([digits.everything.images, digits._test.images])[..., 0]
    assert np.allclose(
        np.sort(together.mean((1, 2))), np.sort(np.round(bunch.images * 255 / 16).mean((1, 2)))
    )


def test_settings_have_defaults():
    settings = read(DataSettings, dict(name='digits'), 'config.data')
    assert (settings.root, settings.storage_size) == ('', None)
    assert (settings.search, settings.test) == (0.1, 0.2)


@pytest.mark.parametrize('value, expected', [(400, 400), ('5k', 5000), (1.0, 1), (0.5, 0.5)])
def test_a_split_is_a_fraction_or_a_count(value, expected):
    settings = read(DataSettings, dict(name='digits', search=value), 'config.data')
    assert settings.search == expected and type(settings.search) is type(expected)
    assert settings.model_dump()['search'] == expected


@pytest.mark.parametrize(
    'name, given, size',
    [
        ('cifar10', None, 32),
        ('tiny_imagenet', None, 64),
        ('sun397', None, 256),
        ('cifar10', 40, 40),
    ],
)
def test_images_are_stored_at_the_published_size(name, given, size):
    assert DataSettings(name=name, storage_size=given).size == size


@pytest.mark.parametrize(
    'name', ['digits', 'mnist', 'sun397/tfds:4.0.0', 'cifar10:3.0.2', 'a_b/c-d']
)
def test_names_of_datasets(name):
    assert read(DataSettings, dict(name=name), 'config.data').name == name


NAME = 'write digits, folder or the name of a dataset'


@pytest.mark.parametrize(
    'values, words',
    [
        (dict(name=''), NAME),
        (dict(name='..'), NAME),
        (dict(name='../etc'), NAME),
        (dict(name='a/../b'), NAME),
        (dict(name='a..b'), NAME),
        (dict(name='/etc'), NAME),
        (dict(name='a b'), NAME),
        (dict(name='a\nb'), NAME),
        (dict(name='cifar10\n'), NAME),
        (dict(name='a\x00'), NAME),
        (dict(name='a' * 101), NAME),
        (dict(name='huggingface:mnist'), NAME),  # not a version: it would ask the network
        (dict(name=3), 'name=3 must be text'),
        (dict(name=None), 'name=None must be text'),
        (dict(name='folder'), "root='' is missing where name='folder'"),
        (dict(root='a\x00b'), 'write a path without control characters'),
        (dict(root='\udce9'), 'write a path without control characters'),
        (dict(root=3), 'root=3 must be text'),
        (
            dict(storage_size=0),
            'storage_size=0 must be a whole number from 1 to 4,096',
        ),
        (dict(storage_size=4097), 'storage_size=4097 must be'),
        (dict(storage_size=1.5), 'storage_size=1.5 must be'),
        (dict(storage_size=True), 'storage_size=True must be'),
        (dict(search=0), 'search=0 must be a number above 0'),
        (dict(search=-0.1), 'search=-0.1 must be'),
        (dict(search=1.5), 'search=1.5: write a fraction below 1 or a whole number'),
        (dict(search=float('inf')), 'search=inf must be'),
        (dict(test=1e9), 'test=1000000000.0 must be'),
        (dict(test=float('nan')), 'test=nan must be'),
        (dict(test='many'), "test='many' must be"),
        (dict(nmae='x'), 'nmae is unknown; did you mean name?'),
    ],
)
def test_settings_that_are_refused(values, words):
    with pytest.raises(UsageError) as error:
        read(DataSettings, dict(name='digits') | values, 'config.data')
    assert words in str(error.value) and '\n' not in str(error.value)
    assert str(error.value).startswith('config.data')


def test_digits_need_no_preparation():
    prepared = sources.load(DataSettings(name='digits'))
    assert prepared.directory is None and prepared.names()[:2] == ['0', '1']
    assert len(prepared.split('train')) == 1797 and not len(prepared.split('test'))


@pytest.mark.parametrize('value, channels', [('1', 1), ('3', 3), (3, 3), (None, None)])
def test_channels_may_come_from_the_command_line(value, channels):
    assert DataSettings(name='folder', root='.', channels=value).channels == channels
