"""S4's search of a ViT under 30M parameters (the paper's §6.1, Tables 1, 2, 4 and 5).

    python -m s4jax.main --config=configs/vit.py:cifar100 --workdir=runs/vit_cifar100
    python -m s4jax.main --config=configs/vit.py:folder --config.data.root=IMAGES --workdir=runs/own

The dataset follows the colon: cifar10, cifar100, tiny_imagenet, sun397 or any other image
classification dataset of TensorFlow Datasets; or folder: your own images, a folder for each class.
A dataset is prepared once, before the first run: `python -m s4jax.data prepare --name=cifar100`.

The paper's ViT + S4 has, after three moves, 25M/26M parameters and 94.32%/78.68% on CIFAR-10/100
(images scaled to 224, 500 epochs per supernet, 300 for the winner). We have not run this length
ourselves: see the README for what was run.

As written, A₀'s largest model (36.4M) is over the budget: `infeasible_start='project'` moves the
space before any training.
"""

import ml_collections
from ml_collections.config_dict import placeholder

CROPPED = ('cifar10', 'cifar100', 'tiny_imagenet')  # small images that show their object alone


def get_config(dataset: str = 'cifar100') -> ml_collections.ConfigDict:
    recipe = dict(
        batch_size=128, lr=5e-4, min_lr=1e-5, warmup_epochs=5.0, weight_decay=0.05, drop_path=0.2
    )
    return ml_collections.ConfigDict(
        dict(
            family='vit',
            seed=0,
            dtype='bfloat16',
            model=dict(image_size=224, channels=3, patch=16, head_dim=64),
            space=dict(
                embed_dim=dict(lower=336, upper=384, step=24, floor=24),
                depth=dict(lower=12, upper=14, step=1),
                num_heads=dict(lower=2, upper=14, step=2, per_block=True),
                mlp_ratio=dict(lower=3.5, upper=4.0, step=0.5, per_block=True),
            ),
            budget=dict(params=30e6, macs=placeholder(float)),
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
            baseline=dict(embed_dim=384, depth=12, num_heads=6, mlp_ratio=4.0),
            checkpoint=dict(save_every=1000, log_every=100),
        )
    )
