"""Command lines: one line that names the flag where something is wrong with one."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from s4jax.errors import UsageError
from s4jax.settings import S, near, read


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of printing its usage and exiting.

    Only `--help` prints the usage. Flags are written in full: what an abbreviation means could
    change with every new flag.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{'allow_abbrev': False, **options})
        self.commands: Mapping[str, Parser] = {}
        self._given: list[str] = []

    def add_subparsers(self, **options: Any) -> Any:
        """As argparse's, with the commands kept for the errors."""
        result = super().add_subparsers(**options)
        self.commands = result.choices
        return result

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, with the arguments kept for the errors."""
        self._given = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message in plain words."""
        raise UsageError(self._in_plain_words(message))

    def _in_plain_words(self, message: str) -> str:
        kind, _, details = message.partition(': ')
        name = kind.removeprefix('argument ').split('/')[-1]
        if kind == 'unrecognized arguments':
            return self._unknown(details.split()[0])
        if kind == 'the following arguments are required':
            return self._missing(details.split(', ')[0])
        if details.startswith('expected'):
            return f'{name} needs a value; write {name}=VALUE'
        if details.startswith('ignored explicit argument'):
            return f'{name} takes no value; write {name} alone'
        choice = re.fullmatch(r"invalid choice: '(.*)' \(choose from (.*)\)", details)
        if choice and self.commands:
            return f'the command {choice[1]!r} is unknown{near(choice[1], list(self.commands))}'
        if choice:
            return f'{name}={choice[1]} must be one of {choice[2]}'
        return f'{name}: {details}' if details else message

    def _unknown(self, argument: str) -> str:
        flag, flags = argument.partition('=')[0], sorted(self._flags())
        if argument.startswith('-'):
            return f'{flag} is unknown{near(flag, flags)}'
        if f'--{flag}' in flags:
            return f'{argument!r} is not a flag; did you mean --{argument}?'
        return f'{argument!r} is not a flag; flags are written --NAME=VALUE'

    def _missing(self, name: str) -> str:
        given = [argument.partition('=')[0] for argument in self._given]
        mistaken = [flag for flag in given if flag.startswith('--') and flag not in self._flags()]
        if mistaken:  # the missing flag, written wrongly
            return self._unknown(mistaken[0])
        if self.commands:
            return f'the command is missing; write one of {", ".join(self.commands)}'
        return f'{name} is missing; write {name}=VALUE'

    def _flags(self) -> set[str]:
        """All long flags, also those of the commands."""
        own = {flag for flag in self._option_string_actions if flag.startswith('--')}
        return own.union(*(command._flags() for command in self.commands.values()))


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The flags, and the overrides of config keys as (key, text)."""
    flags, overrides, rest = [], [], list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith('--config.'):
            flags.append(argument)
            continue
        key, equals, text = argument.removeprefix('--config.').partition('=')
        if not equals:
            if not rest or rest[0].startswith('--'):
                raise UsageError(f'{argument} needs a value: {argument}=VALUE')
            text = rest.pop(0)
        if not all(key.split('.')):
            raise UsageError(f'{argument}: a key is written as in --config.evolve.population=20')
        overrides.append((key, text))
    return flags, overrides


def read_flags(section: type[S], values: Mapping[str, Any]) -> S:
    """Flags as a section of settings; an error names the flag, such as --storage-size."""
    try:
        return read(section, values, '')
    except UsageError as error:
        key, *rest = re.split(r'(?<=\w)(?=\W)', str(error), maxsplit=1)
        raise UsageError(f'--{key.replace("_", "-")}{"".join(rest)}') from None
