"""The ViT against AutoFormer's published code: logits, gradients, counts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from published import autoformer_subnets, state

from s4jax.errors import UsageError
from s4jax.models import vit
from s4jax.models.weights import autoformer as importer


@pytest.mark.parametrize('x64, tolerance', [(False, 2e-5), (True, 1e-9)])
def test_logits_of_published_subnets(autoformer, x64, tolerance):
    with jax.enable_x64(x64), jax.default_matmul_precision('highest'):
        dtype = jnp.float64 if x64 else jnp.float32
        images = jnp.asarray(autoformer['images'].transpose(0, 2, 3, 1), dtype)
        for i, _, arch in autoformer_subnets(autoformer):
            variables = importer.variables(state(autoformer, 'param:'), arch)
            variables = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), variables)
            logits = jax.jit(vit.Model(arch, dtype).apply)(variables, images)
            expected = autoformer[f'sub{i}/logits_float64' if x64 else f'sub{i}/logits']
            np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)


def test_gradients_of_a_published_subnet(autoformer):
    _, _, arch = list(autoformer_subnets(autoformer))[1]
    weights, gradients = state(autoformer, 'param:'), state(autoformer, 'sub1/grad/')
    images = autoformer['images'].transpose(0, 2, 3, 1)

    def loss_of(variables):
        logits = vit.Model(arch).apply(variables, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.array([1, 5])).mean()

    with jax.default_matmul_precision('highest'):
        loss, ours = jax.jit(jax.value_and_grad(loss_of))(importer.variables(weights, arch))
    np.testing.assert_allclose(loss, autoformer['sub1/loss'], rtol=1e-6)
    # The import only moves and selects entries, so it maps gradients as it maps weights; NaN stands
    # for those that are not published.
    published = importer.variables(
        {name: gradients.get(name, np.full_like(weights[name], np.nan)) for name in weights}, arch
    )
    compared = 0
    for mine, theirs in zip(jax.tree.leaves(ours), jax.tree.leaves(published), strict=True):
        known = ~np.isnan(theirs)
        np.testing.assert_allclose(np.asarray(mine)[known], theirs[known], rtol=0, atol=2e-5)
        compared += np.count_nonzero(theirs[known])
    # none lies outside the subnet
    assert compared == sum(np.count_nonzero(gradient) for gradient in gradients.values())


def test_counts_of_published_models(vit_rows):
    for row in vit_rows:
        arch = vit.Architecture.from_json(row)
        assert (vit.params(arch), vit.macs(arch)) == (row['params'], row['macs']), row['note']


@pytest.mark.parametrize(
    'embed_dim, heads, ratios, params',
    [
        # experiments/subnet/AutoFormer-{T,S,B}.yaml of the published code
        (
            192,
            (3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 3, 3),
            (3.5, 3.5, 3, 3.5, 3, 3, 4, 4, 3.5, 4, 3.5, 4, 3.5),
            5_867_944,
        ),
        (
            384,
            (6, 6, 5, 7, 5, 5, 5, 6, 6, 7, 7, 6, 7),
            (3, 3.5, 3, 3.5, 4, 4, 4, 4, 4, 4, 4, 3.5, 4),
            22_891_432,
        ),
        (
            576,
            (9, 9, 9, 9, 9, 10, 9, 9, 10, 9, 10, 9, 9, 10),
            (3.5, 3.5, 4, 3.5, 4, 3.5, 3.5, 3, 4, 4, 3, 4, 3, 3.5),
            53_691_688,
        ),
    ],
)
def test_published_autoformer_sizes(embed_dim, heads, ratios, params):
    arch = vit.Architecture(
        image_size=224,
        classes=1000,
        embed_dim=embed_dim,
        depth=len(heads),
        num_heads=heads,
        mlp_ratio=ratios,
    )
    assert vit.params(arch) == params


def test_counts_are_those_of_the_model(autoformer):
    rng = np.random.default_rng(0)
    for _ in range(6):
        depth = int(rng.integers(1, 4))
        arch = vit.Architecture(
            image_size=16,
            patch=4,
            channels=int(rng.integers(1, 4)),
            classes=int(rng.integers(2, 9)),
            head_dim=8,
            embed_dim=8 * int(rng.integers(1, 5)),
            depth=depth,
            num_heads=tuple(map(int, rng.integers(1, 5, depth))),
            mlp_ratio=tuple(map(float, rng.choice([2, 2.3, 4], depth))),
        )
        images = jnp.zeros((1, 16, 16, arch.channels))
        variables = jax.eval_shape(vit.Model(arch).init, jax.random.key(0), images)
        assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == vit.params(arch)
    for _, params, arch in autoformer_subnets(autoformer):
        assert vit.params(arch) == params


@pytest.mark.parametrize(
    'change, words',
    [
        ({'depth': 3}, 'needs as many'),
        ({'image_size': 30}, 'multiple of patch'),
        ({'embed_dim': -1}, 'embed_dim=-1 must be'),
        ({'emed_dim': 3}, 'emed_dim is unknown; did you mean embed_dim'),
    ],
)
def test_architectures_that_cannot_be_are_refused(change, words):
    row = dict(image_size=32, patch=8, classes=7, embed_dim=64, depth=2)
    row |= dict(num_heads=[1, 1], mlp_ratio=[4.0, 4.0])
    vit.Architecture.from_json(row)
    with pytest.raises(UsageError, match=words):
        vit.Architecture.from_json(row | change)
