"""`s4jax.load`: the model of a run as it was tested, and one line for what cannot be loaded."""

import json
import shutil
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from runs import config, run

import s4jax
from s4jax import run as runs
from s4jax.data.sources import digits
from s4jax.errors import UsageError
from s4jax.phases import fitting, testing
from s4jax.runtime.files import write_json
from s4jax.runtime.signals import Signals

pytestmark = pytest.mark.slow  # on the models of a whole run


def test_images(workdir):
    """(images uint8 (n, H, W, C), labels) of a digits run's test split."""
    rows = json.loads((workdir / 'splits.json').read_text())['test']
    data = digits()
    return data.images[rows], data.rows['label'][rows]


test_images.__test__ = False


@pytest.fixture(scope='module')
def winner(tiny_run):
    return s4jax.load(tiny_run[0])


@pytest.fixture
def copy(tiny_run, tmp_path):
    return shutil.copytree(tiny_run[0], tmp_path / 'run')


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def refused(*arguments, **options):
    with pytest.raises(UsageError) as error:
        s4jax.load(*arguments, **options)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def correct(predictor, workdir):
    images, labels = test_images(workdir)
    found = predictor.predict(images, top=1)
    return sum(p.labels[0] == label for p, label in zip(found, labels))


@pytest.mark.parametrize('which', ['winner', 'baseline'])
def test_the_tested_accuracy_to_the_image_and_nothing_changed(which, tiny_run):
    workdir = tiny_run[0]
    before = contents(workdir)
    predictor = s4jax.load(str(workdir), which)
    tested = json.loads((workdir / 'result.json').read_text())[which]
    assert correct(predictor, workdir) == tested['correct']
    assert predictor.arch.to_json() == tested['architecture']
    assert predictor.costs == tested['costs']
    assert predictor.class_names == tuple('0123456789') and predictor.shape == (8, 8, 1)
    assert contents(workdir) == before


@pytest.mark.parametrize('name', ['configs/shunted.py:smoke', 'configs/clip.py:smoke'])
def test_statistics_and_encoders_come_back_too(name, tmp_path):
    """Two short trainings and the pipeline's own test stand for a whole run."""
    changes = dict(retrain__epochs=1, retrain__warmup_epochs=0, budget__params=1e6)
    task, session = runs.prepare(config(name, **changes), tmp_path / 'run', Signals())
    runs.claim(task, session.workdir)
    models = {
        name: fitting.fit_alone(task, session, phase, task.baseline)
        for name, phase in (('winner', 'retrain'), ('baseline', 'baseline'))
    }
    tested = testing.test_models(task, session, models)
    write_json(session.workdir / 'result.json', tested.to_json()['models'])
    predictor = s4jax.load(session.workdir)
    assert set(predictor.variables) == set(models['winner'].load())
    assert correct(predictor, session.workdir) == tested.models['winner'].correct > 400 / 10


def test_other_weights_of_the_encoder_are_refused(copy):
    known = json.loads((copy / 'config.json').read_text())
    known['identity']['encoder digest'] = 'another'
    write_json(copy / 'config.json', known)
    assert 'config.encoder.weights are not those' in refused(copy)


def test_probabilities_are_the_softmax_of_the_logits(winner, tiny_run):
    images = test_images(tiny_run[0])[0][:70]  # more than a batch
    logits = winner.logits(images)
    assert logits.shape == (70, 10) and logits.dtype == np.float32
    softmax = np.asarray(jax.nn.softmax(logits))
    for row, prediction in zip(softmax, winner.predict(images, top=3)):
        assert prediction.labels == tuple(np.argsort(-row)[:3])
        assert prediction.classes == tuple(map(str, prediction.labels))
        np.testing.assert_allclose(prediction.probabilities, np.sort(row)[:-4:-1], rtol=1e-5)
    assert len(winner.predict(images[:1], top=99)[0].classes) == 10
    assert sum(winner.predict(images[:1], top=10)[0].probabilities) == pytest.approx(1)
    assert winner.predict([]) == [] and winner.logits(images[:0]).shape == (0, 10)


def test_one_program_serves_any_number_of_images(winner, tiny_run):
    images = test_images(tiny_run[0])[0]
    for count in (1, 5, 64, 65, 200):
        np.testing.assert_array_equal(winner.logits(images[:count]), winner.logits(images)[:count])
    assert winner._compiled._cache_size() == 1


def test_apply_is_the_model_for_those_who_go_on_in_jax(winner, tiny_run):
    images = test_images(tiny_run[0])[0][:5]
    found = jax.jit(winner.apply)(winner.variables, winner.encode(images))
    np.testing.assert_allclose(found, winner.logits(images), atol=1e-5)
    loss = lambda variables: winner.apply(variables, winner.encode(images)).sum()
    slopes = jax.tree.leaves(jax.grad(loss)(winner.variables))
    assert any(np.abs(slope).max() > 0 for slope in slopes)


