"""What to do next."""

import dataclasses
import pathlib

from s4jax.report.reading import read
from s4jax.report.sections.using import using


def test_commands_name_the_folder_of_the_run(workdir, parsed):
    run = dataclasses.replace(read(workdir), workdir=pathlib.Path('my runs/<one>'))
    words = str(parsed(using(run)))
    assert "python -m s4jax.predict --run='my runs/<one>' IMAGES" in words
    assert "python -m s4jax.export --run='my runs/<one>' --to=DIR --format=onnx" in words
    assert "s4jax.load('my runs/<one>').predict(['photo.jpg'])" in words


def test_there_is_no_winner_before_the_test(workdir):
    assert using(dataclasses.replace(read(workdir), result=None)) == ''
