"""Sizes for each way to run a subnet, of one stage and of several."""

from typing import Any, NamedTuple

import jax
import numpy as np

from s4jax import elastic


class Stage(NamedTuple):
    depth: Any
    hidden: Any


class Sizes(NamedTuple):
    embed_dim: Any
    stages: Any


SMALL = Sizes(4, (Stage(1, (5,)), Stage(2, (6, 8))))
WIDEST = Sizes(8, (Stage(2, (9, 9)), Stage(3, (9, 9, 9))))


def test_masked_sizes_are_traced_and_padded():
    masked = elastic.masked(SMALL, WIDEST)
    assert masked.embed_dim == 4 and masked.stages[1].depth == 2
    np.testing.assert_array_equal(masked.stages[0].hidden, [5, 5])
    np.testing.assert_array_equal(masked.stages[1].hidden, [6, 8, 8])
    assert {leaf.dtype for leaf in jax.tree.leaves(masked)} == {np.dtype(np.int32)}


def test_switched_sizes_choose_among_the_options():
    other = Sizes(4, (Stage(2, (7, 5)), Stage(1, (8,))))
    options = elastic.options([SMALL, other])
    assert options == Sizes(None, (Stage(None, (5, 7)), Stage(None, (6, 8))))
    switched = elastic.switched(SMALL, options, WIDEST)
    assert switched.embed_dim == elastic.Fixed(4)
    depth, hidden = switched.stages[1]
    assert depth == 2 and depth.dtype == np.int32 and hidden.values == (6, 8)
    np.testing.assert_array_equal(hidden.index, [0, 1, 0])  # beyond the depth any index will do
    leaves = jax.tree.leaves(switched)
    assert len(leaves) == 4  # depths and indices are traced, all else is static


def test_a_model_reads_ints_where_they_were_fixed():
    assert elastic.resolve(elastic.fixed(SMALL)) == SMALL
    assert jax.tree.leaves(elastic.fixed(SMALL)) == []
    switched = elastic.switched(SMALL, elastic.options([SMALL]), WIDEST)
    assert elastic.resolve(switched).embed_dim == 4
