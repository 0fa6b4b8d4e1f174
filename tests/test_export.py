"""`python -m s4jax.export`: a run's winner in every format, compared with JAX; mistakes."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from runs import ROOT, run

import s4jax
from s4jax import export
from s4jax.data.sources import digits
from s4jax.errors import UsageError
from s4jax.exporting import parity
from s4jax.runtime.files import write_json


def refused(capsys, *arguments):
    """The one line of a mistake."""
    assert export.main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == '' and len(captured.err.splitlines()) == 1
    return captured.err


def test_flags_that_are_wrong(capsys, tmp_path):
    flags = [f'--run={tmp_path}', f'--to={tmp_path / "to"}']
    assert '--format is missing' in refused(capsys, *flags)
    assert "--format='tflite' must be one of 'safetensors'" in refused(
        capsys, *flags, '--format=tflite'
    )
    words = {
        ('onnx', '--quantize=bf16'): 'no tool for format=onnx; it takes none or int8',
        ('safetensors', '--quantize=int8'): 'it takes none or bf16',
        ('stablehlo', '--quantize=int8'): 'it takes none or bf16',
        ('pytorch', '--preprocess=inside'): 'format=pytorch holds weights and no program',
        ('onnx', '--images=0'): '--images=0 must be a whole number from 1',
    }
    for (kind, flag), expected in words.items():
        assert expected in refused(capsys, *flags, f'--format={kind}', flag)
    assert 'holds no run' in refused(capsys, *flags, '--format=safetensors')
    assert not (tmp_path / 'to').exists()


def test_a_missing_library_is_named_first(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'jax2onnx', None)
    line = refused(capsys, f'--run={tmp_path}', f'--to={tmp_path / "to"}', '--format=onnx')
    assert 'jax2onnx is not installed; run pip install' in line


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file()}


COMMON = {'export.json', 'README.md', 'parity.json', 'parity.md'}
HELD = {
    'safetensors': {'model.safetensors'},
    'stablehlo': {'model.stablehlo'},
    'onnx': {'model.onnx'},
    'pytorch': {'autoformer.safetensors'},
}


@pytest.mark.slow
@pytest.mark.parametrize('kind', HELD)
def test_exports_of_a_run(kind, tiny_run, tmp_path, capsys):
    to = tmp_path / 'to'
    flags = [f'--run={tiny_run[0]}', f'--to={to}', f'--format={kind}']
    for _ in range(2):  # the second one writes over the first
        assert export.main(flags) == 0
    assert files(to) == COMMON | HELD[kind]
    (row,) = json.loads((to / 'parity.json').read_text())
    assert row['images'] == row['equal'] == 256 and row['failure'] is None
    assert row['difference'] <= 1e-4 * row['logit'] and row['logit'] > 0.1
    assert (to / 'parity.md').read_text() in capsys.readouterr().out
    about = json.loads((to / 'export.json').read_text())
    winner = json.loads((tiny_run[0] / 'result.json').read_text())['winner']
    assert about['architecture'] == winner['architecture'] and about['costs'] == winner['costs']
    assert about['class_names'] == list('0123456789')
    other = [f'--run={tiny_run[0]}', f'--to={to}', '--format=onnx']
    if kind != 'onnx':
        assert f'holds an export to {kind}' in refused(capsys, *other)


@pytest.mark.slow
@pytest.mark.parametrize('quantize', ['none', 'bf16'])
def test_an_export_to_safetensors_is_loaded_as_the_run_is(quantize, tiny_run, tmp_path, capsys):
    flags = [f'--run={tiny_run[0]}', f'--to={tmp_path}', '--format=safetensors']
    flags += [f'--quantize={quantize}', '--which=baseline', f'--folder={photos(tmp_path.parent)}']
    assert export.main(flags) == 0
    loaded, original = s4jax.load(tmp_path), s4jax.load(tiny_run[0], 'baseline')
    images = digits().images[:100]
    ours, theirs = loaded.logits(images), original.logits(images)
    tolerance = 0 if quantize == 'none' else 0.02 * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert (quantize == 'none') == (ours == theirs).all()
    for damaged, words in (
        ({'digest': 'another'}, 'is damaged or of another export'),
        ({'format': 'onnx'}, 'holds format=onnx, which s4jax cannot load'),
        ({'encoder digest': 'another'}, 'config.encoder.weights are not those'),
    ):
        about = json.loads((tmp_path / 'export.json').read_text())
        write_json(tmp_path / 'export.json', about | damaged)
        with pytest.raises(UsageError, match=words):
            s4jax.load(tmp_path)
        write_json(tmp_path / 'export.json', about)


def photos(folder):
    """A folder of two photos, larger than stored and in colour."""
    folder = folder / 'photos'
    folder.mkdir(exist_ok=True)
    for i in range(2):
        noise = np.random.default_rng(i).integers(0, 256, (40, 30, 3), np.uint8)
        Image.fromarray(noise).save(folder / f'{i}.png')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['onnx', 'stablehlo'])
@pytest.mark.parametrize('preprocess', ['inside', 'beside'])
def test_the_readme_of_a_program_classifies_a_photo(kind, preprocess, tiny_run, tmp_path):
    flags = [f'--run={tiny_run[0]}', f'--to={tmp_path}', f'--format={kind}', '--images=3']
    assert export.main([*flags, f'--preprocess={preprocess}']) == 0
    (code,) = python((tmp_path / 'README.md').read_text())
    assert classified(code, tmp_path, tiny_run[0])


@pytest.mark.slow
def test_the_page_of_the_docs_classifies_a_photo(tiny_run, tmp_path):
    page = (ROOT / 'docs' / 'how-to' / 'export.md').read_text()
    flags = [f'--run={tiny_run[0]}', f'--to={tmp_path / "exported"}', '--format=onnx']
    assert export.main([*flags, '--images=3']) == 0
    code = next(block for block in python(page) if 'onnxruntime' in block)
    assert classified(code, tmp_path, tiny_run[0])


def python(text):
    """The blocks of Python of a page."""
    return re.findall(r'```python\n(.*?)```', text, re.DOTALL)


def classified(code, folder, workdir):
    """Runs code that prints the class of photo.jpg; whether it is the one that the run's winner
    sees, with the logits that are left in `logits`."""
    shutil.copy(next(iter(sorted(photos(folder).iterdir()))), folder / 'photo.png')
    code = code.replace('photo.jpg', 'photo.png')  # the same pixels for both
    code += "\nimport numpy; numpy.save('logits.npy', numpy.asarray(logits))"
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=folder, capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done.stderr
    expected = s4jax.load(workdir).logits(folder / 'photo.png')
    np.testing.assert_allclose(np.load(folder / 'logits.npy'), expected, rtol=0, atol=1e-3)
    return done.stdout.strip() == str(expected.argmax())


def environment():
    return os.environ | {'PYTHONPATH': str(ROOT)}


@pytest.mark.slow
def test_an_export_that_is_not_the_model_fails(tiny_run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parity, 'TOLERANCE', -1.0)
    flags = [f'--run={tiny_run[0]}', f'--to={tmp_path}', '--format=safetensors', '--images=5']
    assert export.main(flags) == 3
    captured = capsys.readouterr()
    assert captured.out.startswith('| run by')
    (line,) = captured.err.splitlines()
    assert 'is not the model: s4jax: a logit differs by' in line
    assert json.loads((tmp_path / 'parity.json').read_text())[0]['failure']


@pytest.mark.slow
def test_folders_that_are_not_written(tiny_run, tmp_path, capsys):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'letter.txt').write_text('dear')
    (tmp_path / 'file').write_text('')
    flags = [f'--run={tiny_run[0]}', '--format=safetensors', '--images=1']
    for name, words in (
        ('mine', 'holds other files and no export'),
        ('file', 'is a file'),
        ('file/below', 'cannot be made'),
    ):
        assert words in refused(capsys, *flags, f'--to={tmp_path / name}')
    assert 'holds other files' in refused(capsys, *flags, f'--to={tiny_run[0]}')


@pytest.mark.slow
def test_images_that_changed_since_the_run(tiny_run, tmp_path, capsys):
    copy = shutil.copytree(tiny_run[0], tmp_path / 'run')
    known = json.loads((copy / 'config.json').read_text())
    known['data']['digest'] = 'another'
    write_json(copy / 'config.json', known)
    flags = [f'--run={copy}', f'--to={tmp_path / "to"}', '--format=safetensors']
    assert 'are not those of' in refused(capsys, *flags)
    assert export.main([*flags, f'--folder={photos(tmp_path)}']) == 0


@pytest.mark.slow
def test_the_command(tiny_run, tmp_path):
    flags = [f'--run={tiny_run[0]}', f'--to={tmp_path / "to"}', '--format=stablehlo']
    done = run([sys.executable, '-m', 's4jax.export', *flags, '--images=70', '--quantize=bf16'])
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert '| jax.export | bf16 | 70 |' in done.stdout
