"""Faults of several processes and of the data."""

import os
import random
import signal
import subprocess
import time

import numpy as np
from cases import PHASES, Wrong, command, phase_of, refused
from PIL import Image
from runs import ROOT

from s4jax.runtime.files import read_json


def together(place, workdir, count=2, **more):
    """Starts a run of `count` processes by the launcher."""
    environment = place.environment(
        JAX_PLATFORMS='cpu', ATTEMPTS='20', PAUSE='1', DEVICES_PER_PROCESS='2', **more
    )
    python = os.path.dirname(command(workdir)[0])
    environment['PATH'] = f'{python}{os.pathsep}{environment["PATH"]}'
    return subprocess.Popen(
        ['launch/local.sh', str(count), *command(workdir)[3:]],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(workdir):
    """The processes of a run on this machine, by their command lines."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{name}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
        except OSError:
            continue
        if b's4jax.main' in words and f'--workdir={workdir}'.encode() in words:
            found.append(int(name))
    return found


def peer(place, number):
    """One of two processes is killed at a random moment: the launcher starts both again."""
    whole = place.folder / 'two processes'
    if read_json(whole / 'result.json') is None:
        code, _, err = place.end(together(place, whole))
        if code != 0:
            raise Wrong(f'two undisturbed processes end with {code}: {err[-2000:]}')
    rng, workdir = random.Random(f'peer {number}'), place.folder / f'peer-{number}'
    launcher, seen = together(place, workdir), {}
    while launcher.poll() is None and sum(seen.values()) < 3:
        wanted, until = rng.choice(PHASES), time.monotonic() + 600
        while launcher.poll() is None and phase_of(workdir) != wanted:
            if time.monotonic() > until or phase_of(workdir) in PHASES[PHASES.index(wanted) :]:
                break
            time.sleep(0.2)
        time.sleep(rng.uniform(0, 5))
        running = processes_of(workdir)
        if running:
            phase = phase_of(workdir)
            os.kill(rng.choice(running), signal.SIGKILL)
            seen[phase] = seen.get(phase, 0) + 1
        time.sleep(10)
    code, _, err = place.end(launcher)
    if code != 0:
        raise Wrong(f'the launcher ended with {code}: {err[-2000:]}')
    type(place)(place.folder, whole).compare(workdir)
    return seen, []


FOLDER = {
    'data.name': 'folder',
    'data.storage_size': 8,
    'data.test': 0.2,
    'data.search': 0.2,
    'model.channels': 3,
    'preprocess.mean': '0.3,0.3,0.3',
    'preprocess.std': '0.35,0.35,0.35',
}


def images(root):
    rng = np.random.default_rng(0)
    for label in range(3):
        for k in range(60):
            path = root / f'class{label}' / f'{k}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 200, (10, 10, 3)) + 20 * label
            Image.fromarray(pixels.astype(np.uint8)).save(path)


def data(place, number):
    """An image, or what was prepared of it, changes under a run: refused when it goes on."""
    rng, workdir = random.Random(f'data {number}'), place.folder / f'data-{number}'
    root = workdir.with_name(f'images-{number}')
    images(root)
    prepared = workdir.with_name(f'prepared-{number}')
    more = {'TFDS_DATA_DIR': str(prepared)}
    extra = [f'--config.{k}={v}' for k, v in (FOLDER | {'data.root': root}).items()]
    run = lambda: place.start([*command(workdir), *extra], **more)
    process, wanted = run(), rng.choice(PHASES[:4])
    while phase_of(workdir) != wanted and process.poll() is None:
        time.sleep(0.1)
    if number % 2:
        path = rng.choice(sorted(root.rglob('*.png')))
        Image.fromarray(np.full((10, 10, 3), 99, np.uint8)).save(path)
    else:
        (path,) = prepared.rglob('images.npy')
        with open(path, 'r+b') as file:
            file.seek(rng.randrange(128, path.stat().st_size))
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 64]))
    time.sleep(rng.uniform(0, 3))
    process.kill()
    place.end(process)
    code, _, err = place.end(run())
    refused(code, err, 'data digest' if number % 2 else 'images.npy')
    return {wanted: 1}, []
