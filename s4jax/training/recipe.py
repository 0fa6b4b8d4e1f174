"""How a model is trained: epochs, batch size, optimizer and its schedule."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import optax
import pydantic
from pydantic import Field

from s4jax.errors import UsageError
from s4jax.runtime.mesh import Sharding
from s4jax.settings import Bool, Float, Int, Section


class Recipe(Section):
    """AdamW with a linear warm-up and a cosine from `lr` to `min_lr`.

    The learning rate is as written, whatever the batch size.
    """

    epochs: Int = Field(300, ge=1, le=100_000, description='passes over the training images')
    batch_size: Int = Field(
        128, ge=1, le=1_000_000, description='images a step, over all devices together'
    )
    lr: Float = Field(5e-4, gt=0, le=10, description='learning rate after the warm-up')
    min_lr: Float = Field(0.0, ge=0, le=10, description='learning rate at the end')
    warmup_epochs: Float = Field(
        0.0, ge=0, le=100_000, description='epochs in which the learning rate rises to lr'
    )
    weight_decay: Float = Field(
        0.0, ge=0, le=10, description='decoupled weight decay, not of biases and norms'
    )
    drop_path: Float = Field(
        0.0, ge=0, lt=1, description='rate of stochastic depth in the last block'
    )
    microbatches: Int = Field(
        1,
        ge=1,
        le=1_000_000,
        description='parts of a batch, run one after another: less memory, the same gradients; '
        'free to change when a run goes on',
    )
    sharding: Sharding = Field(
        'replicated',
        description='fsdp: weights and optimizer state are split over the devices, not on each; '
        'free to change when a run goes on',
    )

    @pydantic.model_validator(mode='after')
    def _consistent(self) -> 'Recipe':
        if self.min_lr > self.lr:
            raise UsageError(f'min_lr={self.min_lr} exceeds lr={self.lr}: lower min_lr')
        if self.warmup_epochs > self.epochs:
            raise UsageError(
                f'warmup_epochs={self.warmup_epochs} exceeds epochs={self.epochs}: '
                'lower warmup_epochs'
            )
        return self

    @property
    def section(self) -> str:
        """Its key in a config."""
        return 'config.retrain'

    @property
    def together(self) -> int:
        """How many architectures a step trains."""
        return 1

    @property
    def images_a_step(self) -> int:
        """Images that a step trains on; one counts for every architecture."""
        return self.batch_size * self.together

    @property
    def distilled(self) -> int | None:
        """After how many steps the outputs of a step's first architecture teach its others fully.

        None: they do not.
        """
        return None

    def check_devices(self, devices: int) -> None:
        """Raises where a batch does not divide over the devices, or their part into parts."""
        if self.batch_size % devices:
            raise UsageError(
                f'{self.section}.batch_size={self.batch_size} must be a multiple of the '
                f'{devices} devices: write {-(-self.batch_size // devices) * devices}'
            )
        images, parts = self.batch_size // devices, self.microbatches
        if images % parts:
            divisors = (k for k in range(1, images + 1) if images % k == 0 and k > parts)
            raise UsageError(
                f'{self.section}.microbatches={parts} must divide the {images} images of a batch '
                f'that each of the {devices} devices has: write {min(divisors, default=images)}'
            )

    def smaller(self, devices: int, splits: bool) -> str:
        """What to write where a step needs more memory than there is.

        `splits`: whether the model can train on parts of a batch (BatchNorm cannot).
        """
        images, now = self.batch_size // devices, self.microbatches
        more = [k for k in range(2 * now, images + 1) if images % k == 0] if splits else []
        if more:
            return (
                f'write --{self.section}.microbatches={more[0]} (now {now}), for '
                f'{now / more[0]:.2g} of the memory of activations, and run the same command '
                'again: it goes on'
            )
        if devices > 1 and self.sharding == 'replicated':
            return (
                f'write --{self.section}.sharding=fsdp, for 1/{devices} of the memory of weights '
                'and optimizer, and run the same command again: it goes on'
            )
        least = devices * max(1, images // 2)
        if least == self.batch_size:
            return f'{self.section}.batch_size={least} is the smallest: use a smaller model'
        return (
            f'write --{self.section}.batch_size={least} (now {self.batch_size}) and another '
            '--workdir: it is another run'
        )

    def steps(self, images: int) -> int:
        return max(1, int(self.epochs * images / self.batch_size))

    def optimizer(
        self, images: int, decays: Callable[[tuple[str, ...]], bool]
    ) -> optax.GradientTransformation:
        """For `images` training images; `decays(path)` says whether a parameter decays.

        Decay goes by the parameter's name, since stacked biases are not 1-D.
        """
        warmup = int(self.warmup_epochs * images / self.batch_size)
        schedule = optax.warmup_cosine_decay_schedule(
            min(self.lr, 1e-6) if warmup else self.lr,
            self.lr,
            warmup,
            max(self.steps(images), warmup + 1),
            self.min_lr,
        )

        def mask(params: Any) -> Any:
            return jax.tree_util.tree_map_with_path(
                lambda path, _: decays(tuple(str(getattr(k, 'key', k)) for k in path)), params
            )

        return optax.adamw(schedule, weight_decay=self.weight_decay, mask=mask)


class SupernetSettings(Recipe):
    """The recipe of a supernet, how its subnets run, and where its weights start."""

    epochs: Int = Field(500, ge=1, le=100_000, description='passes over the training images')
    execution: Literal['auto', 'masked', 'sliced'] = Field(
        'auto', description='how a sampled subnet runs in a step; auto: sliced where it pays'
    )
    start: Literal['scratch', 'inherit'] = Field(
        'scratch', description='a moved supernet starts anew, or from the weights that it shares'
    )
    architectures: Int = Field(
        1,
        ge=1,
        le=64,
        description='sampled architectures that a step trains on its batch, by the mean of their '
        'gradients; more than one run masked',
    )
    sandwich: Bool = Field(
        False,
        description='the first two of several architectures are the largest and the smallest, and '
        'the outputs of the largest teach the others (in-place distillation)',
    )
    distillation_steps: Int = Field(
        1000,
        ge=1,
        le=100_000_000,
        description='steps in which the targets of the others go over from labels to the outputs '
        'of the largest, with sandwich=true',
    )
    weights: str | None = Field(
        None,
        min_length=1,
        description='a file of published weights (safetensors or PyTorch) that supernets start '
        'from, of which every subnet uses the prefix; a moved supernet that inherits starts from '
        'the one before',
    )

    @pydantic.model_validator(mode='after')
    def _several(self) -> 'SupernetSettings':
        if self.architectures > 1 and self.execution == 'sliced':
            raise UsageError(
                f"architectures={self.architectures} run masked, but execution='sliced': write "
                "'auto'"
            )
        if self.sandwich and self.architectures < 2:
            raise UsageError(
                f'sandwich=True needs the largest and the smallest in a step, but architectures='
                f'{self.architectures}: write 3'
            )
        return self

    @property
    def section(self) -> str:
        return 'config.supernet'

    @property
    def together(self) -> int:
        return self.architectures

    @property
    def distilled(self) -> int | None:
        return self.distillation_steps if self.sandwich else None


class RetrainSettings(Recipe):
    """The recipe of the winner and of the hand-made model, and where their weights start."""

    start: Literal['scratch', 'supernet'] = Field(
        'scratch',
        description='the final models start anew, or from the weights that they share with the '
        'supernet of the space that was searched',
    )
