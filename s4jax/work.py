"""How many images each phase of a run trains on or scores."""

from s4jax import data as datasets
from s4jax.config import Config
from s4jax.training.recipe import Recipe


def work(config: Config, data: datasets.Data) -> dict[str, float]:
    """The images of every phase, trained on or scored; an image counts for every subnet."""

    def training(recipe: Recipe, images: int) -> float:
        return recipe.steps(images) * recipe.images_a_step

    search, retrain = len(data.search), training(config.retrain, len(data.everything))
    each = max(config.explore.pairs, config.explore.most_pairs or 0)
    pairs = 2 * each * len(config.dimensions)
    move, iterations, scored = {
        's4': ('explore', config.explore.iterations, pairs),
        's3': ('s3', config.s3.iterations, config.s3.samples),
    }.get(config.search.kind, ('', 0, 0))
    phases: dict[str, float] = {}
    if config.search.trains_supernets:
        supernets = (f'supernet_{t}' for t in range(iterations + 1))
        phases |= dict.fromkeys(supernets, training(config.supernet, len(data.train)))
        phases |= dict.fromkeys((f'{move}_{t}' for t in range(iterations)), scored * search)
        evolution = config.evolve.population * config.evolve.generations * search
        phases |= {'evolve': evolution}
        if config.search.front:
            phases |= {'front': config.search.front * evolution}
        if config.search.each_space:
            phases |= {f'evolve_{t}': evolution for t in range(iterations)}
            phases |= {f'retrain_{t}': retrain for t in range(iterations)}
    phases |= {'retrain': retrain, 'baseline': retrain}
    return phases | {'test': 2 * data.facts['test']}
