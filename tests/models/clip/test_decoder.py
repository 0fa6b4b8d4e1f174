"""The decoder against its equations written out in NumPy; counts; where gradients end."""

import json
import sys

import jax
import numpy as np
import pytest
from runs import run

from s4jax.errors import UsageError
from s4jax.models.clip import decoder as ladder

FACTS = dict(image_size=4, channels=1, patch=2, width=12, head_dim=3, cross_heads=2, classes=4)
ARCH = ladder.Architecture(
    **FACTS, embed_dim=8, depth=3, num_heads=(1, 3, 2), mlp_ratio=(1.5, 2.0, 1.25)
)


def filled(arch, rng):
    shapes = jax.eval_shape(ladder.Model(arch).init, jax.random.key(0), states(arch, rng))
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) * 0.4, shapes)


def states(arch, rng):
    return tuple(rng.normal(size=(1 + arch.depth, 2, arch.tokens, arch.width)).astype(np.float32))


def norm(p, x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * p[
        'scale'
    ] + p['bias']


def attention(q, k, v):
    logits = np.einsum('bthk,bshk->bhts', q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return np.einsum('bhts,bshk->bthk', weights, v)


def written_out(params, states):
    """s_1 = p_1, s_i = σ(α_i / 0.1) s_{i-1} + (1 - σ(α_i / 0.1)) p_i, with p_i = W_i LN(layer i);
    z += SA(LN z), z += CA(LN z, LN s_i), z += MLP(LN z)."""
    first, *layers = (state.astype(np.float64) for state in states)
    z, s, gates = first, None, 1 / (1 + np.exp(-np.asarray(params['gates'], np.float64) / 0.1))
    for i, (p, layer) in enumerate(zip(params['blocks'], layers, strict=True)):

        def dense(name, x, spec, p=p):
            return np.einsum(spec, x, np.asarray(p[name]['kernel'], np.float64)) + p[name]['bias']

        step = dense('ladder', norm(p['norm_layer'], layer), 'btf,fd->btd')
        s = step if i == 0 else gates[i - 1] * s + (1 - gates[i - 1]) * step
        qkv = dense('qkv', norm(p['norm1'], z), 'btf,fphk->btphk')
        z = z + dense('out', attention(*np.moveaxis(qkv, 2, 0)), 'bthk,hkf->btf')
        q = dense('cross_q', norm(p['norm2'], z), 'btf,fhk->bthk')
        kv = dense('cross_kv', norm(p['norm_ladder'], s), 'btd,dphk->btphk')
        z = z + dense('cross_out', attention(q, *np.moveaxis(kv, 2, 0)), 'bthk,hkf->btf')
        mlp = p['mlp']
        hidden = norm(p['norm3'], z) @ mlp['fc1']['kernel'] + mlp['fc1']['bias']
        z = z + (hidden / (1 + np.exp(-1.702 * hidden))) @ mlp['fc2']['kernel'] + mlp['fc2']['bias']
    return norm(params['norm'], z[:, 0]) @ params['head']['kernel'] + params['head']['bias']


def test_the_equations():
    rng = np.random.default_rng(0)
    variables, inputs = filled(ARCH, rng), states(ARCH, rng)
    with jax.default_matmul_precision('highest'):
        logits = jax.jit(ladder.Model(ARCH).apply)(variables, inputs)
    np.testing.assert_allclose(logits, written_out(variables['params'], inputs), rtol=0, atol=2e-5)


def test_no_gradient_goes_into_the_layers():
    rng = np.random.default_rng(1)
    variables, inputs = filled(ARCH, rng), states(ARCH, rng)
    gradients = jax.jit(jax.grad(lambda states: ladder.Model(ARCH).apply(variables, states).sum()))(
        inputs
    )
    assert np.any(gradients[0]) and not any(np.any(gradient) for gradient in gradients[1:])


def test_counts():
    """The closed form against the model over random architectures; the smallest and the largest of
    Table 1, at 10 classes."""
    rng = np.random.default_rng(2)
    for _ in range(5):
        depth = int(rng.integers(1, 4))
        arch = ladder.Architecture(
            **FACTS | {'classes': int(rng.integers(2, 9))},
            embed_dim=2 * int(rng.integers(1, 6)),
            depth=depth,
            num_heads=tuple(map(int, rng.integers(1, 5, depth))),
            mlp_ratio=tuple(map(float, rng.choice([1.5, 2, 2.3], depth))),
        )
        shapes = jax.eval_shape(ladder.Model(arch).init, jax.random.key(0), states(arch, rng))
        assert ladder.params(arch) == sum(leaf.size for leaf in jax.tree.leaves(shapes))
    for sizes, params in (((336, 3, 2, 3.5), 16_615_596), ((384, 4, 14, 4.0), 34_678_285)):
        embed_dim, depth, heads, ratio = sizes
        arch = ladder.Architecture(
            image_size=224,
            classes=10,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=(heads,) * depth,
            mlp_ratio=(ratio,) * depth,
        )
        assert ladder.params(arch) == params


def test_macs_are_those_of_the_matmuls():
    """Every product of the forward pass, found in its jaxpr."""
    rng = np.random.default_rng(3)
    variables, inputs = filled(ARCH, rng), states(ARCH, rng)

    def products(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == 'dot_general':
                (contracted, _), _ = equation.params['dimension_numbers']
                shape = equation.invars[0].aval.shape
                yield (
                    int(np.prod([shape[axis] for axis in contracted]))
                    * equation.outvars[0].aval.size
                )
            for value in equation.params.values():
                if hasattr(value, 'jaxpr'):
                    yield from products(value.jaxpr)

    made = sum(products(jax.make_jaxpr(ladder.Model(ARCH).apply)(variables, inputs).jaxpr))
    assert made == 2 * ladder.macs(ARCH)  # two images


def test_wrong_architectures_are_refused(tmp_path):
    row = ARCH.to_json()
    for change, words in (
        ({'depth': 2}, 'needs as many'),
        ({'image_size': 5}, 'multiple of patch'),
        ({'embed_dim': 7}, 'embed_dim=7 is not a multiple of cross_heads=2'),
    ):
        with pytest.raises(UsageError, match=words):
            ladder.Architecture.from_json(row | change)
    with pytest.raises(ValueError, match='a decoder of depth 3 needs 4 states, not 3'):
        ladder.Model(ARCH).init(jax.random.key(0), states(ARCH, np.random.default_rng(0))[:3])
    (tmp_path / 'row.json').write_text(json.dumps({'family': 'clip'} | row))
    counted = run([sys.executable, '-m', 's4jax.count', f'--architecture={tmp_path / "row.json"}'])
    assert json.loads(counted.stdout) == {'params': ladder.params(ARCH), 'macs': ladder.macs(ARCH)}
