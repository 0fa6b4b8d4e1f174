"""Config files: found here or in the package, and what is wrong with one in one line."""

import pytest
from runs import ROOT

from s4jax import config_file
from s4jax.errors import UsageError

HEAD = 'import ml_collections\n'


@pytest.mark.parametrize(
    'text, words',
    [
        ('def get_config(:\n', 'wrong.py, line 1: '),
        ('import nothing_of_that_name\n', "line 1: ModuleNotFoundError: No module named 'nothing_"),
        ('x = 1\n', 'has no function get_config'),
        ('get_config = 3\n', 'has no function get_config'),
        ('def get_config():\n    return 3\n', 'get_config returns a int; it must return a Config'),
        ('def get_config():\n    return {}\n', 'get_config returns a dict; it must return a Confi'),
        (f'{HEAD}def get_config():\n    raise KeyError("no\\nkey")\n', 'line 3: KeyError: '),
        ('', 'has no function get_config'),
        ('\x00', 'wrong.py'),
    ],
)
def test_files_that_are_wrong(text, words, tmp_path):
    path = tmp_path / 'wrong.py'
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        config_file.load(str(path))
    assert words in str(error.value) and '\n' not in str(error.value), str(error.value)


@pytest.mark.parametrize(
    'name, words',
    [
        ('configs/digit.py', 'does not exist; did you mean configs/digits.py?'),
        ('nowhere/x.py', '--config=nowhere/x.py does not exist'),
        ('configs', '--config=configs is a folder'),
        ('x' * 5000, 'does not exist'),
        ('a\0b', 'does not exist'),
        ('configs/digits.py:large', 'digits.py is written without :large'),
    ],
)
def test_names_that_are_wrong(name, words, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError) as error:
        config_file.load(name)
    assert words in str(error.value) and '\n' not in str(error.value), str(error.value)


def test_a_config_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file.load('configs/digits.py')['family'] == 'vit'
    assert config_file.load('configs/swin.py:smoke')['data']['name'] == 'digits'
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'digits.py').write_text(
        f'{HEAD}def get_config():\n    return ml_collections.ConfigDict(dict(family="mine"))\n'
    )
    assert config_file.load('configs/digits.py') == {'family': 'mine'}  # one's own comes first


def test_overrides_reach_keys_that_are_not_there():
    values = {'seed': 0, 'evolve': {}}
    config_file.override(values, [('evolve.tries', '5'), ('a.b.c', 'x'), ('seed', 'None')])
    assert values == {'seed': None, 'evolve': {'tries': '5'}, 'a': {'b': {'c': 'x'}}}
    with pytest.raises(UsageError, match='config.evolve.tries is a value, not a group of keys'):
        config_file.override(values, [('evolve.tries.more', '5')])
