"""A config: a file of values with overrides, read as typed sections before anything else happens.

A section is a class beside the code that uses it; this file says which section stands under which
key. `python -m s4jax.config` prints the page of all keys (docs/config.md).
"""

import functools
import inspect
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field
from pydantic.fields import FieldInfo

from s4jax import settings
from s4jax.data import DataSettings
from s4jax.data.augment import AugmentSettings, PreprocessSettings
from s4jax.errors import UsageError
from s4jax.latency import LatencySettings
from s4jax.models import FAMILIES, inputs_of
from s4jax.search.budget import BudgetSettings, CostSettings
from s4jax.search.evolve import EvolveSettings
from s4jax.search.explore import ExploreSettings
from s4jax.search.methods import SearchSettings
from s4jax.search.s3 import S3Settings, check_quanta
from s4jax.search.space import DimensionSettings, Stages, parse_name
from s4jax.settings import Float, Int, Number, Section
from s4jax.training.evaluate import EvaluateSettings
from s4jax.training.fit import CheckpointSettings
from s4jax.training.recipe import RetrainSettings, SupernetSettings

Value = Annotated[Number, Field(gt=0, le=1e6)]
Values = Annotated[
    tuple[Value, ...],
    pydantic.BeforeValidator(settings.sequence),
    Field(min_length=1, max_length=1000),
]
ABOUT = {
    'model': 'the sizes that are not searched',
    'encoder': 'the frozen encoder, for families that have one',
    'space': 'the first search space: each dimension from lower to upper by step',
    'baseline': 'the hand-made model that the winner is compared with: a value for each dimension; '
    'None: the largest that fits the budget of the stock shapes of the family, scaled evenly',
}


class Config(Section):
    """All that decides what a run computes; `schema` adds the sections that a family decides."""

    family: str = Field('vit', description='the family of models')
    seed: Int = Field(
        0, ge=0, le=2**31 - 2, description='of all randomness: splits, weights, order, draws'
    )
    hours: Float | None = Field(
        None,
        ge=0.05,
        le=10_000,
        description='how long the whole run may take: keys that a config leaves at None, such as '
        'the epochs, are chosen for it',
        examples=[1],
    )
    dtype: Literal['float32', 'bfloat16'] = Field(
        'float32', description='what models compute in; weights are float32'
    )
    budget: BudgetSettings = Field(BudgetSettings(), description='upper limits on the costs')
    latency: LatencySettings = Field(
        LatencySettings(), description='what config.budget.latency_ms limits'
    )
    cost: CostSettings = Field(CostSettings(), description='a cost of your own')
    data: DataSettings = Field(description='the images')
    preprocess: PreprocessSettings = Field(description='how images become numbers')
    augment: AugmentSettings = Field(AugmentSettings(), description='of training images')
    supernet: SupernetSettings = Field(
        SupernetSettings(), description='how every supernet is trained'
    )
    search: SearchSettings = Field(SearchSettings(), description='how the architecture is found')
    explore: ExploreSettings = Field(ExploreSettings(), description='how the space moves')
    s3: S3Settings = Field(S3Settings(), description="how the space moves with search.method='s3'")
    evolve: EvolveSettings = Field(EvolveSettings(), description='the search in the last space')
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description='how subnets are scored')
    retrain: RetrainSettings = Field(
        RetrainSettings(), description='how the winner and the hand-made model are trained'
    )
    checkpoint: CheckpointSettings = Field(
        CheckpointSettings(), description='saving and logging; free to change when a run goes on'
    )
    model: Section
    encoder: Section
    space: Section
    baseline: Section | None

    @property
    def inputs(self) -> dict[str, Any]:
        """The values of config.model, by name."""
        return dict(self.model)

    @property
    def dimensions(self) -> dict[str, DimensionSettings]:
        """The dimensions of the first space, by name."""
        return dict(self.space)


def read(values: Mapping[str, Any]) -> Config:
    """The config of nested values; raises UsageError with the first thing that is wrong."""
    family = values.get('family', 'vit')
    if not isinstance(family, str) or family not in FAMILIES:
        known = ', '.join(map(repr, FAMILIES))
        raise UsageError(f'config.family={settings.shown(family)} must be one of {known}')
    names = _dimensions(values.get('space'), FAMILIES[family].SEARCHED)
    config = settings.read(schema(family, names), dict(values), 'config')
    _check_channels(config)
    _check_baseline(config)
    _check_start(config)
    _check_own(config)
    check_quanta(config.s3, list(config.dimensions))
    return config


