"""A machine for the launchers: real bash and coreutils, and stand-ins for everything they start."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = (
    'bash cat chmod cp dirname env grep gzip head ln mkdir mktemp mv rm sed seq setsid sh sleep '
    'tail tar touch'
).split()
TIMEOUT = 120  # for what takes a second on a quiet machine


def until(condition, what, timeout=TIMEOUT):
    """Waits until `condition()` is true."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f'not within {timeout} s: {what}'
        time.sleep(0.05)


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


class Machine:
    """Its PATH holds TOOLS and stand-ins alone: no test meets a GPU, a cluster or a cloud."""

    def __init__(self, folder):
        self.folder = folder
        self.commands = folder / 'commands'
        self.commands.mkdir()
        for tool in TOOLS:
            if (path := shutil.which(tool)) is not None:
                (self.commands / tool).symlink_to(path)
        self.environment = {
            'PATH': str(self.commands),
            'HOME': str(folder),
            'NOTES': str(folder),
            'PAUSE': '0',
        }

    def fake(self, name, body):
        """A command that is a bash script; it can leave notes in the folder $NOTES."""
        path = self.commands / name
        path.unlink(missing_ok=True)
        path.write_text(f'#!{self.commands}/bash\n{body}\n')
        path.chmod(0o755)

    def start(self, *command, **environment):
        environment = self.environment | {name: str(value) for name, value in environment.items()}
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # a test run in the background ignores SIGINT, and bash can trap no signal that it
            # was started to ignore
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def end(self, process):
        """(exit code, stdout, stderr) of what `start` gave."""
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err

    def run(self, *command, **environment):
        return self.end(self.start(*command, **environment))

    def notes(self, pattern):
        return sorted(path.name for path in self.folder.glob(pattern))

    def lines(self, name):
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)
