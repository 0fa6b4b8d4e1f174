"""Every command and code block of the README and the docs is run, or checked (see blocks.py)."""

import ast
import contextlib
import importlib
import io
import os
import pathlib
import shlex
import subprocess
import sys
import types

import commands as checks
import numpy as np
import pytest
from blocks import ROOT, Block, blocks, commands, documents, in_text
from PIL import Image
from runs import LESS_CARE

from s4jax import main
from s4jax.errors import UsageError
from s4jax.models import FAMILIES

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in documents()}
BLOCKS = {name: blocks(name, text) for name, text in PAGES.items()}
# a training of the documents, shortened to seconds
SHORT = {
    'dtype': 'float32',
    'data.storage_size': 16,
    'model.image_size': 16,
    'model.patch': 4,
    'model.head_dim': 8,
    'space.embed_dim.lower': 8,
    'space.embed_dim.upper': 16,
    'space.embed_dim.step': 8,
    'space.embed_dim.floor': 8,
    'space.depth.lower': 1,
    'space.depth.upper': 2,
    'space.num_heads.lower': 1,
    'space.num_heads.upper': 2,
    'space.num_heads.step': 1,
    'space.mlp_ratio.lower': 1,
    'space.mlp_ratio.upper': 2,
    'space.mlp_ratio.step': 1,
    'baseline.embed_dim': 8,
    'baseline.depth': 1,
    'baseline.num_heads': 1,
    'baseline.mlp_ratio': 1,
    'budget.params': '20k',
    'budget.macs': 'None',
    'augment.crop': 'pad',
    'augment.padding': 1,
    'augment.rand_augment': '',
    'augment.erasing': 0,
    'augment.mixup': 0,
    'augment.cutmix': 0,
    'supernet.batch_size': 8,
    'supernet.epochs': 1,
    'supernet.warmup_epochs': 0,
    'retrain.batch_size': 8,
    'retrain.epochs': 1,
    'retrain.warmup_epochs': 0,
    'explore.iterations': 1,
    'explore.pairs': 2,
    'evolve.population': 4,
    'evolve.generations': 2,
    'evolve.parents': 2,
    'evolve.mutations': 1,
    'evolve.crossovers': 1,
    'evaluate.batch_size': 16,
    'evaluate.architectures': 4,
}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    """A block may add a family."""
    saved = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(saved)


def test_there_are_blocks_of_every_kind():
    """What the other tests walk through is there, and is no longer than it looks."""
    found = [block for page in BLOCKS.values() for block in page]
    assert {'checked', 'run', 'quick start', 'shown', 'output', 'drawn'} <= {b.state for b in found}
    for block in found:
        if block.state == 'shown':  # no command hides in what is only shown
            for line in block.text.splitlines():
                assert not line.startswith(('python ', 'pip ', 'make ', '$ ')), block.place


