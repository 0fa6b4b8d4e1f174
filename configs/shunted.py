"""S4's search of a Shunted Transformer under 22M parameters (the paper's §6.1, Tables 1, 3 and 5).

    python -m s4jax.main --config=configs/shunted.py:cifar100 --workdir=runs/shunted_cifar100
    python -m s4jax.main --config=configs/shunted.py:smoke --workdir=runs/shunted_smoke

The dataset follows the colon as in configs/vit.py: cifar10, …, folder. `smoke` runs the whole
method on the digits in minutes.

The paper's Shunted + S4 has, after three moves, 20M/21M parameters and 97.67%/85.66% on
CIFAR-10/100 (images scaled to 224, 500 epochs per supernet, 300 for the winner). We have not run
this length ourselves: see the README for what was run.

The MLP ratios are those of stages 1 and 2; stages 3 and 4 have half of them (with
`model.halve_ratios=False` all stages have them as written). The hand-made baseline is Shunted-S.
With SUN397's classes it is over the budget, and a model with `embed_dim` 60 takes its place.
"""

import ml_collections
from ml_collections.config_dict import placeholder

CROPPED = ('cifar10', 'cifar100', 'tiny_imagenet')  # small images that show their object alone


def get_config(dataset: str = 'cifar100') -> ml_collections.ConfigDict:
    recipe = dict(
        batch_size=128, lr=5e-4, min_lr=1e-5, warmup_epochs=5.0, weight_decay=0.05, drop_path=0.2
    )
    config = ml_collections.ConfigDict(
        dict(
            family='shunted',
            seed=0,
            dtype='bfloat16',
            model=dict(
                image_size=224,
                channels=3,
                num_heads=(2, 4, 8, 16),
                sr_ratios=(8, 4, 2, 1),
                num_conv=1,
                stem_width=64,
                halve_ratios=True,
            ),
            space=dict(
                embed_dim=dict(lower=36, upper=60, step=12),
                depth=dict(lower=3, upper=4, step=1),
                mlp_ratio=dict(lower=6.0, upper=8.0, step=1.0, per_block=True),
            ),
            budget=dict(params=22e6, macs=placeholder(float)),
            data=dict(name=dataset, root='', storage_size=placeholder(int), search=0.1, test=0.2),
            preprocess=dict(
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
                crop_fraction=1.0 if dataset in CROPPED else 0.875,
            ),
            augment=dict(
                crop='resized',
                flip=True,
                rand_augment='m9-mstd0.5-inc1',
                erasing=0.25,
                mixup=0.8,
                cutmix=1.0,
                switch=0.5,
                smoothing=0.1,
            ),
            supernet=dict(**recipe, epochs=500, execution='auto', start='scratch'),
            explore=dict(iterations=3, pairs=40, units='tau', infeasible_start='project'),
            evolve=dict(population=50, generations=20, parents=10, mutations=25, crossovers=25),
            evaluate=dict(batch_size=512, architectures=4),
            retrain=dict(**recipe, epochs=300),
            baseline=dict(embed_dim=60 if dataset == 'sun397' else 64, depth=4, mlp_ratio=8.0),
            checkpoint=dict(save_every=1000, log_every=100),
        )
    )
    return smoke(config) if dataset == 'smoke' else config


def smoke(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The method on 8×8 digits drawn at 16×16: three stages, maps 4, 2 and 1 tokens wide."""
    short = dict(batch_size=32, lr=2e-3, min_lr=1e-5, warmup_epochs=1.0, drop_path=0.0)
    config.update(
        dict(
            dtype='float32',
            model=dict(
                image_size=16,
                channels=1,
                num_heads=(2, 4, 4),
                sr_ratios=(4, 2, 1),
                stem_width=8,
                halve_ratios=False,
            ),
            budget=dict(params=80e3),
            data=dict(name='digits', search=400, test=400),
            preprocess=dict(mean=(0.3,), std=(0.35,), crop_fraction=1.0),
            augment=dict(
                crop='none', flip=False, rand_augment='', erasing=0.0, mixup=0.0, cutmix=0.0
            ),
            supernet=dict(**short, epochs=8),
            retrain=dict(**short, epochs=12),
            explore=dict(iterations=1),
            evolve=dict(population=16, generations=4, parents=5, mutations=8, crossovers=5),
            evaluate=dict(batch_size=400, architectures=16),
            checkpoint=dict(save_every=100, log_every=20),
        )
    )
    config.space = dict(
        embed_dim=dict(lower=8, upper=16, step=4),
        depth_1=dict(lower=1, upper=1, step=1),
        depth_2=dict(lower=1, upper=2, step=1),
        depth_3=dict(lower=1, upper=1, step=1),
        mlp_ratio=dict(lower=2.0, upper=4.0, step=1.0, per_block=True),
    )
    config.baseline = dict(embed_dim=12, depth_1=1, depth_2=2, depth_3=1, mlp_ratio=4.0)
    return config
