"""S4 on your own images, in the time that you have: a folder, a size and the hours are enough.

    python -m s4jax.main --config=configs/folder.py --config.data.root=IMAGES \\
        --config.budget.params=2M --config.hours=1 --workdir=runs/mine

IMAGES holds a folder of images for each class. Every key that is None here is chosen before the
run starts: from the number, size and colours of the images, the budget, the device and the hours,
with steps that are timed on this machine. docs/how-to/folder.md has the rules. Any key can be set
on the command line, and then stays as it is set. `python -m s4jax.plan` with the same --config
flags shows the choices and what to expect, and trains nothing.

configs/folder.py:cpu and configs/folder.py:gpu fix what else follows from the device: how numbers
are computed and how strongly images are augmented.
"""

import ml_collections


def get_config(device: str = '') -> ml_collections.ConfigDict:
    dtypes = {'': None, 'cpu': 'float32', 'gpu': 'bfloat16'}
    if device not in dtypes:
        raise ValueError(f'folder.py:{device} is unknown; write folder.py, :cpu or :gpu')
    recipe = dict(
        epochs=None,
        batch_size=None,
        lr=None,
        min_lr=1e-5,
        warmup_epochs=None,
        weight_decay=0.05,
        drop_path=None,
    )
    bounds = dict(lower=None, upper=None, step=None)
    return ml_collections.ConfigDict(
        dict(
            family='vit',
            seed=0,
            hours=1.0,
            dtype=dtypes[device],
            model=dict(image_size=None, channels=None, patch=None, head_dim=None),
            space=dict(
                embed_dim=dict(bounds),
                depth=dict(bounds),
                num_heads=dict(bounds, per_block=None),
                mlp_ratio=dict(bounds, per_block=None),
            ),
            budget=dict(params=None, macs=None),
            data=dict(
                name='folder', root='', storage_size=None, channels=None, search=None, test=0.2
            ),
            preprocess=dict(mean=None, std=None, crop_fraction=1.0),
            augment=dict(
                crop=None,
                scale=None,
                flip=None,
                rand_augment=None,
                erasing=None,
                mixup=None,
                cutmix=None,
                switch=0.5,
                smoothing=0.1,
            ),
            supernet=dict(recipe, execution=None, start='scratch'),
            explore=dict(iterations=None, pairs=None, units='tau', infeasible_start='project'),
            evolve=dict(
                population=None, generations=None, parents=None, mutations=None, crossovers=None
            ),
            evaluate=dict(batch_size=None, architectures=None),
            retrain=dict(recipe),
            baseline=None,
            checkpoint=dict(save_every=500, log_every=20),
        )
    )
