"""Runs of s4jax for the tests: command lines, configs, interruptions, and what must hold of every finished run."""

import hashlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

from absl import flags
from ml_collections import config_flags

from s4jax.models import FAMILIES
from s4jax.report import NOT_COMPARED
from s4jax.search.space import SearchSpace

# compiled with less care: the programs of the tests run for seconds, and compiling them is what the tests wait for
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
    'checkpoint.save_every': 4,
    'checkpoint.log_every': 2,
    'space.depth.lower': 1,
    'space.depth.upper': 2,
    'baseline.depth': 2,
    'budget.params': 32e3,
}


def command(workdir, config='configs/digits.py', base=TINY, **overrides):
    """The command line of a tiny run; `overrides` are keys of the config with dots as double underscores."""
    values = base | {name.replace('__', '.'): value for name, value in overrides.items()}
    return [
        sys.executable,
        '-m',
        's4jax.main',
        f'--config={config}',
        f'--workdir={workdir}',
        *(f'--config.{name}={value}' for name, value in values.items()),
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


def config(**changes):
    """The digits config as a plain dict, with some keys changed (dots as double underscores)."""
    spec = importlib.util.spec_from_file_location('digits', ROOT / 'configs' / 'digits.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    values = module.get_config().to_dict()
    for name, value in changes.items():
        *path, last = name.split('__')
        place = values
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return values


def load(path, argument=''):
    values = flags.FlagValues()
    config_flags.DEFINE_config_file('config', f'{path}{argument}', flag_values=values)
    values(['test'])
    return values.config.to_dict()


def interrupted(moment, workdir, *config, **overrides):
    arguments = command(workdir, *config, **overrides)
    return run(
        [arguments[0], str(ROOT / 'tests' / 'interrupt.py'), moment, *arguments[3:]],
        PYTHONPATH=str(ROOT),
    )


def hashes(workdir):
    """Every file but the checkpoints (Orbax writes its own times into them; the stages hold their digests)."""
    found = {}
    for path in sorted(workdir.rglob('*')):
        name = path.relative_to(workdir)
        if path.is_file() and name.parts[0] not in ('checkpoints', *NOT_COMPARED):
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def same(workdir, reference):
    ours, theirs = hashes(workdir), hashes(reference)
    assert {
        'result.json',
        'report.html',
        'journal.jsonl',
        'stages/evolve.json',
        'metrics/retrain.jsonl',
    } <= set(theirs)
    assert ours == theirs


def read(path):
    return json.loads(path.read_text())


def check_winner(workdir):
    config, result = read(workdir / 'config.json')['config'], read(workdir / 'result.json')
    family = FAMILIES[config['family']]
    evolved = read(workdir / 'stages' / 'evolve.json')
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
