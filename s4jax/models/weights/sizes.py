"""The architecture of a published model, read off the shapes of its state dict."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from s4jax.errors import UsageError
from s4jax.models import shunted, swin, vit

Arrays = Mapping[str, np.ndarray]


def autoformer(arrays: Arrays, like: vit.Architecture) -> vit.Architecture:
    """The largest subnet of AutoFormer's supernet that is no larger than `like` in any size.

    It is at the image size of `like`. A subnet, because a published subnet's bias of q, k and v is
    no prefix of the supernet's.
    """
    d, channels, patch = _patches(arrays, 'patch_embed_super.proj.weight')
    _same(like, patch=patch, channels=channels)
    _same(like, head_dim=_shape(arrays, 'blocks.0.attn.rel_pos_embed_k.embeddings_table_v')[1])
    width, depth = min(d, like.embed_dim), min(_count(arrays, r'blocks\.(\d+)\.'), like.depth)
    heads, hidden = [], []
    for i in range(depth):
        rows = _shape(arrays, f'blocks.{i}.attn.qkv.weight')[0]
        heads.append(min(rows // (3 * like.head_dim), like.num_heads[i]))
        hidden.append(min(_shape(arrays, f'blocks.{i}.fc1.weight')[0], like.hidden[i]))
    return vit.Architecture(
        image_size=like.image_size,
        channels=channels,
        classes=_shape(arrays, 'head.weight')[0],
        patch=patch,
        head_dim=like.head_dim,
        embed_dim=width,
        depth=depth,
        num_heads=tuple(heads),
        mlp_ratio=tuple(_ratio(h, width) for h in hidden),
    )


def swin_transformer(arrays: Arrays, like: swin.Architecture) -> swin.Architecture:
    """The published Swin, at the image size and window of `like`."""
    d, channels, patch = _patches(arrays, 'patch_embed.proj.weight')
    stages = _count(arrays, r'layers\.(\d+)\.')
    depths = tuple(_count(arrays, rf'layers\.{s}\.blocks\.(\d+)\.') for s in range(stages))
    table = 'layers.{}.blocks.0.attn.relative_position_bias_table'
    heads = tuple(_shape(arrays, table.format(s))[1] for s in range(stages))
    _same(like, patch=patch, channels=channels, num_heads=heads)
    ratios = tuple(
        _ratio(_shape(arrays, f'layers.{s}.blocks.{i}.mlp.fc1.weight')[0], d * 2**s)
        for s in range(stages)
        for i in range(depths[s])
    )
    head = 'head.fc.weight' if 'head.fc.weight' in arrays else 'head.weight'
    return swin.Architecture(
        image_size=like.image_size,
        channels=channels,
        classes=_shape(arrays, head)[0],
        patch=patch,
        window=like.window,
        embed_dim=d,
        depths=depths,
        num_heads=heads,
        mlp_ratio=ratios,
    )


def shunted_transformer(arrays: Arrays, like: shunted.Architecture) -> shunted.Architecture:
    """The published Shunted Transformer, with the heads of `like`: no shape tells their number."""
    width, channels, _ = _patches(arrays, 'patch_embed1.conv.0.weight')
    d = _shape(arrays, 'patch_embed1.norm.weight')[0]
    stages = _count(arrays, r'block(\d+)\.', first=1)
    depths = tuple(_count(arrays, rf'block{s + 1}\.(\d+)\.') for s in range(stages))
    ratios, hidden = [], []
    for s in range(stages):
        name = f'block{s + 1}.0.attn.sr1.weight'
        ratios.append(_shape(arrays, name)[2] if name in arrays else 1)
        for i in range(depths[s]):
            rows = _shape(arrays, f'block{s + 1}.{i}.mlp.fc1.weight')[0]
            hidden.append(_ratio(rows, d * 2**s))
    convolutions = sum(
        name.startswith('patch_embed1.conv.') and array.ndim == 4 for name, array in arrays.items()
    )
    _same(
        like,
        channels=channels,
        stem_width=width,
        num_conv=convolutions - 2,  # the first and the last are always there
        sr_ratios=tuple(ratios),
    )
    return shunted.Architecture(
        image_size=like.image_size,
        channels=channels,
        classes=_shape(arrays, 'head.weight')[0],
        stem_width=width,
        num_conv=convolutions - 2,
        embed_dim=d,
        depths=depths,
        num_heads=like.num_heads,
        sr_ratios=tuple(ratios),
        mlp_ratio=tuple(hidden),
    )


SIZES: dict[str, Callable[[Arrays, Any], Any]] = {
    'vit': autoformer,
    'swin': swin_transformer,
    'shunted': shunted_transformer,
}


def _shape(arrays: Arrays, name: str) -> tuple[int, ...]:
    if name not in arrays:
        first = ', '.join(list(arrays)[:3]) or 'nothing'
        raise UsageError(f"it has no '{name}' (it has {first}, …)")
    return arrays[name].shape


def _patches(arrays: Arrays, name: str) -> tuple[int, int, int]:
    """(width, channels, side of a patch) of the first convolution."""
    shape = _shape(arrays, name)
    if len(shape) != 4:
        raise UsageError(f"its '{name}' is no convolution, of the shape {shape}")
    return shape[0], shape[1], shape[2]


def _count(arrays: Arrays, pattern: str, first: int = 0) -> int:
    """How many numbers the names count up, from `first`."""
    found = {int(match[1]) for name in arrays if (match := re.match(pattern, name))}
    if found != set(range(first, first + len(found))) or not found:
        raise UsageError(f'its blocks are not numbered from {first} ({pattern})')
    return len(found)


def _ratio(hidden: int, width: int) -> float:
    """An MLP ratio that gives exactly this hidden width, which is rounded down."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def _same(like: Any, **published: Any) -> None:
    """Raises where a size that no subnet changes is another one."""
    for name, value in published.items():
        if getattr(like, name) != value:
            shown = ','.join(map(str, value)) if isinstance(value, tuple) else value
            raise UsageError(
                f'it has {name}={shown}, not {getattr(like, name)}: write '
                f'--config.model.{name}={shown}'
            )
