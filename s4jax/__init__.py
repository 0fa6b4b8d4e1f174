"""S4: seek the search space, and then the vision transformer, that fits a size budget."""

import os
import time
import typing

if typing.TYPE_CHECKING:
    from s4jax.predictor import Predictor

__version__ = '0.1.0'
BEGAN = time.monotonic()  # of the process, but for the start of Python


def load(
    run: str | os.PathLike[str], which: str = 'winner', batch_size: int | None = None
) -> 'Predictor':
    """The winner of a finished run, or its hand-made model (`which='baseline'`), to predict with.

    batch_size: images that run at once; None: as in the run, at most 64. `run` may also be the
    folder of an export to safetensors, which holds one model. Raises UsageError where the folder
    holds no finished run, or its checkpoint is damaged.
    """
    from s4jax import predictor  # only now: `import s4jax` does not import JAX

    if os.path.isfile(os.path.join(run, 'export.json')):
        from s4jax.exporting import safetensors

        return safetensors.load(run, which, batch_size)
    return predictor.load(run, which, batch_size)
