"""A run is planned before it begins: its config is resolved, its steps are timed."""

import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import jax

from s4jax import config as configs
from s4jax import settings
from s4jax.config import Config
from s4jax.data import DataSettings
from s4jax.data.survey import Survey, survey
from s4jax.errors import UsageError
from s4jax.pipeline import first_space
from s4jax.planning import preset
from s4jax.planning.forecast import phase, timed_of
from s4jax.planning.preset import Device, Values
from s4jax.planning.timing import Timings, measure
from s4jax.run import prepare
from s4jax.runtime import files
from s4jax.runtime import mesh as meshes
from s4jax.runtime.progress import kind
from s4jax.runtime.signals import Signals
from s4jax.work import work

BOTH_FROM = 0.5  # hours from which the two ways to run a supernet are both timed
SECTIONS = ('supernet', 'retrain')
Measured = dict[str, Any]


def resolve(values: Values, workdir: pathlib.Path, signals: Signals) -> tuple[Config, Measured]:
    """The config of values with `hours`, and what was measured for it.

    A workdir that holds a run gives the numbers that were measured for that run, so that a run
    that goes on has the same config.
    """
    began = time.monotonic()
    if not meshes.one_host():
        raise UsageError('config.hours is for one process: write the epochs, and hours=None')
    measured = (files.read_json(workdir / 'config.json') or {}).get('measured')
    if measured is None:
        measured = {'images': looked_at(values), 'device': vars(device())}
    images, where = Survey.from_json(measured['images']), Device(**measured['device'])
    values = preset.fill(values, preset.propose(values, images, where))
    open_keys = [(s, k) for s in SECTIONS for k in ('epochs', 'warmup_epochs', 'execution')]
    if all(values[s].get(k, 0) is not None for s, k in open_keys):
        return configs.read(values), measured
    if 'timings' not in measured:
        measured |= timed(values, preset.given(values, 'hours'), signals)
        measured['spent'] = time.monotonic() - began
        print(f's4jax: chosen: {preset_text(values)}', file=sys.stderr)
    return configs.read(with_lengths(values, measured)), preset.plain(measured)


def looked_at(values: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the images, before any of them is prepared."""
    data = {name: value for name, value in values['data'].items() if value is not None}
    return preset.plain(vars(survey(settings.read(DataSettings, data, 'config.data'))))


def device() -> Device:
    return Device(jax.default_backend(), jax.device_count(), os.cpu_count() or 1)


def preset_text(values: Mapping[str, Any]) -> str:
    """What was chosen for the images and the device, in a line."""
    model, space = values['model'], values['space']
    dimensions = ', '.join(f'{n} {d["lower"]}..{d["upper"]}' for n, d in space.items())
    return (
        f'images of {model["image_size"]}×{model["image_size"]}×{model["channels"]} in patches of '
        f'{model["patch"]}; {dimensions}; batches of {values["supernet"]["batch_size"]}, '
        f'{values["dtype"]}'
    )


def timed(values: Values, hours: float, signals: Signals) -> Measured:
    """Timings of a config whose lengths are still open, and the images of one epoch."""
    with tempfile.TemporaryDirectory() as folder:
        config = configs.read(preset.fill(values, _one('masked')))
        task, session = prepare(config, pathlib.Path(folder) / 'run', signals)
        space = first_space(task).space
        wanted = values['supernet'].get('execution')
        executions = (wanted,) if wanted in ('masked', 'sliced') else ('masked', 'sliced')
        if hours < BOTH_FROM:
            executions = executions[:1]
        timings = measure(task, session, space, executions)
    return {'timings': timings.to_json(), 'work': work(config, task.data)}


def _one(execution: str) -> Values:
    """Trainings of one epoch, for what a config leaves open."""
    length = {'epochs': 1, 'warmup_epochs': 0.0}
    return {'supernet': length | {'execution': execution}, 'retrain': length}


def with_lengths(values: Values, measured: Mapping[str, Any]) -> Values:
    """The values with the epochs that the hours allow, by the faster way to run a supernet."""
    timings, hours = Timings.from_json(measured['timings']), preset.given(values, 'hours')
    open_kinds = {
        name
        for name, section in (('supernet', 'supernet'), ('alone', 'retrain'))
        if values[section]['epochs'] is None
    }
    every = int(preset.given(values, 'checkpoint.save_every', 1000))

    def parts(execution: str) -> tuple[float, float]:
        """The seconds that do not depend on the epochs, and those of one epoch."""
        fixed, one = measured['spent'], 0.0
        for name, images in measured['work'].items():
            section = 'supernet' if kind(name) == 'supernet' else 'retrain'
            trains = kind(name) in ('supernet', 'alone')
            batch = int(preset.given(values, f'{section}.batch_size')) if trains else None
            found = timed_of(timings, name, execution)
            seconds = phase(name, images, found, batch, every).seconds
            if kind(name) in open_kinds:
                one += images * (found.seconds + found.saving / (batch or 1) / every)
                fixed += found.compiling + found.saving
            else:
                fixed += seconds
        return fixed, one

    possible = {name: parts(name) for name in timings.supernet}
    # the one with more epochs, in parts of an epoch
    best = (
        max(possible, key=lambda name: (hours * 3600 - possible[name][0]) / possible[name][1])
        if open_kinds
        else min(possible, key=lambda name: possible[name][0])
    )
    result = preset.fill(values, {'supernet': {'execution': best}})
    if open_kinds:
        count = preset.epochs(hours, *possible[best])
        return preset.fill(result, preset.with_epochs(count))
    return preset.fill(result, {s: {'warmup_epochs': 0.0} for s in SECTIONS})
