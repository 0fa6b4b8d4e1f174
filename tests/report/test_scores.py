"""The accuracies of each space, from the journal."""

import json

import numpy as np
import pytest

from s4jax.report.reading import read
from s4jax.report.scores import read_scores
from s4jax.runtime.files import read_json


def test_every_space_has_what_its_own_supernet_scored(workdir):
    rows = [json.loads(line) for line in (workdir / 'journal.jsonl').read_text().splitlines()]
    run = read(workdir)
    assert [scores.evolved for scores in run.scores] == [False, False, True]
    for t, scores in enumerate(run.scores[:2]):
        own = [row for row in rows if row['supernet'] == f'digest {t}']
        assert len(own) > 40 and list(scores.architectures) == [r['architecture'] for r in own]
        np.testing.assert_allclose(scores.accuracies, [r['correct'] / 400 for r in own])
        assert scores.accuracies[scores.best] == scores.accuracies.max()
    members = [m for m in read_json(workdir / 'phases/evolve.json')['members']]
    first = [m['accuracy'] for m in members if m['generation'] == 0]
    assert list(run.scores[2].accuracies) == first and len(first) == 12


def test_where_the_search_stopped_the_evolution_is_left_out(tmp_path, workdir):
    """The last supernet scored the slopes' architectures first, then the evolution's."""
    run, rows = read(workdir), (workdir / 'journal.jsonl').read_text().splitlines()
    (tmp_path / 'phases').mkdir()
    slopes, bred = ([r for r in rows if f'digest {t}' in r] for t in (1, 2))
    both = '\n'.join(slopes + bred).replace('digest 2', 'digest 1')
    (tmp_path / 'journal.jsonl').write_text(both + '\n')
    (tmp_path / 'phases/supernet_0.json').write_text('{"digest": "digest 1"}')
    (scores,) = read_scores(tmp_path, 400, run.evolution)
    assert not scores.evolved and len(scores.accuracies) == len(slopes)


@pytest.mark.parametrize('end', ['{"supernet": "dig', '[]', '{"supernet": 1}', '{}', 'null', '\0'])
def test_a_damaged_line_ends_the_journal(tmp_path, end):
    row = {'supernet': 'a', 'architecture': {'depth': 1}, 'correct': 3}
    (tmp_path / 'phases').mkdir()
    (tmp_path / 'phases/supernet_0.json').write_text('{"digest": "a"}')
    lines = [json.dumps(row), json.dumps(row | {'correct': 1}), end, json.dumps(row)]
    (tmp_path / 'journal.jsonl').write_text('\n'.join(lines))
    (scores,) = read_scores(tmp_path, 4, None)
    assert scores.accuracies.tolist() == [0.75, 0.25] and scores.mean == 0.5


def test_a_run_without_supernets_has_no_scores(tmp_path):
    assert read_scores(tmp_path, 0, None) == []
