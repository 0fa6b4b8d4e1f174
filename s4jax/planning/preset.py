"""What a config with `hours` leaves at None is chosen here, by rules: docs/how-to/folder.md.

`propose` follows from the images, the budget, the device and the hours; `epochs` from steps that
were really timed. Both are pure. A key that has a value keeps it.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydantic

from s4jax import settings
from s4jax.config import Config
from s4jax.data.survey import Survey
from s4jax.errors import UsageError
from s4jax.models import FAMILIES, vit
from s4jax.search.budget import Budget
from s4jax.settings import number, shown

Values = dict[str, Any]
LONG = 4.0  # hours from which the search is as long as the paper's
GRIDS = (4, 14)  # patches along a side: fewest and most
PATCHES = (8, 16)  # pixels of the largest patch, with less and with more than FINE patches a side
FINE = 10
PASSES, LEAST_IMAGES = 20, 60_000  # what a training should see: passes, and images in all
TRAININGS = 6  # supernets, winner and hand-made model, about
SPEED = {'cpu': 2.5e10, 'accelerator': 4e13}  # FLOP/s of a core, or of a chip: a first guess
HEAD_DIMS = ((1e7, 64), (1e6, 32), (2e5, 16), (0, 8))  # from how many parameters
MOST_EPOCHS = 500  # as in the paper
USED = 0.94  # of the hours; the rest is for what nobody has thought of
FULL = dict(rand_augment='m9-mstd0.5-inc1', erasing=0.25, mixup=0.8, cutmix=1.0, scale=(0.08, 1.0))
# the key `hours` alone: sizes follow from it before the whole config can be typed
_hours: Any = (Config.model_fields['hours'].annotation, Config.model_fields['hours'])
HOURS: Any = pydantic.create_model('Hours', __base__=settings.Section, hours=_hours)
LIGHT = dict(rand_augment='', erasing=0.0, mixup=0.0, cutmix=0.0, scale=(0.35, 1.0))


@dataclasses.dataclass(frozen=True)
class Device:
    """`platform` is JAX's: cpu, gpu or tpu; `count` devices, and the cores of the machine."""

    platform: str
    count: int
    cores: int

    @property
    def speed(self) -> float:
        """A guess of the FLOP/s of a training, to choose sizes by; times are measured."""
        if self.platform == 'cpu':
            return SPEED['cpu'] * self.cores
        return SPEED['accelerator'] * self.count


def wanted(values: Mapping[str, Any]) -> bool:
    """Whether a config asks for choices: it has `hours`."""
    return values.get('hours') is not None


def fill(values: Mapping[str, Any], proposal: Mapping[str, Any]) -> Values:
    """`values` with every None replaced by the proposal's value; keys left out stay out."""
    result = dict(values)
    for name, value in proposal.items():
        given = result.get(name)
        if isinstance(value, Mapping) and isinstance(given, Mapping | None):
            result[name] = fill(given or {key: None for key in value}, value)
        elif name in result and given is None:
            result[name] = value
    return result


def given(values: Mapping[str, Any], key: str, default: float | None = None) -> Any:
    """The number at a key such as 'model.patch', or the default where it is None or missing."""
    place: Any = values
    for part in key.split('.'):
        place = place.get(part) if isinstance(place, Mapping) else None
    try:
        return default if place is None else number(place)
    except ValueError:
        raise UsageError(f'config.{key}={shown(place)} must be a number') from None


