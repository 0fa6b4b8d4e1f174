"""`python -m s4jax.export --run=runs/mine --to=DIR --format=onnx`: the winner in another format.

Formats: safetensors (weights; `s4jax.load` reads them), stablehlo and onnx (programs), pytorch
(state dicts by the published names). The export is run and compared with JAX on held-out images.
Exit codes: 0; 2 after a mistake, before anything is written; 3 where the export differs from JAX.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, read_flags
from s4jax.settings import Int, Section

if TYPE_CHECKING:
    from s4jax.exporting.program import Program, Written

DIFFERENT = 3  # the exit code where an export is not the model
PROGRAMS = ('stablehlo', 'onnx')
QUANTIZED = {  # what each format has a tool for
    'safetensors': ('none', 'bf16'),
    'stablehlo': ('none', 'bf16'),
    'onnx': ('none', 'int8'),
    'pytorch': ('none', 'bf16'),
}


class ExportSettings(Section):
    """The flags."""

    run: str = pydantic.Field(min_length=1, description='the folder of a finished run')
    to: str = pydantic.Field(
        min_length=1, description='the folder to write: a new one, or that of an earlier export'
    )
    format: Literal['safetensors', 'stablehlo', 'onnx', 'pytorch'] = pydantic.Field(
        description='weights: safetensors, pytorch; programs: stablehlo, onnx'
    )
    which: Literal['winner', 'baseline'] = pydantic.Field(
        'winner', description='winner, or baseline: the hand-made model'
    )
    preprocess: Literal['inside', 'beside'] | None = pydantic.Field(
        None,
        description='inside: the program takes images as the run stored them; beside: it takes '
        'normalised ones; by default inside programs and beside weights',
    )
    quantize: Literal['none', 'bf16', 'int8'] = pydantic.Field(
        'none', description='weights of 16 bits (bf16; not for onnx) or 8 bits (int8; onnx alone)'
    )
    images: Int = pydantic.Field(
        256, ge=1, le=10**6, description='held-out images on which it is compared with JAX'
    )
    folder: str = pydantic.Field(
        '', description="a folder of images to compare on, instead of the run's test split"
    )

    @property
    def where(self) -> Literal['inside', 'beside']:
        """Where the preprocessing is."""
        return self.preprocess or ('inside' if self.format in PROGRAMS else 'beside')


def read(arguments: Sequence[str] | None) -> ExportSettings:
    """The flags, checked against each other."""
    parser = Parser(prog='python -m s4jax.export', description=__doc__)
    for name, field in ExportSettings.model_fields.items():
        parser.add_argument(f'--{name}', required=field.is_required(), help=field.description)
    given = vars(parser.parse_args(arguments))
    settings = read_flags(ExportSettings, {n: v for n, v in given.items() if v is not None})
    kind = settings.format
    if settings.quantize not in QUANTIZED[kind]:
        raise UsageError(
            f'--quantize={settings.quantize}: no tool for format={kind}; it takes '
            f'{" or ".join(QUANTIZED[kind])}'
        )
    if settings.where == 'inside' and kind not in PROGRAMS:
        raise UsageError(
            f'--preprocess=inside: format={kind} holds weights and no program; write '
            '--preprocess=beside, or --format=onnx'
        )
    return settings


def execute(settings: ExportSettings) -> int:
    """Exports, compares, prints the table, and returns the exit code."""
    _check(settings)
    from s4jax import config as configs
    from s4jax import predictor as predictors
    from s4jax.exporting import folder, heldout, parity
    from s4jax.exporting.program import Program
    from s4jax.runtime.files import read_json, write_json, write_text

    workdir = pathlib.Path(settings.run).expanduser()
    predictor = predictors.load(settings.run, settings.which)
    stored = (
        heldout.of_a_folder(settings.folder, predictor, settings.images)
        if settings.folder
        else heldout.of_the_run(workdir, predictors.PHASES[settings.which], settings.images)
    )
    run = read_json(workdir / 'config.json') or {}
    if settings.format == 'pytorch':
        from s4jax.models.weights import published

        published.check(run['config']['family'])
    program = Program.create(predictor, configs.read(run['config']).preprocess, settings.where)
    directory = folder.new(settings.to, settings.format)
    written = _write(settings, program, run, directory)
    inputs, reference = program.prepared(stored), program.runner()
    rows = [parity.compare(reference, one, inputs, settings.quantize) for one in written]
    write_json(directory / 'parity.json', [row.to_json() for row in rows])
    write_text(directory / 'parity.md', parity.table(rows))
    print(parity.table(rows), end='')
    failures = [f'{row.run_by}: {row.failure}' for row in rows if row.failure]
    for failure in failures:
        print(f's4jax: {directory} is not the model: {failure}', file=sys.stderr)
    return DIFFERENT if failures else 0


def _check(settings: ExportSettings) -> None:
    """Raises where a device or a library is missing; nothing is written yet."""
    from s4jax.exporting.packages import need
    from s4jax.runtime.hosts import check_devices

    check_devices()
    if settings.format == 'onnx':
        for name in ('onnx', 'onnxruntime', 'jax2onnx'):
            need(name)


def _write(
    settings: ExportSettings, program: 'Program', run: dict[str, Any], directory: pathlib.Path
) -> list['Written']:
    """Writes all files but the comparison; returns the files to compare."""
    from s4jax.exporting import folder, onnx, pytorch, readme, safetensors, stablehlo
    from s4jax.runtime.files import write_json, write_text

    program = program.rounded() if settings.quantize == 'bf16' else program
    flags = {'format': settings.format, 'which': settings.which, 'quantize': settings.quantize}
    facts = folder.about(program, run, flags)
    write_json(directory / folder.NAME, facts)  # first: what is stopped here can be repeated
    write_text(directory / 'README.md', readme.text(facts, program.predictor.arch))
    if settings.format == 'safetensors':
        return safetensors.write(program, directory)
    if settings.format == 'stablehlo':
        return stablehlo.write(program, directory)
    if settings.format == 'pytorch':
        return pytorch.write(program, run['config']['family'], directory)
    write = onnx.write_int8 if settings.quantize == 'int8' else onnx.write
    return write(program, directory)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a command line."""
    try:
        return execute(read(arguments))
    except UsageError as error:
        print('s4jax:', ' '.join(str(error).splitlines()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('s4jax: stopped', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
