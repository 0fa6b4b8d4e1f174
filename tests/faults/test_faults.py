"""The fault suite in short; `make faults` is the whole."""

import damage
import pytest
from runs import command, run

from s4jax.errors import UsageError
from s4jax.runtime.lock import held


@pytest.mark.parametrize('number', range(2 * len(damage.KINDS)))
def test_a_damaged_checkpoint_is_never_silently_wrong(tmp_path_factory, number):
    folder = tmp_path_factory.getbasetemp() / 'damaged'
    folder.mkdir(exist_ok=True)
    seen, _ = damage.case(folder, number)
    assert sum(seen.values()) == 1


def test_two_starts_in_one_workdir(tmp_path):
    workdir = tmp_path / 'run'
    workdir.mkdir()
    with held(workdir):
        with pytest.raises(UsageError, match='another process'):
            held(workdir)
        done = run(command(workdir))
    assert done.returncode == 2 and 'another process' in done.stderr, done.stderr
    assert done.stderr.count('\n') == 1
    assert [path.name for path in workdir.iterdir()] == ['.lock']  # nothing was written
    held(workdir).close()
