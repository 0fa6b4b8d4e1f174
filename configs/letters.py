"""S4 on letters of some hundred font families (16×16), the test's families never seen in training.

    python -m benchmarks.letters --to=letters
    python -m s4jax.main --config=configs/letters.py --workdir=runs/letters

The folder `letters` may be another one: --config.data.root=FOLDER. The dataset is drawn from the
fonts of Debian, with no other download; no GPU is needed. It has more test images than the digits,
so that differences between models stand out from the noise. The method is the paper's; the space,
the sizes and the lengths are made for this dataset.
"""

import ml_collections
from ml_collections.config_dict import placeholder


def get_config() -> ml_collections.ConfigDict:
    recipe = dict(
        batch_size=64, lr=2e-3, min_lr=1e-5, warmup_epochs=0.1, weight_decay=0.05, drop_path=0.0
    )
    return ml_collections.ConfigDict(
        dict(
            family='vit',
            seed=0,
            dtype='float32',
            # grey, but a folder's images are stored with three channels
            model=dict(image_size=16, channels=3, patch=4, head_dim=8),
            space=dict(
                embed_dim=dict(lower=16, upper=32, step=8),
                depth=dict(lower=2, upper=4, step=1),
                num_heads=dict(lower=2, upper=4, step=1, per_block=True),
                mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
            ),
            budget=dict(params=60e3, macs=placeholder(float)),
            data=dict(name='folder', root='letters', storage_size=16),
            preprocess=dict(mean=(0.11,) * 3, std=(0.27,) * 3, crop_fraction=1.0),
            augment=dict(
                crop='none',
                flip=False,
                rand_augment='',
                erasing=0.0,
                mixup=0.0,
                cutmix=0.0,
                smoothing=0.1,
            ),
            supernet=dict(**recipe, epochs=1, execution='auto', start='scratch'),
            explore=dict(iterations=3, pairs=24, units='tau', infeasible_start='project'),
            evolve=dict(population=20, generations=6, parents=5, mutations=10, crossovers=5),
            evaluate=dict(batch_size=250, architectures=4),
            retrain=dict(**recipe, epochs=1),
            baseline=dict(embed_dim=32, depth=4, num_heads=4, mlp_ratio=4.0),
            checkpoint=dict(save_every=200, log_every=20),
        )
    )