@pytest.mark.parametrize('page', [name for name in PAGES])
def test_every_command_is_one_that_its_program_takes(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = in_text(PAGES[page])
    lines += [
        line for b in BLOCKS[page] if b.language in ('bash', 'console') for line in commands(b)
    ]
    for line in lines:
        try:
            checks.check(line)
        except Exception as error:
            pytest.fail(f'{page}: {line}: {error}')


NOW = ('run', 'compiled', 'refused')
RUN = [n for n, page in BLOCKS.items() if any(b.state in NOW for b in page)]


@pytest.mark.parametrize('page', RUN)
def test_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks([b for b in BLOCKS[page] if b.state in ('run', 'refused', 'output')])
    for block in BLOCKS[page]:
        if block.state == 'compiled':
            compiled(block)


def run_blocks(page: list[Block]) -> None:
    """The Python of a page in one namespace, the refused commands; what they print is shown."""
    module = sys.modules['page'] = types.ModuleType('page')  # dataclasses look for their module
    printed = ''
    for block in page:
        if block.state == 'output':
            assert printed.strip() == block.text.strip(), block.place
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if block.state == 'refused':
                (line,) = commands(block)
                arguments = shlex.split(line.removeprefix('python -m s4jax.main '))
                assert main.main(arguments) == 2, block.place
            else:
                code = '\n' * block.line + block.text  # so that an error names the line of the page
                exec(compile(code, str(ROOT / block.page), 'exec'), module.__dict__)
        printed = out.getvalue()


def compiled(block: Block) -> None:
    """It is Python, and what it imports of s4jax is there."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith('s4jax'):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f'{node.module}.{alias.name}')


def shortened(line: str) -> str:
    if not line.startswith('python -m s4jax.main '):
        return line
    code, _, _ = line.partition(' #')
    short = dict(SHORT)
    if 'folder.py' in code:  # what it leaves open is given; its hand-made model is derived
        short = {k: v for k, v in short.items() if not k.startswith('baseline.')}
        short |= {'data.channels': 3, 'model.channels': 3, 'data.search': 0.1}
    return ' '.join([code, *(f"--config.{key}='{value}'" for key, value in short.items())])


@pytest.mark.slow
def test_the_quick_start(tmp_path, monkeypatch):
    """A folder of images, a search, predictions: as the documents write it, trainings shortened."""
    folder = quick_start_folder(tmp_path)
    environment = os.environ | {
        'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': str(ROOT),
        'TFDS_DATA_DIR': str(tmp_path / 'prepared'),
        'XLA_FLAGS': LESS_CARE,
    }
    monkeypatch.chdir(folder)
    done = 0
    for page in BLOCKS.values():
        for block in page:
            if block.language != 'bash' or block.state != 'quick start':
                continue
            script = '\n'.join(map(shortened, commands(block)))
            ran = subprocess.run(
                ['bash', '-euo', 'pipefail', '-c', script],
                env=environment,
                capture_output=True,
                text=True,
                timeout=1800,  # a minute on a quiet machine
            )
            assert ran.returncode == 0, f'{block.place}: {ran.stdout}{ran.stderr}'
            done += 1
    assert done >= 3 and (folder / 'runs' / 'mine' / 'result.json').exists()
    assert (folder / 'classes.csv').read_text().startswith('path,rank,class,probability\n')
    for page in BLOCKS.values():
        run_blocks([b for b in page if b.state == 'quick start' and b.language == 'python'])


def quick_start_folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """What a reader has: IMAGES/<class>/, a photo, a folder of photos."""
    folder, rng = tmp_path / 'here', np.random.default_rng(0)
    (folder / 'photos').mkdir(parents=True)
    for n, name in enumerate(('cat', 'dog', 'fox')):
        (folder / 'IMAGES' / name).mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(0, 120, (20, 20, 3), np.uint8)
            pixels[..., n] += 120
            Image.fromarray(pixels).save(folder / 'IMAGES' / name / f'{i}.png')
    Image.fromarray(pixels).save(folder / 'photo.jpg')
    Image.fromarray(pixels).save(folder / 'photos' / 'one.png')
    return folder


def test_the_family_of_the_docs_is_the_one_that_is_searched():
    page = next(b for b in BLOCKS['docs/family.md'] if 'class Architecture' in b.text)
    assert (ROOT / 'tests' / 'models' / 'convnet.py').read_text().endswith(f'\n\n{page.text}\n')


# ------------------------------------------------------------------ what the tests above hold on to


@pytest.mark.parametrize(
    'text, words',
    [
        ('```\nls\n```', 'write a language'),
        ('```sh\nls\n```', 'write a language'),
        ('```bash\nls', 'does not end'),
        ('  ```bash\n  ls\n  ```', 'not indented'),
        ('<!-- block: skipped -->\n```bash\nls\n```', 'no state'),
        ('<!-- block: output -->\n```bash\nls\n```', 'no state'),
        ('<!-- block: compiled -->\n```python\n1\n```', 'say why'),
    ],
)
def test_a_block_without_a_state_is_an_error(text, words):
    with pytest.raises(AssertionError, match=words):
        blocks('page.md', text)


@pytest.mark.parametrize(
    'command',
    [
        'python -m s4jax.main --config=configs/digits.py --workdir=runs/a --config.sed=2',
        'python -m s4jax.main --config=configs/nothing.py --workdir=runs/a',
        'python -m s4jax.predict --run=runs/a --tpo=3 photo.jpg',
        'python -m s4jax.data inspect --nmae=folder',
        'python -m s4jax.count --arch=a.json',
        'python -m s4jax.nothing --run=runs/a',
        'make nothing',
        "pip install -e '.[nothing]'",
        'launch/local.sh two --config=… --workdir=…',
        'launch/nothing.sh --config=… --workdir=…',
        'sky jobs launch launch/sky.yaml --env BOCKET=my-runs',
        'rm -rf runs',
    ],
)
def test_a_wrong_command_is_found(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((AssertionError, UsageError)):
        checks.check(command)


def test_wrong_python_is_found():
    page = '```python\nprint(1)\n```\n\n<!-- block: output -->\n```text\n{}\n```'
    run_blocks(blocks('page.md', page.format('1')))
    with pytest.raises(AssertionError):
        run_blocks(blocks('page.md', page.format('2')))
    missing = '<!-- block: compiled, a reason -->\n```python\nfrom s4jax.run import nothing\n```'
    with pytest.raises(ImportError):
        compiled(*blocks('page.md', missing))
