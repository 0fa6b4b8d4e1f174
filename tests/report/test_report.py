"""The report of a run: on runs made by the explorer and the evolution themselves, over a smooth landscape."""

import hashlib
import html
import html.parser
import json
import re
import shutil

import numpy as np
import pytest

from s4jax import report
from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.report import page, plots
from s4jax.runtime.files import phase, read_json, write_json, write_text
from s4jax.search import evolve, explore
from s4jax.search.budget import Budget, readable
from s4jax.search.space import Dimension, SearchSpace
from s4jax.search.start import start

INPUTS = dict(image_size=8, channels=1, patch=2, head_dim=8, classes=10)
SPACE = dict(
    embed_dim=dict(lower=16, upper=32, step=8),
    depth=dict(lower=2, upper=4, step=1),
    num_heads=dict(lower=2, upper=4, step=1, per_block=True),
    mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
)
EVOLUTION = dict(population=12, generations=5, parents=4, mutations=6, crossovers=3)
SEARCH, TEST = 400, 360


def architecture(choices):
    return vit.architecture(choices, **INPUTS)


def cost(arch):
    return {'params': vit.params(arch), 'macs': vit.macs(arch)}


def size(space):
    return cost(architecture(space.largest()))


def score(architectures):
    """A smooth landscape with some noise of its own for each architecture, in whole images."""

    def one(arch):
        value = (
            0.975
            - 0.9 / arch.embed_dim
            - 0.3 * 0.6**arch.depth
            - 0.05 / np.mean(arch.num_heads)
            - 0.03 / np.mean(arch.mlp_ratio)
        )
        noise = (
            int(hashlib.blake2b(repr(arch).encode(), digest_size=4).hexdigest(), 16) / 2**32 - 0.5
        )
        return round(SEARCH * (value + 0.02 * noise)) / SEARCH

    return np.array([one(arch) for arch in architectures])


def write_losses(workdir, name, steps, rng):
    rows = 0.5 + 1.8 * np.exp(-np.arange(1, steps + 1) / 100) + rng.normal(0, 0.08, steps)
    write_text(
        workdir / 'metrics' / f'{name}.jsonl',
        ''.join(
            json.dumps({'step': k, 'loss': float(loss), 'attempt': 0}) + '\n'
            for k, loss in enumerate(rows, 1)
        ),
    )


def make_run(workdir, limits, spaces=SPACE, units='tau', iterations=3, steps=400):
    """A run directory as the pipeline leaves it; returns its result."""
    rng, budget = np.random.default_rng(0), Budget(tuple(limits))
    given = SearchSpace(
        tuple(Dimension(key, **values) for key, values in spaces.items()), vit.stages(tuple(spaces))
    )
    data = {
        'name': 'digits',
        'classes': 10,
        'digest': '0f' * 16,
        'train': 997,
        'search': SEARCH,
        'test': TEST,
    }
    config = {
        'family': 'vit',
        'seed': 0,
        'space': spaces,
        'budget': dict(limits) | {'latency_ms': None},
        'data': {'name': 'digits'},
        'explore': {'iterations': iterations, 'units': units},
        'evolve': EVOLUTION,
        'preprocess': {'mean': [0.3]},
    }
    write_json(workdir / 'config.json', {'config': config, 'data': data, 'identity': {}})
    space, moved = start(given, budget, size, 'project')
    trajectory = [report.visited(space, size(space), moved)]
    write_losses(workdir, 'supernet_0', steps, rng)
    for t in range(iterations):
        step = phase(
            workdir / 'stages' / f'explore_{t}.json',
            lambda: explore.step(
                space, budget, size, score, architecture, rng, pairs=20, units=units
            ).to_json(),
        )
        if step['space'] is None:
            break
        space = SearchSpace.from_json(step['space'])
        trajectory.append(report.visited(space, size(space), step['gamma'], step))
        write_losses(workdir, f'supernet_{t + 1}', steps, rng)
    found = phase(
        workdir / 'stages' / 'evolve.json',
        lambda: evolve.evolve(space, budget, cost, score, architecture, rng, **EVOLUTION).to_json(),
    )
    hand_made = architecture(dict(embed_dim=24, depth=3, num_heads=(3,) * 3, mlp_ratio=(3,) * 3))
    tested = {}
    for stage, arch, correct in (
        ('retrain', vit.Architecture.from_json(found['best']['architecture']), 345),
        ('baseline', hand_made, 341),
    ):
        write_losses(workdir, stage, steps, rng)
        tested[stage] = {
            'correct': correct,
            'images': TEST,
            'accuracy': correct / TEST,
            'architecture': arch.to_json(),
            'costs': cost(arch),
        }
    facts = {'family': 'vit', 'data': data, 'budget': dict(limits), 'seed': 0}
    report.finish(workdir, facts, trajectory, found, tested)
    return read_json(workdir / 'result.json')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('run')
    return workdir, make_run(workdir, limits=(('params', 60e3), ('macs', 1.2e6)), iterations=2)


