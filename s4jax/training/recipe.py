"""How a model is trained: epochs, batch size, optimizer and its schedule."""

import dataclasses
from collections.abc import Callable

import jax
import optax

from s4jax.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """AdamW with a linear warm-up and a cosine from `lr` to `min_lr`; lr as written, whatever the batch size."""

    epochs: int
    batch_size: int
    lr: float
    min_lr: float = 0.0
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    drop_path: float = 0.0

    def __post_init__(self):
        for name, fine in (
            ('epochs', self.epochs > 0),
            ('batch_size', self.batch_size > 0),
            ('lr', self.lr > 0),
            ('min_lr', 0 <= self.min_lr <= self.lr),
            ('warmup_epochs', 0 <= self.warmup_epochs <= self.epochs),
            ('weight_decay', self.weight_decay >= 0),
            ('drop_path', 0 <= self.drop_path < 1),
        ):
            if not fine:
                raise UsageError(
                    f'{name}={getattr(self, name)} is out of range in a recipe of lr={self.lr} and '
                    f'epochs={self.epochs}'
                )

    def steps(self, images: int) -> int:
        return max(1, int(self.epochs * images / self.batch_size))

    def optimizer(
        self, images: int, decays: Callable[[tuple[str, ...]], bool]
    ) -> optax.GradientTransformation:
        """For `images` training images; decay goes by the parameter's name, since stacked biases are not 1-D."""
        warmup = int(self.warmup_epochs * images / self.batch_size)
        schedule = optax.warmup_cosine_decay_schedule(
            min(self.lr, 1e-6) if warmup else self.lr,
            self.lr,
            warmup,
            max(self.steps(images), warmup + 1),
            self.min_lr,
        )

        def mask(params):
            return jax.tree_util.tree_map_with_path(
                lambda path, _: decays(tuple(str(getattr(k, 'key', k)) for k in path)), params
            )

        return optax.adamw(schedule, weight_decay=self.weight_decay, mask=mask)