def propose(values: Mapping[str, Any], images: Survey, device: Device) -> Values:
    """What to put where `values` has None, but for the epochs."""
    if FAMILIES.get(values.get('family', ''), vit) is not vit:
        raise UsageError(f'config.family={shown(values["family"])}: hours chooses sizes of vit')
    hours = settings.read(HOURS, {'hours': values['hours']}, 'config').model_dump()['hours']
    train, search = split(images)
    budget = Budget(
        tuple(
            (name, float(limit))
            for name in ('params', 'macs')
            if (limit := given(values, f'budget.{name}')) is not None
        )
    )
    if not budget.limits:
        raise UsageError(
            'config.budget.params=None is missing: write how many parameters the model may have, '
            'such as --config.budget.params=2M'
        )
    image_size, patch = sizes(values, images, budget, device, hours, train)
    dtype = values.get('dtype') or ('float32' if device.platform == 'cpu' else 'bfloat16')
    channels = given(values, 'data.channels', images.channels)
    space, head_dim = first_space(values, budget, image_size, patch, channels, images.classes)
    batch = batch_size(train, device)
    width = space['embed_dim']['upper']
    recipe = dict(
        batch_size=batch,
        lr=round(5e-4 * math.sqrt(384 / min(width, 384)), 5),
        drop_path=0.1 if width >= 192 else 0.0,
    )
    tiny = image_size < 16
    crop = (values.get('augment') or {}).get('crop') or ('none' if tiny else 'resized')
    pixels = math.ceil(image_size * 8 / 7)
    return dict(
        dtype=dtype,
        model=dict(image_size=image_size, channels=channels, patch=patch, head_dim=head_dim),
        data=dict(
            storage_size=pixels if pixels <= images.side else image_size,
            channels=channels,
            search=search,
        ),
        preprocess=dict(mean=images.mean, std=images.std),
        augment=dict(
            LIGHT if dtype == 'float32' else FULL,
            crop=crop,
            flip=not tiny,
            **({'scale': FULL['scale']} if crop != 'resized' else {}),  # used by no other crop
        ),
        space=space,
        supernet=recipe,
        retrain=recipe,
        **lengths(hours),
        evaluate=dict(batch_size=512, architectures=4),
    )


def split(images: Survey) -> tuple[int, float]:
    """The number of training images, and the share of them for the search split.

    About 400 images compare architectures; at least a tenth, at most 3 in 10 or 2,000.
    """
    rest = images.images - images.validation - images.test
    if not images.test and not images.validation:
        rest -= int(0.2 * rest)
    share = min(max(0.1, min(0.3, 400 / rest)), 2000 / rest)
    held = 0 if images.validation and images.test else int(share * rest)
    return rest - held, round(share, 4)


