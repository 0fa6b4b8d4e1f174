"""S4 on scikit-learn's 1,797 handwritten digits (8×8): the whole method in minutes on a laptop.

    python -m s4jax.main --config=configs/digits.py --workdir=runs/digits

No download, no GPU. The method is the paper's; the space, the sizes and the lengths are made for
this dataset. See the README for what to expect.
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    recipe = dict(
        batch_size=32, lr=2e-3, min_lr=1e-5, warmup_epochs=4.0, weight_decay=0.05, drop_path=0.0
    )
    return ml_collections.ConfigDict(
        dict(
            family='vit',
            seed=0,
            dtype='float32',
            model=dict(image_size=8, channels=1, patch=2, head_dim=8),
            space=dict(
                embed_dim=dict(lower=16, upper=32, step=8),
                depth=dict(lower=2, upper=4, step=1),
                num_heads=dict(lower=2, upper=4, step=1, per_block=True),
                mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
            ),
            budget=dict(params=60e3, macs=placeholder(float)),
            data=dict(name='digits', search=400, test=400),
            preprocess=dict(mean=(0.3,), std=(0.35,), crop_fraction=1.0),
            augment=dict(
                crop='none',
                flip=False,
                rand_augment='',
                erasing=0.0,
                mixup=0.0,
                cutmix=0.0,
                smoothing=0.1,
            ),
            supernet=dict(**recipe, epochs=20, execution='auto', start='scratch'),
            explore=dict(iterations=3, pairs=40, units='tau', infeasible_start='project'),
            evolve=dict(population=20, generations=8, parents=5, mutations=10, crossovers=5),
            evaluate=dict(batch_size=400, architectures=16),
            retrain=dict(**recipe, epochs=25),
            baseline=dict(embed_dim=32, depth=4, num_heads=4, mlp_ratio=4.0),
            checkpoint=dict(save_every=200, log_every=20),
        )
    )
