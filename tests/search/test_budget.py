"""Budgets: which costs fit, and which limits are refused."""

import math

import pytest

from s4jax import settings
from s4jax.errors import UsageError
from s4jax.search.budget import Budget, BudgetSettings, readable
from s4jax.settings import Float


def test_budgets():
    class MeasuredSettings(BudgetSettings):
        """With a cost of one's own."""

        latency_ms: Float | None = None

    budget = Budget.create(MeasuredSettings(params=30e6, macs=None, latency_ms=12.3))
    assert budget.limits == (('params', 30e6), ('latency_ms', 12.3))
    assert (
        budget.excess({'params': 36_395_626, 'latency_ms': 1})
        == 'params 36,395,626 over 30,000,000'
    )
    assert budget.excess({'params': 1, 'latency_ms': 12.4}) == 'latency_ms 12.4 over 12.3'
    equal = {
        'params': 30_000_000,
        'latency_ms': 1,
    }  # an architecture may meet it (Eq. 1), a space may not (Eq. 4)
    assert (
        budget.fits(equal)
        and budget.excess(equal, strict=True) == 'params 30,000,000 not below 30,000,000'
    )
    assert budget.fits({'params': 29_999_999, 'latency_ms': 1}, strict=True)
    assert str(budget) == 'params 30M, latency_ms 12.3' and str(Budget(())) == 'no limit'
    assert [readable(v) for v in (5_867_944, 1.5e9, 999, 12_345, 0.25)] == [
        '5.868M',
        '1.5G',
        '999',
        '12.35k',
        '0.25',
    ]
    for limit in (0, -1, float('nan'), math.inf, 1e16, True, 'much'):
        with pytest.raises(UsageError, match='^budget.params=.* must be a number above 0 and at'):
            settings.read(BudgetSettings, {'params': limit}, 'budget')
    with pytest.raises(UsageError, match='^budget.flops is unknown; known: params, macs'):
        settings.read(BudgetSettings, {'flops': 1}, 'budget')
    assert settings.read(BudgetSettings, {'params': '25M', 'macs': '5G'}, 'budget') == (
        BudgetSettings(params=25e6, macs=5e9)
    )
