"""The top of the page: the numbers are those of the result, the difference is reported honestly."""

import dataclasses

import pytest

from s4jax.report.reading import read
from s4jax.report.result import Model, Reference
from s4jax.report.sections.headline import LIKELIHOOD, encoder, headline, title, verdict
from s4jax.report.statistics import wilson
from s4jax.runtime.files import read_json
from s4jax.search.budget import readable


def test_numbers_are_those_of_the_result(workdir, words):
    result = read_json(workdir / 'result.json')
    for key in ('winner', 'baseline'):
        model = result[key]
        low, high = wilson(model['correct'], model['images'])
        for text in (
            f'{model["accuracy"]:.2%}',
            f'{model["correct"]} of {model["images"]}',
            f'{low:.1%} to {high:.1%}',
            *(f'{value:,.0f}' for value in model['costs'].values()),
        ):
            assert text in words
    assert f'The winner had {result["winner"]["search_accuracy"]:.2%}' in words
    for row in result['trajectory']:
        for cost in ('params', 'macs'):
            assert readable(row['largest'][cost]) in words


def test_what_is_no_accuracy_is_not_called_one(workdir):
    run = read(workdir)
    assert LIKELIHOOD not in headline(run)
    run.config['evaluate'] = {'score': 'likelihood'}
    assert LIKELIHOOD in headline(run)


@pytest.mark.parametrize(
    'correct, text', [((395, 300), 'does not contain 0'), ((345, 344), 'within the noise')]
)
def test_difference_is_reported_honestly(correct, text):
    winner, baseline = (Model({}, {'params': 10}, number, 400) for number in correct)
    assert text in verdict(winner, baseline)


def test_the_difference_in_words():
    winner, baseline = Model({}, {'params': 30}, 300, 400), Model({}, {'params': 10}, 320, 400)
    text = verdict(winner, baseline)
    assert "has 3.0 times the hand-made model's parameters" in text
    assert 'is 5.00 points lower; the 95% interval of the difference is −10.7' in text
    assert "has 50% of the hand-made model's" in verdict(
        dataclasses.replace(winner, costs={'params': 5}), baseline
    )


def test_an_untrained_encoder_is_named_in_the_title(workdir):
    run = read(workdir)
    assert title(run).startswith('vit on digits: 95.83% with ')
    for section, family in (
        ({'weights': 'random'}, 'decoder beside an untrained encoder'),
        ({'weights': 'FOLDER'}, 'vit'),
        (None, 'vit'),
    ):
        changed = dataclasses.replace(run, config=run.config | {'encoder': section})
        assert title(changed).startswith(f'{family} on digits')


def test_the_encoder_and_its_references(result, parsed):
    facts = {
        'name': 'CLIP ViT-B/16',
        'source': 'RANDOM WEIGHTS, never trained',
        'random': True,
        'dtype': 'float32',
        'params': 85_799_424,
        'macs': 17.56e9,
    }
    references = {
        'probe': Reference('logistic regression', 300, 400),
        'zero-shot': Reference('the encoder was <never> trained'),
    }
    changed = dataclasses.replace(result, encoder=facts, references=references)
    words = str(parsed(encoder(changed)))
    assert 'random weights and was never trained' in words and '85.8M parameters' in words
    assert '75.00% (300 of 400)' in words and 'not availablethe encoder was <never>' in words
    trained = dataclasses.replace(changed, encoder=facts | {'random': False})
    assert 'random weights' not in encoder(trained)
    for none in (None, {}):
        assert encoder(dataclasses.replace(changed, encoder=none)) == ''
