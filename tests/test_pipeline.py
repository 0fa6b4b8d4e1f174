"""Whole runs: what they leave behind can be checked without them."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image
from runs import check_winner, command, read, run
from sklearn.datasets import load_digits

from s4jax.report import NOT_COMPARED


def check_moves(workdir):
    """Every chosen move again, from the recorded slopes and candidates, and where it leads."""
    config, trajectory = read(workdir / 'config.json')['config'], read(workdir / 'trajectory.json')
    steps = sorted(workdir.glob('phases/explore_*.json'))
    for t, path in enumerate(steps):
        step, before = read(path), trajectory[t]['space']['dimensions']
        scale = [d['tau'] if config['explore']['units'] == 'tau' else 1 for d in before]
        z = np.array(step['slopes']['mean']) * scale
        assert [tuple(c['gamma']) for c in step['candidates']] == [
            g for g in itertools.product((-1, 0, 1), repeat=len(z)) if any(g)
        ]
        legal = {}
        for candidate in step['candidates']:
            gamma = np.array(candidate['gamma'])
            fits = candidate['costs'] is not None and all(
                candidate['costs'][name] < limit
                for name, limit in config['budget'].items()
                if limit is not None
            )
            assert fits == (candidate['rejected'] is None)
            if fits:
                legal[tuple(gamma)] = (
                    gamma @ z / max(np.sqrt(gamma @ gamma) * np.sqrt(z @ z), 1e-300)
                )
        if not z.any():
            assert step['gamma'] is None and step['stopped'] == 'the accuracy gradient is zero'
            continue
        top = max(legal.values())
        chosen = min(gamma for gamma, cosine in legal.items() if cosine >= top - 1e-12)
        if top < 0:
            assert step['gamma'] is None and 'no legal neighbour ascends' in step['stopped']
            continue
        assert tuple(step['gamma']) == chosen and abs(step['cosine'] - top) < 1e-9
        after = trajectory[t + 1]['space']['dimensions']
        for g, old, new in zip(chosen, before, after, strict=True):
            assert new['lower'] - old['lower'] == new['upper'] - old['upper'] == g * old['tau']


@pytest.mark.slow
def test_a_run_can_be_checked_from_what_it_leaves(tiny_run):
    workdir, output = tiny_run
    assert (workdir / 'phases' / 'explore_0.json').exists()
    check_moves(workdir)
    check_winner(workdir)
    result = read(workdir / 'result.json')
    for words in (
        f'{result["winner"]["accuracy"]:.2%}',
        f'{result["winner"]["costs"]["params"]:,} params',
        'hand-made',
        'space A1',
    ):
        assert words in output
    lines = [json.loads(line) for line in (workdir / 'journal.jsonl').read_text().splitlines()]
    assert all(0 <= line['correct'] <= 400 for line in lines)
    assert {path.name for path in workdir.iterdir()} >= {
        'report.html',
        'architecture.json',
        'checkpoints',
        *(set(NOT_COMPARED) - {'plan.json'}),  # begun with --no-plan
    }


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(tiny_run):
    workdir, output = tiny_run
    before = {path: path.stat().st_mtime_ns for path in (workdir / 'phases').iterdir()}
    again = run(command(workdir))
    assert again.returncode == 0 and again.stdout == output
    assert {path: path.stat().st_mtime_ns for path in (workdir / 'phases').iterdir()} == before


@pytest.mark.slow
def test_the_papers_config_in_miniature_on_a_folder_of_images(tmp_path):
    """configs/vit.py with its whole recipe, sliced, in bfloat16, from a space over the budget."""
    bunch = load_digits()
    for i, (image, name) in enumerate(zip(bunch.images, bunch.target_names[bunch.target])):
        (tmp_path / 'mine' / str(name)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(
            tmp_path / 'mine' / str(name) / f'{i}.png'
        )
    (tmp_path / 'mine' / '3' / 'broken.jpg').write_bytes(b'')
    done = run(
        command(
            tmp_path / 'run',
            'configs/vit.py:folder',
            supernet__execution='sliced',
            explore__iterations=0,
            data__search=100,
            data__test=100,
            data__root=tmp_path / 'mine',
            data__storage_size=8,
            model__image_size=16,
            model__patch=8,
            model__head_dim=8,
            preprocess__crop_fraction=1.0,
            space__embed_dim__lower=24,
            space__embed_dim__upper=24,
            space__embed_dim__step=8,
            space__embed_dim__floor=8,
            space__depth__lower=2,
            space__depth__upper=3,
            space__num_heads__lower=2,
            space__num_heads__upper=4,
            budget__params=29e3,
            baseline__embed_dim=16,
            baseline__depth=2,
            baseline__num_heads=2,
        ),
        TFDS_DATA_DIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert (
        '1 of 1,798 images cannot be read and are skipped: 3/broken.jpg (the file is empty)'
        in done.stderr
    )
    splits = read(tmp_path / 'run' / 'splits.json')
    assert {name: len(indices) for name, indices in splits.items()} == {
        'train': 1597,
        'search': 100,
        'test': 100,
    }
    assert not set(splits['search']) & {*splits['train'], *splits['test']}
    assert read(tmp_path / 'run' / 'config.json')['data']['unreadable'] == 1
    check_winner(tmp_path / 'run')
    assert any(read(tmp_path / 'run' / 'trajectory.json')[0]['gamma']), (
        'the first space should have been projected'
    )
    assert read(tmp_path / 'run' / 'phases' / 'supernet_0.json')['execution'] == 'sliced'
