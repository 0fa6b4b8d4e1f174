"""Which families have published modules."""

import pytest

from s4jax.errors import UsageError
from s4jax.models import FAMILIES
from s4jax.models.weights import published


def test_families_without_one_are_refused_in_one_line():
    refused = set(FAMILIES) - set(published.EXPORTERS)
    assert refused == {'clip'}
    for family in (*refused, 'convnet'):
        with pytest.raises(UsageError, match=f"of family='{family}' was published") as error:
            published.check(family)
        assert len(str(error.value).splitlines()) == 1
