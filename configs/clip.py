"""S4's search of a decoder beside a frozen CLIP ViT-B/16 under 30M parameters (the paper, Table 1).

    python -m s4jax.main --config=configs/clip.py:cifar100 --workdir=runs/clip_cifar100
    python -m s4jax.main --config=configs/clip.py:smoke --workdir=runs/clip_smoke

The dataset follows the colon: cifar10, cifar100, tiny_imagenet or sun397. `smoke` takes the
digits and a tiny tower of RANDOM weights: no download, minutes on 2 cores. It shows that the
method runs, and nothing about CLIP.

Weights are looked for in the folder ./openai/clip-vit-base-patch16: model.safetensors and
config.json of https://huggingface.co/openai/clip-vit-base-patch16. Where they are missing and
huggingface_hub is installed, they are fetched from there. --config.encoder.weights names another
folder or file.

The budget is the decoder's; the tower is not counted. The paper's CLIP + decoder + S4 has
20M/26M/28M/30M parameters and 97.23%/87.63%/81.35%/85.87% on CIFAR-10, CIFAR-100, Tiny ImageNet
and SUN397 (500 epochs per supernet; the rest of the recipe is that of configs/vit.py). We have
not run this length ourselves: see the README. As written, A₀'s largest decoder (34.7M) is over
the budget: `infeasible_start='project'` moves the space before any training.
"""

import ml_collections
from ml_collections.config_dict import placeholder

# pixels of the short side on disk; other datasets have 256
STORAGE = dict(cifar10=32, cifar100=32, tiny_imagenet=64)


def get_config(dataset: str = 'cifar100') -> ml_collections.ConfigDict:
    if dataset == 'smoke':
        return smoke()
    recipe = dict(
        batch_size=128, lr=5e-4, min_lr=1e-5, warmup_epochs=5.0, weight_decay=0.05, drop_path=0.2
    )
    return ml_collections.ConfigDict(
        dict(
            family='clip',
            seed=0,
            dtype='bfloat16',
            model=dict(image_size=224, channels=3, head_dim=64, cross_heads=6),
            encoder=dict(
                weights='openai/clip-vit-base-patch16',
                variant='ViT-B/16',
                dtype='bfloat16',
                cache='',
            ),
            space=dict(
                embed_dim=dict(lower=336, upper=384, step=24, floor=24),
                depth=dict(lower=3, upper=4, step=1),
                num_heads=dict(lower=2, upper=14, step=2, per_block=True),
                mlp_ratio=dict(lower=3.5, upper=4.0, step=0.5, per_block=True),
            ),
            budget=dict(params=30e6, macs=placeholder(float)),
            data=dict(
                name=dataset, root='', storage_size=STORAGE.get(dataset, 256), search=0.1, test=0.2
            ),
            preprocess=dict(
                mean=(0.48145466, 0.4578275, 0.40821073),
                std=(0.26862954, 0.26130258, 0.27577711),
                crop_fraction=1.0,
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
            evaluate=dict(batch_size=256, architectures=4),
            retrain=dict(**recipe, epochs=300),
            baseline=dict(embed_dim=384, depth=3, num_heads=12, mlp_ratio=4.0),
            checkpoint=dict(save_every=1000, log_every=100),
        )
    )


def smoke() -> ml_collections.ConfigDict:
    """The method on 8×8 digits, beside a tiny tower of random weights."""
    recipe = dict(
        batch_size=32, lr=2e-3, min_lr=1e-5, warmup_epochs=1.0, weight_decay=0.05, drop_path=0.0
    )
    return ml_collections.ConfigDict(
        dict(
            family='clip',
            seed=0,
            dtype='float32',
            model=dict(image_size=8, channels=1, head_dim=8, cross_heads=4),
            encoder=dict(weights='random', variant='tiny', dtype='float32', cache=''),
            space=dict(
                embed_dim=dict(lower=16, upper=32, step=8),
                depth=dict(lower=2, upper=3, step=1),
                num_heads=dict(lower=1, upper=3, step=1, per_block=True),
                mlp_ratio=dict(lower=1.0, upper=2.0, step=0.5, per_block=True),
            ),
            budget=dict(params=75e3, macs=placeholder(float)),
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
            explore=dict(iterations=2, pairs=10, units='tau', infeasible_start='project'),
            evolve=dict(population=12, generations=4, parents=4, mutations=6, crossovers=3),
            evaluate=dict(batch_size=400, architectures=12),
            retrain=dict(**recipe, epochs=25),
            baseline=dict(embed_dim=24, depth=3, num_heads=2, mlp_ratio=1.5),
            checkpoint=dict(save_every=200, log_every=20),
        )
    )
