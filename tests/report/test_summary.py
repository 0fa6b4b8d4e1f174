"""The summary, to the letter."""

import dataclasses
import pathlib

from s4jax.report.result import Model, Reference, Result, Spent
from s4jax.report.summary import summary
from s4jax.search.budget import Budget
from s4jax.search.explore import Visited
from s4jax.search.space import Dimension, SearchSpace

A0 = SearchSpace(
    (
        Dimension('depth', 2, 4, 1),
        Dimension('embed_dim', 16, 32, 8),
        Dimension('mlp_ratio', 2.0, 4.0, 1.0, per_block=True),
        Dimension('num_heads', 2, 4, 1, per_block=True),
    ),
    ((1, 'depth'),),
)
A1 = A0.moved((-1, 1, 0, 0))
STOPPED = 'no legal neighbour ascends (best cosine -0.194)'
RESULT = Result(
    family='vit',
    data={'name': 'digits'},
    budget=Budget((('params', 60e3),)),
    seed=0,
    encoder={},
    trajectory=(
        Visited(A0, {'params': 55_786, 'macs': 985_920}, (0, 0, 0, 0)),
        Visited(A1, {'params': 59_538, 'macs': 1_027_856}, (-1, 1, 0, 0), 0.637, None, STOPPED),
    ),
    winner=Model(
        {'image_size': 8, 'embed_dim': 40, 'depth': 3, 'num_heads': [1, 3, 3]},
        {'params': 46_538, 'macs': 764_016},
        388,
        400,
    ),
    baseline=Model(
        {'image_size': 8, 'embed_dim': 32, 'depth': 4, 'num_heads': [4, 4, 4, 4]},
        {'params': 55_786, 'macs': 985_920},
        379,
        400,
    ),
    search_accuracy=0.845,
    choices={'embed_dim': 40, 'depth': 3, 'num_heads': (1, 3, 3), 'mlp_ratio': (3, 4, 3)},
    references={},
    evolution='8 generations',
    method='s4',
    backtracks=None,
    spaces={},
    spent=Spent(9_000, 0.0, 48_000, 0.0),
)
TEXT = """\
budget     params 60k   (vit on digits, s4, seed 0)

space A0   depth 2..4, embed_dim 16..32, mlp_ratio 2..4, num_heads 2..4
               largest 55.79k params; as given
space A1   depth 1..3, embed_dim 24..40, mlp_ratio 2..4, num_heads 2..4
               largest 59.54k params; moved depth −1, embed_dim +8: \
the legal neighbour closest to the accuracy gradient (cosine 0.64)
               and stayed there: no legal neighbour ascends (best cosine -0.194)

evolution  best of the supernet: 84.50% of the search split; ended after 8 generations

winner     test accuracy 97.00% (388 of 400), 46,538 params, 764,016 macs
               embed_dim 40, depth 3, num_heads [1, 3, 3]
hand-made  test accuracy 94.75% (379 of 400), 55,786 params, 985,920 macs
               embed_dim 32, depth 4, num_heads [4, 4, 4, 4]

files      runs/digits/report.html (page), result.json, architecture.json, trajectory.json, \
checkpoints/retrain (weights)"""
WORKDIR = pathlib.Path('runs/digits')
ENCODER = {
    'name': 'CLIP ViT-B/16',
    'source': 'RANDOM WEIGHTS, never trained',
    'random': True,
    'dtype': 'float32',
    'params': 85_799_424,
    'macs': 17.56e9,
}


def test_the_whole_text():
    assert summary(WORKDIR, RESULT) == TEXT
    assert summary(WORKDIR, dataclasses.replace(RESULT, encoder=None)) == TEXT
    by_likelihood = summary(WORKDIR, RESULT, score='likelihood')
    assert 'as the mean probability of the true class on the search split' in by_likelihood


def test_a_first_space_that_was_moved_before_training():
    moved = dataclasses.replace(RESULT.trajectory[0], gamma=(0, -2, 0, 0))
    changed = dataclasses.replace(RESULT, trajectory=(moved,))
    reason = 'moved before training, to fit the budget: embed_dim −16'
    assert f'largest 55.79k params; {reason}\n\n' in summary(WORKDIR, changed)


def test_an_encoder_and_its_references():
    references = {
        'probe': Reference('logistic regression', 300, 400),
        'zero-shot': Reference('the encoder was never trained'),
    }
    lines = summary(
        WORKDIR, dataclasses.replace(RESULT, encoder=ENCODER, references=references)
    ).splitlines()
    assert lines[1] == (
        'encoder    CLIP ViT-B/16, frozen, RANDOM WEIGHTS, never trained '
        '(no accuracy here says anything of CLIP); 85.8M params and 17.56G macs beside the budget'
    )
    assert lines[-4:-1] == [
        'probe      test accuracy 75.00% (300 of 400), logistic regression',
        'zero-shot  not available: the encoder was never trained',
        '',
    ]
    trained = ENCODER | {'random': False, 'source': 'weights of FOLDER'}
    text = summary(WORKDIR, dataclasses.replace(RESULT, encoder=trained))
    assert 'weights of FOLDER; 85.8M params' in text and 'says anything' not in text


def test_numbered_dimensions_show_the_size_and_the_depths():
    winner = dataclasses.replace(
        RESULT.winner, architecture={'depths': [2, 1], 'mlp_ratio': [3, 3, 4], 'window': 7}
    )
    choices = {'depth_1': 2, 'depth_2': 1, 'mlp_ratio_1': (3, 3), 'mlp_ratio_2': (4,)}
    changed = dataclasses.replace(RESULT, winner=winner, choices=choices)
    assert '\n               depths [2, 1], mlp_ratio [3, 3, 4]\n' in summary(WORKDIR, changed)


def test_a_derived_hand_made_model_is_called_so():
    text = summary(pathlib.Path('runs/x'), dataclasses.replace(RESULT, derived=True))
    assert 'derived: the stock shape of vit, scaled to the budget' in text
    again = Result.from_json(dataclasses.replace(RESULT, derived=True).to_json())
    assert again.derived and 'derived' not in RESULT.to_json()['baseline']
