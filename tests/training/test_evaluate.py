"""Scores: counted without the padding, each subnet once, from the journal where they are known."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from s4jax.models import vit
from s4jax.runtime import mesh
from s4jax.runtime.progress import Progress
from s4jax.runtime.session import Session
from s4jax.runtime.signals import Interrupted, Signals
from s4jax.training import evaluate


class Linear:
    """A model whose logits are the inputs' first `sizes` columns times the weight."""

    @staticmethod
    def apply(variables, inputs, sizes):
        shown = jnp.where(jnp.arange(inputs.shape[-1]) < sizes, inputs, 0)
        return shown @ variables


def batches(rng, images=50, size=16, width=6):
    for start in range(0, images, size):
        rows = np.arange(start, start + size)
        yield {
            'inputs': rng.normal(size=(size, width)).astype(np.float32),
            'labels': rng.integers(0, 3, size),
            'real': rows < images,
        }


def expected(weight, found, sizes):
    total = 0
    for batch in found:
        logits = (batch['inputs'] * (np.arange(6) < sizes)) @ weight
        total += np.sum((np.argmax(logits, -1) == batch['labels']) & batch['real'])
    return total


def likelihoods(weight, found, sizes):
    """The log-likelihood of every real image, in float64."""
    for batch in found:
        logits = (batch['inputs'] * (np.arange(6) < sizes)).astype(np.float64) @ weight
        chosen = logits[np.arange(len(logits)), batch['labels']]
        yield from (chosen - np.log(np.exp(logits).sum(-1)))[batch['real']]


def units(weight, found, sizes):
    return sum(round(256 * max(nats, -16)) for nats in likelihoods(weight, found, sizes))


def test_a_likelihood_is_the_geometric_mean_of_the_probabilities(case, tmp_path):
    weight, found = case
    weight = 8 * weight  # some images are below the lower bound of 16 nats
    place = mesh.create()
    count = evaluate.make_counter(Linear, lambda batch: batch['inputs'], True, place)
    session = Session(tmp_path, place, Signals(), Progress(tmp_path, {}, shown=False))
    subnets = evaluate.Subnets('one', lambda: weight, lambda a: np.int32(a.embed_dim), count)
    score = evaluate.make_score(subnets, lambda: found, 50, 4, session, 'likelihood')
    wanted = [arch(n) for n in (1, 4, 6)]
    each = [list(likelihoods(weight, found, n)) for n in (1, 4, 6)]
    assert min(map(min, each)) < -16
    means = [np.exp(np.mean(np.maximum(nats, -16))) for nats in each]
    with session.progress.phase('evolve'):
        np.testing.assert_allclose(score(wanted), means, rtol=1 / 256)
    accuracy = evaluate.make_score(subnets, lambda: found, 50, 4, session)
    wanted_accuracy = [expected(weight, found, n) / 50 for n in (1, 4, 6)]
    assert accuracy(wanted).tolist() == wanted_accuracy  # of the same journal


def test_verdicts_leave_out_the_padding_and_keep_the_order(case):
    weight, found = case
    judge = evaluate.make_judge(Linear, lambda batch: batch['inputs'], mesh.create())
    wrong = evaluate.wrong([np.asarray(judge(weight, 6, batch)) for batch in found])
    right = np.concatenate([np.argmax(b['inputs'] @ weight, -1) == b['labels'] for b in found])
    assert list(wrong) == np.flatnonzero(~right[:50]).tolist() and 0 < len(wrong) < 50


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 3)).astype(np.float32), list(batches(rng))


def test_one_and_many_count_the_same_as_numpy(case):
    weight, found = case
    place = mesh.create()
    one, many = (
        evaluate.make_counter(Linear, lambda batch: batch['inputs'], kind, place)
        for kind in (False, True)
    )
    sizes = np.array([1, 3, 6])
    total = evaluate.correct(lambda batch: many(weight, sizes, batch), found, Signals())
    assert total[:, 0].tolist() == [expected(weight, found, n) for n in sizes]
    assert total[:, 1].tolist() == [units(weight, found, n) for n in sizes]
    assert total.dtype == np.int64
    for n in sizes:
        correct = sum(int(one(weight, n, batch)[0]) for batch in found)
        assert correct == expected(weight, found, n)


def test_a_signal_ends_the_pass(case):
    signals = Signals()
    seen = []
    with pytest.raises(Interrupted):
        for batch in evaluate.watched(case[1], signals):
            seen.append(batch)
            signals.received = 15
    assert len(seen) == 1


def arch(width):
    return vit.Architecture(
        image_size=4,
        patch=2,
        classes=3,
        embed_dim=width,
        depth=1,
        num_heads=(1,),
        mlp_ratio=(1.0,),
    )


def test_each_subnet_is_scored_once_in_padded_chunks(case, tmp_path):
    weight, found = case
    place, loads, runs = mesh.create(), [], []
    count = evaluate.make_counter(Linear, lambda batch: batch['inputs'], True, place)

    def counted(variables, sizes, batch):
        runs.append(len(sizes))
        return count(variables, sizes, batch)

    def load():
        loads.append(1)
        return weight

    progress = Progress(tmp_path, {}, shown=False)
    session = Session(tmp_path, place, Signals(), progress)

    def score_of(digest):
        subnets = evaluate.Subnets(digest, load, lambda a: np.int32(a.embed_dim), counted)
        return evaluate.make_score(subnets, lambda: found, 50, 4, session)

    score = score_of('one')
    with progress.phase('explore_0'):
        wanted = [arch(n) for n in (1, 2, 3, 4, 5, 2)]
        accuracies = score(wanted)
        assert accuracies.tolist() == [expected(weight, found, a.embed_dim) / 50 for a in wanted]
        # five different ones in two chunks of four, the last one padded, over four batches
        assert runs == [4] * 8 and loads == [1]
        np.testing.assert_array_equal(score(wanted[::-1]), accuracies[::-1])
        assert len(runs) == 8
        again = score_of('one')  # another process: known from the journal, nothing is loaded
        np.testing.assert_array_equal(again(wanted), accuracies)
        assert len(runs) == 8 and loads == [1]
        score_of('other')(wanted[:1])  # another supernet is scored anew
        assert len(runs) == 12
    rows = [json.loads(line) for line in (tmp_path / 'journal.jsonl').read_text().splitlines()]
    assert [row['supernet'] for row in rows] == ['one'] * 5 + ['other']
    assert rows[0]['correct'] == expected(weight, found, 1)
