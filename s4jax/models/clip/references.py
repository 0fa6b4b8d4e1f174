"""What a frozen encoder reaches by itself, on the same test images as the models beside it."""

import functools
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from s4jax.runtime import mesh as meshes

Count = Callable[[dict[str, Any]], int]
C = 0.316  # as in the example of a linear probe that was published with CLIP
MAX_ITERATIONS = 1000
SMALL = 1e6  # numbers below which threads cost many times what they save


def counted(predict: Callable[[np.ndarray], np.ndarray], batch: dict[str, Any]) -> int:
    """The correct images of a batch by `predict(pooled)`, pooled states (B, width) -> labels."""
    pooled, labels, real = (meshes.everywhere(batch[name]) for name in ('pooled', 'labels', 'real'))
    return int(np.sum((predict(pooled.astype(np.float32)) == labels) & real))


def zero_shot(class_weights: np.ndarray | None, description: str) -> tuple[Count | None, str]:
    """(correct images of a batch, description) by class weights (width, classes).

    None where there are no class weights; the description says why.
    """
    if class_weights is None:
        return None, description

    def predict(pooled: np.ndarray) -> np.ndarray:
        return np.argmax(pooled @ class_weights, 1)

    return functools.partial(counted, predict), description


def linear_probe(batches: Iterable[dict[str, Any]]) -> tuple[Count, str]:
    """(correct images of a batch, description) by logistic regression on the pooled states.

    `batches` are of training images and hold pooled (B, width), labels (B,) and real (B,).
    """
    import threadpoolctl
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    names = ('pooled', 'labels', 'real')
    rows = [{name: meshes.everywhere(batch[name]) for name in names} for batch in batches]
    pooled = np.concatenate([row['pooled'][row['real']] for row in rows])
    labels = np.concatenate([row['labels'][row['real']] for row in rows])
    classifier = LogisticRegression(C=C, max_iter=MAX_ITERATIONS)
    threads = 1 if pooled.size < SMALL else None
    with threadpoolctl.threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter('ignore', ConvergenceWarning)  # the description says it
        classifier.fit(pooled.astype(np.float32), labels)
    iterations = int(np.max(classifier.n_iter_))
    description = f"logistic regression (C={C}) on the encoder's pooled states of {len(labels):,} "
    description += 'images'
    if iterations >= MAX_ITERATIONS:
        description += f', not converged after {iterations} iterations'
    return functools.partial(counted, classifier.predict), description
