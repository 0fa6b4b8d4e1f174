"""PyTorch state dicts by the published names, one safetensors file for each publisher."""

import dataclasses
import importlib.util
import pathlib
from typing import Any

import jax
import numpy as np

from s4jax import elastic
from s4jax.exporting import safetensors
from s4jax.exporting.program import Program, Runner, Written, on_cpu
from s4jax.models.weights import published


def write(program: Program, family: str, directory: pathlib.Path) -> list[Written]:
    """Writes the state dicts; returns how each runs.

    timm's runs in timm, where it is installed. No package has the other modules: their files are
    read back by our importer, which the tests compare with the published code, and run in JAX.
    """
    arch, found = program.predictor.arch, []
    kind = jax.tree.leaves(program.variables)[0].dtype
    for publisher, state in published.state_dicts(family, program.variables, arch).items():
        path = directory / f'{publisher}.safetensors'
        typed = {n: a.astype(kind) if a.dtype == np.float32 else a for n, a in state.items()}
        safetensors.save(path, typed)
        if publisher == 'timm' and importlib.util.find_spec('timm'):
            found.append(Written('timm', path, _timm(arch, path)))
        else:
            run = _imported(program, publisher, path)
            found.append(Written(f'importer ({publisher})', path, run))
    return found


def _imported(program: Program, publisher: str, path: pathlib.Path) -> Runner:
    """A file that is read back, in JAX."""
    state = jax.tree.map(_float32, safetensors.tensors(path))
    variables = published.IMPORTERS[publisher](state, program.predictor.arch)
    predictor = program.predictor
    sizes = elastic.fixed(predictor.family.sizes_of(predictor.arch))
    return on_cpu(jax.jit(lambda images: predictor.model.apply(variables, images, sizes)))


def _float32(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.kind == 'i' else array.astype(np.float32)


def _timm(arch: Any, path: pathlib.Path) -> Runner:
    """A file in timm's Swin, loaded strictly."""
    import torch
    from safetensors.torch import load_file
    from timm.layers import Mlp
    from timm.models.swin_transformer import SwinTransformer

    fields = {f.name: getattr(arch, f.name) for f in dataclasses.fields(arch)}
    model = SwinTransformer(
        img_size=fields['image_size'],
        patch_size=fields['patch'],
        in_chans=fields['channels'],
        num_classes=fields['classes'],
        embed_dim=fields['embed_dim'],
        depths=fields['depths'],
        num_heads=fields['num_heads'],
        window_size=fields['window'],
    )
    for stage, width, hidden in zip(model.layers, arch.widths, arch.hidden):
        for block, size in zip(stage.blocks, hidden):  # timm has one MLP ratio for all blocks
            block.mlp = Mlp(width, size)
    model.load_state_dict(load_file(path), strict=True)
    model.eval()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()

    return run
