"""The wheel: what it holds, and that it runs where nothing else of the project is."""

import json
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml
from runs import ROOT, run

from s4jax import __version__

pytestmark = pytest.mark.slow  # builds and installs a wheel

# what a wheel is built of
SOURCES = ['s4jax', 'configs', 'pyproject.toml', 'setup.cfg', 'setup.py', 'README.md', 'LICENSE']


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel, built of a copy: a build leaves files beside its source."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('dist')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source / name)
    arguments = ['--wheel', '--no-isolation', f'--outdir={out}', str(source)]
    built = run([sys.executable, '-m', 'build', *arguments])
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob('*.whl')
    return path


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """A folder that holds the wheel's files and nothing else."""
    target = tmp_path_factory.mktemp('installed')
    arguments = ['--quiet', '--no-deps', '--no-index', f'--target={target}', str(wheel)]
    done = run([sys.executable, '-m', 'pip', 'install', *arguments])
    assert done.returncode == 0, done.stderr
    return target


def elsewhere(installed, tmp_path, *arguments):
    """A command that finds s4jax in `installed` alone, run in a folder of its own."""
    return subprocess.run(
        [sys.executable, '-c', SCRIPT, str(installed), *arguments],
        cwd=tmp_path,
        timeout=300,
        capture_output=True,
        text=True,
    )


# like python -m s4jax.…, with the installed copy first on the path; checks that it is the one used
SCRIPT = """
import runpy, sys
installed, module, *arguments = sys.argv[1:]
sys.path.insert(0, installed)
import s4jax
assert s4jax.__file__.startswith(installed), s4jax.__file__
sys.argv = [module, *arguments]
runpy.run_module(module, run_name='__main__')
"""


def files(folder):
    """Every file below a folder that a user of the package needs."""
    found = (path.relative_to(folder) for path in folder.rglob('*') if path.is_file())
    return {str(path) for path in found if '__pycache__' not in path.parts}


def test_the_wheel_holds_every_file_of_the_package_and_the_configs(wheel):
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if '.dist-info/' not in name}
    package = {f's4jax/{name}' for name in files(ROOT / 's4jax')}
    configs = {f's4jax/configs/{name}' for name in files(ROOT / 'configs')}
    assert inside == package | configs
    assert 's4jax/py.typed' in inside and 's4jax/configs/digits.py' in inside


def test_the_wheel_says_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    (folder,) = {n.split('/')[0] for n in archive.namelist() if '.dist-info/' in n}
    assert folder == f's4jax-{__version__}.dist-info'
    metadata = archive.read(f'{folder}/METADATA').decode()
    assert '\nLicense-Expression: Apache-2.0\n' in metadata
    assert '\nLicense-File: LICENSE\n' in metadata
    license_text = archive.read(f'{folder}/licenses/LICENSE').decode()
    assert license_text == (ROOT / 'LICENSE').read_text()


def test_the_wheel_counts_elsewhere(installed, vit_rows, tmp_path):
    (tmp_path / 'row.json').write_text(json.dumps(vit_rows[0]))
    done = elsewhere(installed, tmp_path, 's4jax.count', '--architecture=row.json')
    assert done.returncode == 0, done.stderr
    expected = {name: vit_rows[0][name] for name in ('params', 'macs')}
    assert json.loads(done.stdout) == expected


def test_the_wheel_finds_its_configs_elsewhere(installed, tmp_path):
    # the budget is refused only after the config was found and read
    arguments = ['--config=configs/digits.py', '--workdir=run', '--config.budget.params=-1']
    done = elsewhere(installed, tmp_path, 's4jax.main', *arguments)
    assert done.returncode == 2 and 'config.budget.params=' in done.stderr, done.stderr
    assert not (tmp_path / 'run').exists()


def test_the_citation_and_the_changelog_name_this_version():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == __version__
    assert citation['license'] == 'Apache-2.0'
    assert f'## [{__version__}]' in (ROOT / 'CHANGELOG.md').read_text()


def test_the_documents_name_files_that_exist():
    for document in ('CONTRIBUTING.md', 'CHANGELOG.md'):
        for name in named_files((ROOT / document).read_text()):
            assert (ROOT / name).exists(), f'{document} names {name}'


def named_files(text):
    """The paths in backticks that name a file in a folder, such as `s4jax/data/folder.py`."""
    path = re.compile(r'[\w.-]+(?:/[\w.-]+)*/[\w-]+\.(?:py|md|toml|sh|css|yml)')
    return [word for word in text.split('`')[1::2] if path.fullmatch(word) and 'NAME' not in word]
