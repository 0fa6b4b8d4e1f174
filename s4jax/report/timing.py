"""What timing.jsonl holds: how a run was started, on what, and the seconds of its phases."""

import dataclasses
import pathlib

from s4jax.runtime import goodput


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds and images trained on (or their worth) by phase, over all sessions of a run.

    `commands` and `devices` hold each that was used, in the order of their first use.
    """

    seconds: dict[str, float]
    images: dict[str, float]
    commands: tuple[str, ...]
    devices: tuple[str, ...]


def read_timing(path: pathlib.Path) -> Timing:
    """The file as far as it can be read; rows of other kinds, and damaged ones, are left out."""
    timing = Timing({}, {}, (), ())
    commands: dict[str, None] = {}
    devices: dict[str, None] = {}
    for row in goodput.timing(path.parent):
        if isinstance(row.get('command'), str) and isinstance(row.get('devices'), str):
            commands[row['command']] = devices[row['devices']] = None
    for row in goodput.by_phase(path.parent):
        phase = row['phase']
        if isinstance(phase, str) and isinstance(row['seconds'], int | float):
            timing.seconds[phase] = timing.seconds.get(phase, 0) + row['seconds']
            images = row.get('images')
            worth = images if isinstance(images, int | float) else 0
            timing.images[phase] = timing.images.get(phase, 0) + worth
    return dataclasses.replace(timing, commands=tuple(commands), devices=tuple(devices))