def test_paths_arrays_and_pil_images_are_one(winner, tmp_path):
    """Larger than stored, not square, in colour: as the run would have stored them."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    path = tmp_path / 'noise.png'
    Image.fromarray(noise).save(path)
    ways = [
        path,
        [str(path)],
        [Image.open(path)],
        Image.fromarray(noise),
        noise[None],
        [noise],
        [winner.stored(path)],
    ]
    expected = winner.logits(path)
    assert expected.shape == (1, 10)
    for way in ways:
        np.testing.assert_array_equal(winner.logits(way), expected)
    opaque = np.dstack([noise, np.full((30, 20), 255, np.uint8)])
    Image.fromarray(opaque).save(path)
    np.testing.assert_array_equal(winner.logits([opaque]), winner.logits(path))
    turned = Image.fromarray(np.rot90(noise))  # as a camera held upright stores it
    turned.getexif()[0x0112] = 6
    np.testing.assert_array_equal(winner.logits(turned), expected)


def test_images_that_cannot_be_read_are_named(winner, tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'no image')
    whole = np.zeros((8, 8, 1), np.uint8)
    for images, words in (
        (tmp_path / 'bad.png', 'bad.png cannot be read: it is not a PNG'),
        (str(tmp_path / 'none.png'), 'none.png cannot be read: No such file'),
        (tmp_path, 'cannot be read: Is a directory'),
        ([whole, whole.astype(np.float32)], 'an image is float32 (8, 8, 1); write a path'),
        (whole, 'an image is uint8 (8, 1); write a path'),
        ([whole, whole[:0]], 'image 1 cannot be read: it has no pixels'),
    ):
        with pytest.raises(UsageError) as error:
            winner.predict(images)
        assert words in str(error.value)
    for top in (0, -1, 2.5, True, 'all'):
        with pytest.raises(UsageError, match='top='):
            winner.predict([], top)


def test_the_batch_is_the_users(tiny_run):
    images = test_images(tiny_run[0])[0][:3]
    one = s4jax.load(tiny_run[0], batch_size=1)
    assert one.batch_size == jax.device_count()
    np.testing.assert_allclose(one.logits(images), s4jax.load(tiny_run[0]).logits(images), 1e-4)
    assert 'batch_size=0' in refused(tiny_run[0], batch_size=0)


def test_a_folder_without_a_finished_run_is_refused(copy, tmp_path):
    assert 'is not a folder; near: run' in refused(tmp_path / 'rum')
    assert 'is a file' in refused(copy / 'result.json')
    assert 'holds no run: config.json is missing or damaged' in refused(tmp_path)
    assert "which='winer' is unknown; did you mean winner?" in refused(copy, 'winer')
    (copy / 'result.json').rename(copy / 'other.json')
    assert 'is not finished: go on with the command that began it' in refused(copy)
    (copy / 'other.json').rename(copy / 'result.json')
    known = json.loads((copy / 'config.json').read_text())
    del known['data']['class_names']
    write_json(copy / 'config.json', known)
    assert 'names no classes, as a run of an earlier version' in refused(copy)
    (copy / 'config.json').write_text('{')
    assert 'config.json is missing or damaged' in refused(copy)


def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(copy):
    folder = copy / 'checkpoints' / 'retrain'
    newest = max(folder.iterdir(), key=lambda path: int(path.name))
    for path in newest.rglob('*'):
        if path.is_file() and '/d/' in str(path):
            path.write_bytes(path.read_bytes()[:-50] + bytes(50))
    before = contents(copy)
    message = refused(copy)
    assert f'checkpoint {newest} is damaged: it cannot be read' in message
    assert 'phases/retrain.json and give the command' in message and 'deleted' not in message
    assert contents(copy) == before
    s4jax.load(copy, 'baseline')  # is sound
    shutil.rmtree(newest)
    assert 'is not the result of its phase' in refused(copy)
    shutil.rmtree(folder)
    assert 'holds no checkpoint' in refused(copy)
    assert not folder.exists()


def test_weights_that_are_not_those_of_the_record_are_refused(copy):
    path = copy / 'phases' / 'retrain.json'
    write_json(path, json.loads(path.read_text()) | {'digest': 'another'})
    assert 'is not the result of its phase' in refused(copy)


def test_importing_s4jax_imports_no_jax():
    code = 'import s4jax, sys; sys.exit("jax" in sys.modules or not callable(s4jax.load))'
    assert run([sys.executable, '-c', code]).returncode == 0