class Words(html.parser.HTMLParser):
    """The text of a page; raises where an element is not closed in its order."""

    EMPTY = ('meta', '!doctype')

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.attributes = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ['style']:
            self.words.append(data)

    def __str__(self):
        return ''.join(self.words)


def read(workdir):
    return str(Words((workdir / 'report.html').read_text()))


def test_written_twice_is_the_same_to_the_byte(run):
    workdir, _ = run
    first = [(workdir / name).read_bytes() for name in ('report.html', 'report.png')]
    page.write(workdir)
    assert [(workdir / name).read_bytes() for name in ('report.html', 'report.png')] == first
    assert not list(workdir.glob('.*'))


def test_page_is_one_file_without_network_and_script(run):
    workdir, _ = run
    words = Words((workdir / 'report.html').read_text())
    assert not [
        row
        for row in words.attributes
        if row[1] in ('src', 'srcset') or row[0] in ('script', 'link', 'iframe')
    ]
    references = [value for _, key, value in words.attributes if key.endswith('href')]
    ids = [value for _, key, value in words.attributes if key == 'id']
    assert set(references) <= {f'#{name}' for name in ids} | {
        r for r in references if r.startswith('data:')
    }
    assert (
        'url(http' not in (workdir / 'report.html').read_text()
        and '@import' not in (workdir / 'report.html').read_text()
    )


def test_numbers_are_those_of_the_result(run):
    workdir, result = run
    words = read(workdir)
    for key in ('winner', 'baseline'):
        model = result[key]
        low, high = page.wilson(model['correct'], model['images'])
        for told in (
            f'{model["accuracy"]:.2%}',
            f'{model["correct"]} of {model["images"]}',
            f'{low:.1%} to {high:.1%}',
            *(f'{value:,.0f}' for value in model['costs'].values()),
        ):
            assert told in words
    assert f'The winner had {result["winner"]["search_accuracy"]:.2%}' in words
    for row in result['trajectory']:
        assert (
            readable(row['largest']['params']) in words
            and readable(row['largest']['macs']) in words
        )


def test_every_candidate_is_there_with_its_reason(run):
    workdir, _ = run
    rows = re.findall(
        r'<tr class="(chosen|legal|rejected)">(.*?)</tr>', (workdir / 'report.html').read_text()
    )
    told = sorted(
        (kind, html.unescape(re.findall('<td>([^<]*)</td>$', cells)[0])) for kind, cells in rows
    )
    steps = [read_json(path) for path in sorted((workdir / 'stages').glob('explore_*.json'))]
    assert any(step['gamma'] for step in steps) and len(told) == 80 * len(steps)
    assert told == sorted(
        ('chosen', 'chosen')
        if c['gamma'] == step['gamma']
        else ('rejected', c['rejected'])
        if c['rejected']
        else ('legal', 'legal')
        for step in steps
        for c in step['candidates']
    )
    for t, step in enumerate(steps):
        legal = sum(c['rejected'] is None for c in step['candidates'])
        assert (
            f'{plots.label(t)}: {legal} of 80 neighbours legal; the move has cosine {step["cosine"]:.3f}'
            in read(workdir)
        )


