"""Command lines: every mistake is one UsageError that names the flag."""

import pydantic
import pytest

from s4jax.errors import UsageError
from s4jax.runtime.arguments import Parser, read_flags
from s4jax.settings import Int, Section


class Sizes(Section):
    image_size: Int = pydantic.Field(32, ge=1, le=64, description='pixels')
    patch: Int = pydantic.Field(4, ge=1, description='pixels')

    @pydantic.model_validator(mode='after')
    def _divides(self):
        if self.image_size % self.patch:
            raise UsageError(f'image_size={self.image_size} does not divide by patch={self.patch}')
        return self


def plain():
    parser = Parser()
    parser.add_argument('--workdir', required=True)
    parser.add_argument('--seed', type=int)
    parser.add_argument('--dtype', choices=('float32', 'bfloat16'))
    parser.add_argument('--force', '-f', action='store_true')
    return parser


def with_commands():
    parser = Parser()
    commands = parser.add_subparsers(dest='command', required=True)
    commands.add_parser('train').add_argument('--epochs')
    commands.add_parser('test').add_argument('--images', required=True)
    return parser


@pytest.mark.parametrize(
    'make, line, words',
    [
        (plain, '', '--workdir is missing; write --workdir=VALUE'),
        (plain, '--workdri=x', '--workdri is unknown; did you mean --workdir?'),
        (plain, '--workdir', '--workdir needs a value; write --workdir=VALUE'),
        (plain, '--workdir --seed=1', '--workdir needs a value; write --workdir=VALUE'),
        (plain, '--workdir=x --sed=1', '--sed is unknown; did you mean --seed?'),
        (plain, '--workdir=x --see=1', '--see is unknown; did you mean --seed?'),  # no abbreviation
        (plain, '--workdir=x --seed=1 y', "'y' is not a flag; flags are written --NAME=VALUE"),
        (plain, '--workdir=x seed=1', "'seed=1' is not a flag; did you mean --seed=1?"),
        (plain, '--workdir=x --seed=a', "--seed: invalid int value: 'a'"),
        (plain, '--workdir=x --force=1', '-f takes no value; write -f alone'),
        (
            plain,
            '--workdir=x --dtype=float64',
            "--dtype=float64 must be one of 'float32', 'bfloat16'",
        ),
        (with_commands, '', 'the command is missing; write one of train, test'),
        (with_commands, 'tets', "the command 'tets' is unknown; did you mean test?"),
        (with_commands, 'train --epoch=1', '--epoch is unknown; did you mean --epochs?'),
        (with_commands, 'test --image=1', '--image is unknown; did you mean --images?'),
        (with_commands, 'test', '--images is missing; write --images=VALUE'),
        (with_commands, '--epoch=1', '--epoch is unknown; did you mean --epochs?'),
    ],
)
def test_mistakes(make, line, words, capsys):
    with pytest.raises(UsageError) as error:
        make().parse_args(line.split())
    assert str(error.value) == words
    assert capsys.readouterr() == ('', '')  # no usage


def test_what_is_right():
    options = plain().parse_args(['--workdir=x', '--seed', '-3', '-f'])
    assert (options.workdir, options.seed, options.force) == ('x', -3, True)
    assert with_commands().parse_args(['test', '--images=3']).images == '3'


def test_help_is_printed(capsys):
    with pytest.raises(SystemExit) as end:
        plain().parse_args(['--help'])
    assert end.value.code == 0 and capsys.readouterr().out.startswith('usage: ')


def test_flags_as_a_section():
    assert read_flags(Sizes, {'image_size': '48'}).image_size == 48


@pytest.mark.parametrize(
    'values, words',
    [
        ({'image_size': '0'}, '--image-size=0 must be a whole number from 1 to 64'),
        ({'image_size': '9'}, '--image-size=9 does not divide by patch=4'),
        ({'patch': 'x'}, "--patch='x' must be a whole number"),
    ],
)
def test_flags_that_are_wrong(values, words):
    with pytest.raises(UsageError) as error:
        read_flags(Sizes, values)
    assert str(error.value).startswith(words)