def _dimensions(space: Any, searched: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the dimensions of a space; raises where one is unknown or missing."""
    if not isinstance(space, Mapping) or not space:
        raise UsageError(
            f'config.space={settings.shown(space)} must be a group of dimensions: '
            f'{", ".join(searched)}, each with lower, upper and step'
        )
    for name in space:
        if not isinstance(name, str) or parse_name(name)[0] not in searched:
            raise UsageError(
                f'config.space.{name} is unknown{settings.near(str(name), list(searched))}'
            )
    missing = set(searched) - {parse_name(name)[0] for name in space}
    if missing:
        raise UsageError(
            f'config.space.{min(missing)} is missing: write its lower, upper and step; for one '
            'fixed value, lower equal to upper'
        )
    return tuple(space)


def _check_baseline(config: Config) -> None:
    """Raises where the hand-made model has a list for a dimension that is not per block."""
    values = dict(config.baseline or ())
    for name, dimension in config.dimensions.items():
        if isinstance(values.get(name), tuple) and not dimension.per_block:
            raise UsageError(
                f'config.baseline.{name}={values[name]} must be one number: '
                f'config.space.{name} is not per block'
            )


def _check_start(config: Config) -> None:
    """Raises where the final models would start from a supernet that nobody trains."""
    if config.retrain.start == 'supernet' and not config.search.trains_supernets:
        raise UsageError(
            f"config.retrain.start='supernet', but search.method='{config.search.method}' trains "
            "no supernet: write 'scratch'"
        )


def _check_own(config: Config) -> None:
    """Raises where a cost is limited that no function gives."""
    if config.budget.own is not None and config.cost.file is None:
        raise UsageError(
            f'config.budget.own={config.budget.own:g} limits what a function of your own gives: '
            'write its file as config.cost.file, or None'
        )


def _check_channels(config: Config) -> None:
    """Raises where the channels of the model and of the normalisation differ."""
    channels, mean = config.inputs['channels'], config.preprocess.mean
    if len(mean) != channels:
        raise UsageError(
            f'config.preprocess.mean={mean} has {len(mean)} values, but config.model.channels='
            f'{channels}: write one mean and one std for each channel'
        )


@functools.cache
def schema(family: str, names: tuple[str, ...]) -> type[Config]:
    """The config of a family whose space has the dimensions `names`."""
    model = model_section(family)
    sections: dict[str, type[Section]] = {
        'model': model,
        'encoder': inputs_of(FAMILIES[family]).Settings,
        'space': _section('Space', {name: (DimensionSettings, ...) for name in names}),
        'baseline': _section(
            'Baseline', _baseline_fields(model, names, FAMILIES[family].stages(names))
        ),
    }
    fields: dict[str, Any] = {}
    for name, section in sections.items():
        required = any(field.is_required() for field in section.model_fields.values())
        default = ... if required else section()
        fields[name] = (section, Field(default, description=ABOUT[name]))
    fields['baseline'] = (sections['baseline'] | None, Field(None, description=ABOUT['baseline']))
    return pydantic.create_model('Config', __base__=Config, **fields)


def _section(name: str, fields: dict[str, Any]) -> type[Section]:
    return pydantic.create_model(name, __base__=Section, **fields)


def _baseline_fields(
    model: type[Section], names: tuple[str, ...], stages: Stages
) -> dict[str, Any]:
    """A value for each dimension, and the keys of config.model for the hand-made model alone."""
    value = Field(description='its value; of a per-block dimension also one for each block')
    depth = Field(ge=1, le=1000, description='its number of blocks')
    depths = {name for _, name in stages if name}
    fields: dict[str, Any] = {
        name: (Int, depth) if name in depths else (Value | Values, value) for name in names
    }
    for name, field in model.model_fields.items():
        meaning = f'as config.model.{name}, for the hand-made model alone'
        kind: Any = (
            Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        )
        fields[name] = (kind | None, Field(None, description=meaning))
    return fields


@functools.cache
def model_section(family: str) -> type[Section]:
    """The keys of config.model: the sizes of a family's architectures that are not searched.

    To these come the keyword arguments of the family's `architecture`.
    """
    module = FAMILIES[family]
    less = ('classes', 'depths', *module.SEARCHED, *inputs_of(module).GIVEN)
    section = settings.section_of(module.Architecture, less)
    hints = typing.get_type_hints(module.architecture, include_extras=True)
    parameters = inspect.signature(module.architecture).parameters.values()
    options: dict[str, Any] = {
        p.name: (hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY
    }
    return pydantic.create_model('Model', __base__=section, **options)


def lines(config: Config) -> Iterator[str]:
    """Every key of a config: its value, what it means, its range."""
    for key, field, value in settings.keys(type(config), config):
        yield f'config.{key} = {value!r}'
        yield f'    {field.description or ""}; {settings.expected(field)}'


def page() -> Iterator[str]:
    """docs/config.md: all keys of all families."""
    yield '# All keys of a config\n'
    yield 'What each key means, what it takes, and its value where a config leaves it out. Every'
    yield 'key can be set on the command line, as `--config.evolve.population=20`. Numbers may be'
    yield 'written `60k`, `25M`, `5G`. This page is made by `python -m s4jax.config`.\n'
    fixed = {name: f for name, f in Config.model_fields.items() if name not in ABOUT}
    alone = [(name, f) for name, f in fixed.items() if settings.section_in(f.annotation) is None]
    yield from _table('Config', alone)
    for name, field in fixed.items():
        section = settings.section_in(field.annotation)
        if section is not None:
            yield from _table(f'config.{name}: {field.description}', section.model_fields.items())
    title = f'config.space.NAME: {ABOUT["space"]}'
    yield from _table(title, DimensionSettings.model_fields.items())
    for family, module in FAMILIES.items():
        yield f'The dimensions of `{family}` are {", ".join(f"`{n}`" for n in module.SEARCHED)}.\n'
    for family in FAMILIES:
        title = f"config.model of family='{family}': {ABOUT['model']}"
        yield from _table(title, model_section(family).model_fields.items())
        encoder = inputs_of(FAMILIES[family]).Settings
        if encoder.model_fields:
            title = f"config.encoder of family='{family}': {ABOUT['encoder']}"
            yield from _table(title, encoder.model_fields.items())
    yield '## config.baseline\n'
    yield f'{ABOUT["baseline"].capitalize()}.'
    yield 'Keys of `config.model` may be given, too, for the hand-made model alone.'


def _table(title: str, fields: Iterable[tuple[str, FieldInfo]]) -> Iterator[str]:
    yield f'## {title}\n'
    yield '| key | meaning | takes | default |\n| --- | --- | --- | --- |'
    for name, field in fields:
        default = 'required' if field.is_required() else f'`{field.get_default()!r}`'
        yield f'| `{name}` | {field.description} | {settings.expected(field)} | {default} |'
    yield ''


if __name__ == '__main__':
    print('\n'.join(page()))