def sizes(
    values: Mapping[str, Any],
    images: Survey,
    budget: Budget,
    device: Device,
    hours: float,
    train: int,
) -> tuple[int, int]:
    """(image size, patch) in pixels.

    A ViT of P parameters takes about 6·P FLOPs for every token of a training image, so the hours
    decide how many tokens the trainings can have. Images are not enlarged.
    """
    limits = dict(budget.limits)
    params = limits.get('params', limits.get('macs', 0) / GRIDS[0] ** 2)
    seen = TRAININGS * max(PASSES * train, LEAST_IMAGES)
    tokens = hours * 3600 * device.speed / (6 * params * seen)
    most = int(min(max(math.sqrt(tokens), GRIDS[0]), GRIDS[1]))
    size, patch = given(values, 'model.image_size'), given(values, 'model.patch')
    if size is None and patch is None:
        grid = max(1, min(most, images.side // 2))
        patch = max(1, min(PATCHES[grid >= FINE], images.side // grid))
        return grid * patch, patch
    if size is None:
        return patch * max(1, min(most, images.side // patch)), patch
    if patch is None:  # the smallest that divides the image and leaves no more tokens
        fitting = (p for p in range(1, size + 1) if size % p == 0 and size // p <= most)
        patch = next(fitting, size)
    return size, patch


def first_space(
    values: Mapping[str, Any],
    budget: Budget,
    image_size: int,
    patch: int,
    channels: int,
    classes: int,
) -> tuple[dict[str, dict[str, Any]], int]:
    """The widest space of three widths, depths, heads and ratios that is below the budget.

    Its depth is a block for every 32 channels, from 3 to 14; heads fill the width.
    """
    params = dict(budget.limits).get('params', math.inf)
    head_dim = given(values, 'model.head_dim')
    if head_dim is None:
        head_dim = next(width for least, width in HEAD_DIMS if params >= least)
    inputs = dict(
        image_size=image_size, patch=patch, channels=channels, classes=classes, head_dim=head_dim
    )

    def fits(width: int) -> bool:
        """Whether the largest architecture of the space of this width does."""
        upper = {name: dimension['upper'] for name, dimension in space_of(width, head_dim).items()}
        depth = upper['depth']
        arch = vit.Architecture(
            embed_dim=upper['embed_dim'],
            depth=depth,
            num_heads=(upper['num_heads'],) * depth,
            mlp_ratio=(upper['mlp_ratio'],) * depth,
            **inputs,
        )
        return budget.fits({'params': vit.params(arch), 'macs': vit.macs(arch)}, strict=True)

    widths = [width for width in range(24, 1025, 8) if fits(width)]
    return space_of(max(widths, default=24), head_dim), head_dim


def space_of(width: int, head_dim: int) -> dict[str, dict[str, Any]]:
    """The space whose largest model is `width` wide."""
    step = max(8, width // 96 * 8)
    depth = min(14, max(3, round(width / 32)))
    heads = max(2, round(width / head_dim))
    return dict(
        embed_dim=dict(lower=max(step, width - 2 * step), upper=width, step=step),
        depth=dict(lower=max(1, depth - 2), upper=depth, step=1),
        num_heads=dict(lower=max(1, heads - 2), upper=heads, step=1, per_block=True),
        mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
    )


def batch_size(train: int, device: Device) -> int:
    """About a twentieth of the images: a power of two from 16 to 128 on a CPU, else to 256."""
    most = 128 if device.platform == 'cpu' else 256 * device.count
    size = 2 ** round(math.log2(max(1, train / 20)))
    least = 16 * device.count
    return int(min(max(size, least), most, max(1, train)))


def lengths(hours: float) -> Values:
    """How far the space moves, and how long the architectures are searched."""
    if hours >= LONG:
        evolve = dict(population=50, generations=20, parents=10, mutations=25, crossovers=25)
        return dict(explore=dict(iterations=3, pairs=40), evolve=evolve)
    evolve = dict(population=20, generations=8, parents=5, mutations=10, crossovers=5)
    return dict(explore=dict(iterations=2, pairs=20), evolve=evolve)


def epochs(hours: float, fixed: float, one: float) -> int:
    """How many epochs the hours allow.

    `fixed` seconds do not depend on the epochs; `one` are those of an epoch of every training.
    Raises where not even one is possible.
    """
    count = math.floor((USED * hours * 3600 - fixed) / one)
    if count < 1:
        least = (fixed + one) / USED / 3600
        raise UsageError(
            f'config.hours={hours:g} is too short for one epoch of every training here: write at '
            f'least {math.ceil(100 * least) / 100:g}, or a smaller budget, or fewer '
            'explore.iterations'
        )
    return min(count, MOST_EPOCHS)


def with_epochs(count: int) -> Values:
    """The proposal for both trainings; a twentieth of them warms up."""
    length = dict(epochs=count, warmup_epochs=round(count / 20, 2))
    return dict(supernet=length, retrain=length)


def shown_example(values: Mapping[str, Any]) -> Values:
    """The choices that `--help` shows: 1,000 images of 64×64, 2 cores, 100 epochs."""
    images = Survey(1000, 10, 0, 0, 64, 3, (0.5,) * 3, (0.25,) * 3)
    example = dict(budget=dict(params=2e6), data=dict(root='IMAGES'))
    values = fill(values, example)
    values = values | {'data': values['data'] | {'root': values['data'].get('root') or 'IMAGES'}}
    values = fill(values, propose(values, images, Device('cpu', 1, 2)))
    return fill(fill(values, with_epochs(100)), {'supernet': {'execution': 'auto'}})


def plain(value: Any) -> Any:
    """NumPy's numbers and tuples as JSON has them."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
