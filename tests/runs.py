"""Runs of s4jax for the tests: command lines, configs, interruptions, checks of finished runs."""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

from s4jax import config as configs
from s4jax import config_file
from s4jax.models import FAMILIES
from s4jax.report import NOT_COMPARED
from s4jax.search.space import SearchSpace

# compiled with less care: the programs of the tests run for seconds, compiling them takes longer
LESS_CARE = '--xla_backend_optimization_level=0'
ROOT = pathlib.Path(__file__).parents[1]
ORACLES = pathlib.Path(__file__).parent / 'oracles'
TINY = {  # the demo in miniature: every stage, a handful of steps each
    'supernet.epochs': 1,
    'retrain.epochs': 1,
    'supernet.warmup_epochs': 0.5,
    'retrain.warmup_epochs': 0.5,
    'explore.iterations': 1,
    'explore.pairs': 3,
    'evolve.population': 6,
    'evolve.generations': 2,
    'evolve.parents': 3,
    'evolve.mutations': 2,
    'evolve.crossovers': 1,
    'evaluate.architectures': 8,
    'checkpoint.save_every': 8,
    'checkpoint.log_every': 2,
    'space.depth.lower': 1,
    'space.depth.upper': 2,
    'baseline.depth': 2,
    'budget.params': 32e3,
}


def command(workdir, config='configs/digits.py', base=TINY, **overrides):
    """The command line of a tiny run; `overrides` are keys with dots as double underscores."""
    settings = base | {name.replace('__', '.'): value for name, value in overrides.items()}
    return [
        sys.executable,
        '-m',
        's4jax.main',
        f'--config={config}',
        f'--workdir={workdir}',
        '--no-plan',  # it compiles and times what the tests do not look at
        *(f'--config.{name}={value}' for name, value in settings.items()),
    ]


def run(arguments, timeout=900, **environment):
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=timeout,
        capture_output=True,
        text=True,
    )


def values(name='configs/digits.py', **changes):
    """A config file's values, with some keys changed (dots as double underscores)."""
    found = config_file.load(str(ROOT / name))
    for key, value in changes.items():
        *path, last = key.split('__')
        place = found
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return found


def config(name='configs/digits.py', **changes):
    """A config file as a typed config, with some keys changed."""
    return configs.read(values(name, **changes))


def interrupted(moment, workdir, *config, environment=None, **overrides):
    arguments = command(workdir, *config, **overrides)
    return run(
        [arguments[0], str(ROOT / 'tests' / 'interrupt.py'), moment, *arguments[3:]],
        PYTHONPATH=str(ROOT),
        **(environment or {}),
    )


def without_times(path):
    """The bytes of a file; of the page without the sections that hold times and paths."""
    own = rb'<section class="own">.*?</section>' if path.name == 'report.html' else b'$^'
    return re.sub(own, b'', path.read_bytes(), flags=re.DOTALL)


def hashes(workdir):
    """Every file but the checkpoints: Orbax writes times into them, phases hold their digests."""
    found = {}
    for path in sorted(workdir.rglob('*')):
        name = path.relative_to(workdir)
        if path.is_file() and name.parts[0] not in ('checkpoints', *NOT_COMPARED):
            found[str(name)] = hashlib.sha256(without_times(path)).hexdigest()
    return found


def untimed(output, workdir):
    """What a run printed, without its folder's name and the line of what it took."""
    lines = output.replace(str(workdir), '').splitlines()
    return [line for line in lines if not line.startswith('time ')]


def same(workdir, reference):
    ours, theirs = hashes(workdir), hashes(reference)
    assert {
        'result.json',
        'report.html',
        'journal.jsonl',
        'phases/evolve.json',
        'metrics/retrain.jsonl',
    } <= set(theirs)
    assert ours == theirs


def read(path):
    return json.loads(path.read_text())


def check_winner(workdir):
    config, result = read(workdir / 'config.json')['config'], read(workdir / 'result.json')
    family = FAMILIES[config['family']]
    evolved = read(workdir / 'phases' / 'evolve.json')
    architectures = [json.dumps(m['architecture']) for m in evolved['members']]
    assert len(set(architectures)) == len(architectures)
    for member in evolved['members']:
        arch = family.Architecture.from_json(member['architecture'])
        assert member['costs'] == {'params': family.params(arch), 'macs': family.macs(arch)}
        assert member['costs']['params'] <= config['budget']['params']
    top = max(m['accuracy'] for m in evolved['members'])
    assert evolved['best']['accuracy'] == top == result['winner']['search_accuracy']
    assert result['winner']['architecture'] == evolved['best']['architecture']
    space = SearchSpace.from_json(result['trajectory'][-1]['space'])
    assert space.contains(
        {n: tuple(v) if isinstance(v, list) else v for n, v in evolved['best']['choices'].items()}
    )
    for row in result['trajectory']:
        assert row['largest']['params'] < config['budget']['params']
    for model in (result['winner'], result['baseline']):
        assert model['accuracy'] == model['correct'] / model['images']
