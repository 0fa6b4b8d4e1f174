"""What the encoder of a run reaches by itself, on the same test images."""

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from s4jax.runtime import mesh as meshes

Count = Callable[[dict[str, Any]], int]
C = 0.316  # as in the example of a linear probe that was published with CLIP
MAX_ITERATIONS = 1000


def encoder_alone(
    batches: Iterable[dict[str, Any]], class_weights: np.ndarray | None, told: str
) -> dict[str, tuple[Count | None, str]]:
    """{name: (correct images of a batch, what it is)}; where it cannot be had, None and why.

    `batches` are of training images; `class_weights` (width, classes) of the names of the classes, `told` what they are.
    """
    zero_shot = (
        None
        if class_weights is None
        else functools.partial(counted, lambda pooled: np.argmax(pooled @ class_weights, 1))
    )
    return {'probe': linear_probe(batches), 'zero-shot': (zero_shot, told)}


def counted(predict: Callable[[np.ndarray], np.ndarray], batch: dict[str, Any]) -> int:
    """The correct images of a batch by `predict(pooled states)`."""
    pooled, labels, real = (meshes.everywhere(batch[name]) for name in ('pooled', 'labels', 'real'))
    return int(np.sum((predict(pooled.astype(np.float32)) == labels) & real))


def linear_probe(batches: Iterable[dict[str, Any]]) -> tuple[Count, str]:
    """Logistic regression on the pooled states of `batches`: (correct images of a batch, what it is)."""
    import threadpoolctl
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    rows = [
        {name: meshes.everywhere(batch[name]) for name in ('pooled', 'labels', 'real')}
        for batch in batches
    ]
    pooled, labels = (
        np.concatenate([row[name][row['real']] for row in rows]) for name in ('pooled', 'labels')
    )
    classifier = LogisticRegression(C=C, max_iter=MAX_ITERATIONS)
    threads = (
        1 if pooled.size < 1e6 else None
    )  # for small products the threads cost many times what they do
    with threadpoolctl.threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # told below
        classifier.fit(pooled.astype(np.float32), labels)
    ended = int(np.max(classifier.n_iter_))
    told = f"logistic regression (C={C}) on the encoder's pooled states of {len(labels):,} images"
    return functools.partial(counted, classifier.predict), told + (
        f', not converged after {ended} iterations' if ended >= MAX_ITERATIONS else ''
    )
