"""The store: what is kept comes back byte for byte; what is not whole is not there."""

import shutil

from s4jax.runtime.store import Store


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def training(workdir, name, text):
    (workdir / 'checkpoints' / name / '12').mkdir(parents=True)
    (workdir / 'checkpoints' / name / '12' / 'state').write_text(text)
    (workdir / 'metrics').mkdir(exist_ok=True)
    (workdir / 'metrics' / f'{name}.jsonl').write_text('{"step": 1}\n')


def test_another_run_gets_the_same_files(tmp_path):
    store, one, other = Store(tmp_path / 'store'), tmp_path / 'one', tmp_path / 'other'
    training(one, 'supernet_0', 'weights')
    assert store.take({'seed': 0}, 'supernet_0', other) is None
    store.keep({'seed': 0}, 'supernet_0', one, {'outcome': {'steps': 12}, 'seconds': 3.5})
    found = store.take({'seed': 0}, 'supernet_0', other)
    assert found == {'outcome': {'steps': 12}, 'seconds': 3.5}
    assert contents(other) == contents(one)


def test_other_work_is_not_found(tmp_path):
    store = Store(tmp_path / 'store')
    training(tmp_path / 'one', 'retrain', 'weights')
    store.keep({'seed': 0, 'lr': 0.1}, 'retrain', tmp_path / 'one', {'outcome': {}, 'seconds': 1})
    assert store.take({'seed': 0, 'lr': 0.2}, 'retrain', tmp_path / 'two') is None
    assert store.take({'lr': 0.1, 'seed': 0}, 'retrain', tmp_path / 'two') is not None
    assert not (tmp_path / 'three').exists()


def test_a_half_written_training_counts_for_nothing(tmp_path):
    store = Store(tmp_path / 'store')
    training(tmp_path / 'one', 'retrain', 'weights')
    store.keep('work', 'retrain', tmp_path / 'one', {'outcome': {}, 'seconds': 1})
    (place,) = store.folder.iterdir()
    (place / 'outcome.json').write_text('{"outc')
    assert store.take('work', 'retrain', tmp_path / 'two') is None


def test_what_stood_there_before_is_replaced_and_the_first_to_keep_wins(tmp_path):
    store = Store(tmp_path / 'store')
    training(tmp_path / 'one', 'retrain', 'weights')
    store.keep('work', 'retrain', tmp_path / 'one', {'outcome': {}, 'seconds': 1})
    shutil.copytree(tmp_path / 'one', tmp_path / 'two')
    (tmp_path / 'two' / 'checkpoints' / 'retrain' / '12' / 'state').write_text('half')
    (tmp_path / 'two' / 'checkpoints' / 'retrain' / '13').mkdir()
    store.keep('work', 'retrain', tmp_path / 'two', {'outcome': {}, 'seconds': 2})
    assert store.take('work', 'retrain', tmp_path / 'two') == {'outcome': {}, 'seconds': 1}
    assert contents(tmp_path / 'two') == contents(tmp_path / 'one')
    assert [path.name for path in store.folder.iterdir() if path.name.startswith('.')] == []
