"""The result and its JSON."""

import dataclasses
import json

from s4jax.report.result import Model, Reference, Result

REFERENCES = {
    'probe': Reference('logistic regression on its states', 300, 400),
    'zero-shot': Reference('the encoder was never trained'),
}
ENCODER = {'name': 'CLIP ViT-B/16', 'params': 85.8e6, 'random': False}


def test_comes_back_from_its_json(result):
    changed = dataclasses.replace(result, references=REFERENCES, encoder=ENCODER)
    for value in (result, dataclasses.replace(result, encoder={}), changed):
        assert Result.from_json(json.loads(json.dumps(value.to_json()))) == value


def test_layout(result):
    row = dataclasses.replace(result, references=REFERENCES).to_json()
    assert list(row) == [
        'family',
        'data',
        'budget',
        'seed',
        'encoder',
        'trajectory',
        'winner',
        'baseline',
        'references',
        'evolution',
        'method',
        'backtracks',
        'spaces',
        'spent',
    ]
    tested = ['correct', 'images', 'accuracy', 'architecture', 'costs']
    assert list(row['winner']) == [*tested, 'search_accuracy', 'choices']
    assert list(row['baseline']) == tested
    assert list(row['trajectory'][0]) == [
        'space',
        'largest',
        'gamma',
        'cosine',
        'slopes',
        'stopped',
    ]
    assert row['budget'] == {'params': 60e3, 'macs': 1.2e6}
    assert row['references'] == {
        'probe': {
            'correct': 300,
            'images': 400,
            'accuracy': 0.75,
            'description': 'logistic regression on its states',
        },
        'zero-shot': {'description': 'the encoder was never trained'},
    }


def test_accuracy_is_a_ratio_of_whole_numbers():
    assert Model({}, {}, 3, 4).accuracy == Reference('', 3, 4).accuracy == 0.75
    assert Reference('not there').accuracy is None
    assert Reference('all wrong', 0, 4).accuracy == 0