def test_neighbours_of_a_space_too_large_to_list_and_of_the_last_step():
    space = SearchSpace(tuple(Dimension(f'num_heads_{k}', 2, 4, 1) for k in range(9)), ((1, None),))
    budget = Budget((('params', 36.0),))
    step = explore.step(
        space,
        budget,
        lambda s: {'params': sum(d.upper for d in s.dimensions)},
        lambda archs: np.array(
            [sum(v * (k - 4) for k, v in enumerate(arch)) / 1e3 for arch in archs]
        ),
        lambda choices: tuple(choices.values()),
        np.random.default_rng(0),
        pairs=4,
        units='raw',
    ).to_json()
    looked_at = len(step['candidates'])
    text = page.neighbours(3, step)
    assert (
        f'{looked_at:,} of 19,682 neighbours looked at, best first, 1 of them legal; the move has cosine'
        in text
    )
    stopped = step | {
        'gamma': None,
        'space': None,
        'cosine': None,
        'stopped': 'no <neighbour> fits',
    }
    text = page.neighbours(3, stopped)
    assert 'stopped: no &lt;neighbour&gt; fits' in text and 'class="chosen"' not in text


HOSTILE = '<script>alert("1")</script>&amp;$x_1$</svg>'


def test_hostile_strings_are_text(tmp_path, run):
    """Wherever a string can come from: the data's name, a dimension, a reason, an origin, why the evolution ended."""
    workdir, _ = run
    hostile = json.dumps(HOSTILE)[1:-1]
    shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob('*.json'):
        text = re.sub('"rejected": "[^"]*', '"rejected": "generations', path.read_text())
        path.write_text(
            re.sub(
                'embed_dim|digits|vit|crossover|mutation|random|generations',
                lambda _: hostile,
                text,
            )
        )
    page.write(tmp_path)
    text = (tmp_path / 'report.html').read_text()
    assert '<script' not in text and text.count('</svg>') == text.count('<svg')
    steps = [read_json(path) for path in (workdir / 'stages').glob('explore_*.json')]
    assert str(Words(text)).count(HOSTILE) > sum(
        c['rejected'] is not None for step in steps for c in step['candidates']
    )


@pytest.mark.parametrize('stages', [0, 1, 2])
def test_unfinished_run(tmp_path, run, stages):
    """What is not there yet is left out: after the config, amid the first supernet, after a step, before the retraining."""
    workdir, _ = run
    names = [
        ['config.json'],
        ['metrics/supernet_0.jsonl', 'stages/explore_0.json'],
        ['stages/evolve.json', 'metrics/retrain.jsonl'],
    ]
    for name in sum(names[: stages + 1], []):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    if stages == 1:
        with open(tmp_path / 'metrics/supernet_0.jsonl', 'a') as file:
            file.write('{"step": 401, "lo')  # a kill while a line is written
        (tmp_path / 'metrics/supernet_1.jsonl').write_text('')
    page.write(tmp_path)
    words = read(tmp_path)
    assert 'not finished' in words and 'Hand-made' not in words
    for title, since in (
        ('How the space moved', 1),
        ('The accuracy gradient', 1),
        ('Training', 1),
        ('The evolution', 2),
        ('The architectures', 2),
        ('Settings', 0),
    ):
        assert (title in words) == (stages >= since), title
    assert (tmp_path / 'report.png').exists() == (stages >= 1)


def test_no_run_is_told(tmp_path):
    with pytest.raises(UsageError, match='holds no run'):
        page.write(tmp_path)


def test_intervals_are_the_published_ones():
    """The examples of Newcombe, Statistics in Medicine 17 (1998): 81 of 263 (857–872); 56 of 70 and 48 of 80 (873–890)."""
    assert page.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert page.newcombe((56, 70), (48, 80)) == pytest.approx((0.0524, 0.2, 0.3339), abs=5e-5)
    assert page.wilson(0, 20)[0] == 0 and page.wilson(20, 20)[1] == 1


@pytest.mark.parametrize(
    'correct, told', [((395, 300), 'does not contain 0'), ((345, 344), 'within the noise')]
)
def test_difference_is_told_honestly(correct, told):
    result = {
        key: {'correct': number, 'images': 400, 'costs': {'params': 10}}
        for key, number in zip(('winner', 'baseline'), correct)
    }
    assert told in page.verdict(result)


def test_moving_average_is_the_mean_of_what_is_there():
    values = np.random.default_rng(0).normal(size=50)
    expected = [values[max(0, k - 3) : k + 4].mean() for k in range(50)]
    np.testing.assert_allclose(plots.moving_average(values, 3), expected)
