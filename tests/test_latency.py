"""Latency as a sum over blocks: what is measured, what is kept, and that nothing is left out."""

import json

import jax
import numpy as np
import pytest
from runs import LESS_CARE, command, interrupted, read, run
from small import SMALL

from s4jax import latency as latencies
from s4jax.errors import UsageError
from s4jax.latency import Latency, LatencySettings, parts
from s4jax.models import FAMILIES, swin, vit
from s4jax.search.space import SearchSpace


def architectures(name, count=3):
    facts, dimensions = SMALL[name]
    family = FAMILIES[name]
    space = SearchSpace(dimensions, family.stages(tuple(d.name for d in dimensions)))
    rng = np.random.default_rng(0)
    return [family.architecture(space.sample(rng), **facts) for _ in range(count)]


def example(name):
    """The shapes of the inputs of one image."""
    if name != 'clip':
        return lambda arch: jax.ShapeDtypeStruct(
            (1, arch.image_size, arch.image_size, arch.channels), np.float32
        )
    state = lambda arch: jax.ShapeDtypeStruct((1, arch.tokens, arch.width), np.float32)
    return lambda arch: (state(arch),) * (1 + arch.depth)


def table(name, **settings):
    return Latency(FAMILIES[name], example(name), LatencySettings(**settings), 'float32')


def test_the_parts_of_a_vit():
    arch = vit.Architecture(
        image_size=8, channels=1, patch=2, head_dim=8, classes=5, embed_dim=16, depth=3,
        num_heads=(1, 2, 1), mlp_ratio=(2, 2, 2),
    )  # fmt: skip
    block = 'block 1 embed_dim=16 num_heads={} hidden=32'
    keys = list(parts(vit.sizes_of(arch)))
    assert keys == [block.format(1), block.format(2), block.format(1), 'rest embed_dim=16']


def test_the_parts_of_a_swin_tell_stages_and_shifted_blocks_apart():
    arch = swin.Architecture(
        image_size=16, channels=1, patch=2, window=4, num_heads=(1, 2), classes=5, embed_dim=8,
        depths=(2, 1), mlp_ratio=(2, 2, 2),
    )  # fmt: skip
    assert list(parts(swin.sizes_of(arch), swin.PERIOD)) == [
        'block 1.0 embed_dim=8 hidden=16',
        'block 1.1 embed_dim=8 hidden=16',
        'block 2.0 embed_dim=8 hidden=32',
        'rest embed_dim=8',
    ]


@pytest.mark.parametrize('name', SMALL)
def test_every_block_is_called_with_its_own_sizes(name):
    """The calls that are measured are those of the parts, in order: as many, with their sizes."""
    latency = table(name, batch=2)
    for arch in architectures(name):
        keys = [key for key in parts(FAMILIES[name].sizes_of(arch)) if key.startswith('block')]
        calls = latency._calls(arch)
        assert len(calls) == len(keys) == sum(getattr(arch, 'depths', None) or [arch.depth])
        for key, (block, arguments) in zip(keys, calls):
            hidden = int(key.rpartition('hidden=')[2])
            assert block.hidden == hidden and hidden in arguments
            assert jax.tree.leaves(arguments[0])[0].shape[0] == 2


@pytest.fixture
def counted(monkeypatch):
    """Measurements that are only counted: a block takes 1 µs for every unit of its hidden width."""
    asked = []

    def block_time(block, arguments):
        asked.append(block.hidden)
        return 1000.0 * block.hidden

    monkeypatch.setattr(latencies, 'block_time', block_time)
    monkeypatch.setattr(Latency, '_rest', lambda self, arch: asked.append('rest') or 5000.0)
    return asked


def test_the_latency_is_the_sum_and_each_part_is_measured_once(counted, tmp_path):
    latency = table('vit')
    archs = architectures('vit', 8)
    for arch in archs:
        assert latency(arch) == pytest.approx(0.001 * sum(arch.hidden) + 0.005)
    keys = {key for arch in archs for key in parts(vit.sizes_of(arch))}
    assert len(counted) == len(keys) == len(latency.known)
    list(map(latency, archs))
    assert len(counted) == len(keys)
    latency.keep(tmp_path / 'latency.jsonl')
    (tmp_path / 'latency.jsonl').open('a').write('{"part": "re')  # a kill

    again = table('vit')
    again.read(tmp_path / 'latency.jsonl')
    assert [again(arch) for arch in archs] == [latency(arch) for arch in archs]
    assert len(counted) == len(keys)
    again.keep(tmp_path / 'latency.jsonl')
    wide = vit.architecture(
        dict(embed_dim=40, depth=1, num_heads=(1,), mlp_ratio=(1,)), **SMALL['vit'][0]
    )
    again(wide)
    rows = [json.loads(line) for line in (tmp_path / 'latency.jsonl').read_text().splitlines()]
    assert {row['part']: row['ns'] for row in rows} == again.known
    assert len(rows) == len(keys) + 2


def test_a_family_without_a_block_is_refused():
    class Own:
        __name__ = 'own'

    with pytest.raises(UsageError, match='names no Block'):
        Latency(Own, None, LatencySettings(), 'float32')


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALL)
def test_nothing_is_left_out_of_the_sum(name):
    """Within a factor of 2 of the whole, whatever else the machine does; see benchmarks/latency."""
    latency, arch = table(name, batch=4), architectures(name)[1]
    assert 0.5 < latency(arch) / latency.whole(arch) < 2


@pytest.mark.slow
def test_a_run_within_a_latency_goes_on_with_the_same_numbers(tmp_path):
    workdir = tmp_path / 'run'
    given = dict(budget__params=None, budget__latency_ms=100, explore__iterations=0)
    quick = {'XLA_FLAGS': LESS_CARE}
    stopped = interrupted('phase:retrain:0.5:SIGKILL', workdir, environment=quick, **given)
    assert stopped.returncode == -9
    before = (workdir / 'latency.jsonl').read_text()
    done = run(command(workdir, **given), **quick)
    assert done.returncode == 0, done.stderr
    assert (workdir / 'latency.jsonl').read_text().startswith(before)
    known = {row['part']: row['ns'] for row in map(json.loads, (workdir / 'latency.jsonl').open())}
    winner = read(workdir / 'result.json')['winner']
    arch = vit.Architecture.from_json(winner['architecture'])
    expected = sum(known[key] for key in parts(vit.sizes_of(arch))) / 1e6
    assert winner['costs']['latency_ms'] == expected
    timed = read(workdir / 'phases' / 'latency.json')
    assert timed['summed']['winner'] == expected and timed['measured']['winner'] > 0
    page = (workdir / 'report.html').read_text()
    assert 'sum of its blocks' in page and f'{timed["measured"]["winner"]:.4g} ms' in page
