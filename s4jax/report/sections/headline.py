"""The top of the page: the winner beside the hand-made model, and whether they differ."""

import pathlib
from typing import Any

from s4jax.report import drawing, plots
from s4jax.report.html import Html, figure, join, table, tag
from s4jax.report.reading import Run
from s4jax.report.result import Model, Result
from s4jax.report.statistics import newcombe, wilson
from s4jax.report.summary import sizes
from s4jax.search.budget import Budget, exact, readable
from s4jax.search.space import parse_name

SPLITS = (
    ('train', 'to train'),
    ('search', 'to compare architectures (the search split)'),
    ('test', 'to test'),
)
ORIGINS = {
    'Winner': 'found by the search, then trained {start}',
    'Hand-made': 'sizes chosen by a person (config.baseline), trained in the same way',
    'Derived': "the family's stock shape, scaled evenly to the largest that fits the budget (no "
    'config.baseline, or one over the budget), trained in the same way',
}
LIKELIHOOD = (
    'Subnets were judged by likelihood (evaluate.score): where this page gives the accuracy of a '
    'subnet, it is the geometric mean of the probabilities that it gives to the true classes. The '
    'final models have accuracies.'
)
STARTS = {
    'scratch': 'from scratch',
    'supernet': 'further from the weights that it shares with the supernet',
}


def headline(run: Run) -> Html:
    top = [tag('h1', title(run)), tag('p', facts(run), class_='facts')]
    if run.score == 'likelihood':
        top.append(tag('p', LIKELIHOOD))
    if run.result is None:
        done = ', '.join(run.finished) or 'none yet'
        text = f'This run is not finished. Phases done: {done}.'
        return join([*top, tag('p', text, class_='verdict')])
    result = run.result
    started = STARTS[(run.config.get('retrain') or {}).get('start', 'scratch')]
    cards = [
        card(
            'Winner', 'winner', result.winner, run.budget, ORIGINS['Winner'].format(start=started)
        ),
        card(
            'Hand-made',
            'baseline',
            result.baseline,
            run.budget,
            ORIGINS['Derived' if result.derived else 'Hand-made'],
        ),
    ]
    conclusion = tag('p', verdict(result.winner, result.baseline), class_='verdict')
    panels = tag('div', *cards, accuracies(result), class_='panels')
    return join([*top, panels, conclusion, encoder(result)])


def title(run: Run) -> str:
    family = run.config['family']
    if (run.config.get('encoder') or {}).get('weights') == 'random':
        family = 'decoder beside an untrained encoder'
    outcome = 'a search under way'
    if run.result:
        winner = run.result.winner
        outcome = f'{winner.accuracy:.2%} with {readable(winner.costs["params"])} parameters'
    return f'{family} on {run.data["name"]}: {outcome}'


def facts(run: Run) -> str:
    """Budget, data and seed in a line."""
    counts = [
        f'{run.data[name]:,} {purpose}'
        for name, purpose in SPLITS
        if isinstance(run.data.get(name), int)
    ]
    images = f'; images: {", ".join(counts)}' if counts else ''
    source = (run.config.get('search') or {}).get('source')
    again = ' The spaces and supernets are those of an earlier run.' if source else ''
    weights = (run.config.get('supernet') or {}).get('weights')
    if weights:
        again += f' The supernets start from the published weights of {pathlib.Path(weights).name}.'
    return (
        f'Budget: {run.budget}. {run.data["name"]} has {run.data["classes"]} classes{images}. '
        f'Seed {run.config["seed"]}.{again}'
    )


def card(name: str, class_: str, model: Model, budget: Budget, origin: str) -> Html:
    """A tested model: accuracy with its interval, and its costs beside their limits."""
    low, high = wilson(model.correct, model.images)
    limits = dict(budget.limits)
    costs = [
        tag(
            'li',
            tag('b', exact(value)),
            f' {drawing.UNITS.get(cost, cost)}',
            f' ({value / limits[cost]:.0%} of the budget)' if cost in limits else '',
        )
        for cost, value in model.costs.items()
    ]
    tested = (
        f'{model.correct:,} of {model.images:,} test images; 95% interval {low:.1%} to {high:.1%}'
    )
    accuracy = tag('p', f'{model.accuracy:.2%}', class_='big')
    heading = join([tag('h3', name), tag('p', origin, class_='faint')])
    return tag(
        'div', heading, accuracy, tag('p', tested), tag('ul', *costs), class_=f'card {class_}'
    )


def accuracies(result: Result) -> Html:
    """Every tested model's accuracy in one figure."""
    winner, baseline = result.winner, result.baseline
    counted = [
        ('winner', winner.correct, winner.images, drawing.WINNER),
        ('hand-made', baseline.correct, baseline.images, drawing.BASELINE),
    ]
    for name, reference in result.references.items():
        if reference.correct is not None and reference.images is not None:
            counted.append((name, reference.correct, reference.images, drawing.BASELINE))
    rows = [
        plots.Tested(name, correct / images, wilson(correct, images), color)
        for name, correct, images, color in counted
    ]
    searched = {parse_name(name)[0] for name in result.choices} | {'depths'}
    models = (winner.architecture, baseline.architecture)
    titles = {
        f'model_{k}': [f'{rows[k].name}, {rows[k].accuracy:.2%}: {sizes(arch, searched)}']
        for k, arch in enumerate(models)
    }
    height = 0.9 + 0.5 * len(rows)
    picture = drawing.panel(plots.draw_accuracies, rows, height=height, titles=titles)
    return figure('', picture, 'Test accuracies with 95% intervals')


def verdict(winner: Model, baseline: Model) -> str:
    """The difference between the two, and whether the test images are enough to tell them apart."""
    low, difference, high = (
        100 * value
        for value in newcombe((winner.correct, winner.images), (baseline.correct, baseline.images))
    )
    ratio = winner.costs['params'] / baseline.costs['params']
    size = f'{ratio:.0%} of' if ratio < 2 else f'{ratio:.1f} times'
    text = (
        f"The winner has {size} the hand-made model's parameters, and its test accuracy is "
        f'{abs(difference):.2f} points {"higher" if difference >= 0 else "lower"}; the 95% '
        f'interval of the difference is {signed(low)} to {signed(high)}. '
    )
    if low <= 0 <= high:
        return text + (
            f'It contains 0: with {winner.images:,} test images, the difference is within the '
            'noise. How much another seed would change is not included.'
        )
    return text + (
        'It does not contain 0: the difference is larger than the noise of the test images. '
        'How much another seed would change is not included.'
    )


def signed(points: float) -> str:
    return f'{points:+.2f}'.replace('-', '−')


def encoder(result: Result) -> Html:
    """The frozen encoder, and the test accuracy of the encoder alone."""
    if not result.encoder:
        return Html()
    facts: dict[str, Any] = result.encoder
    warning = tag(
        'b',
        ' The encoder has random weights and was never trained: '
        'no accuracy here says anything of CLIP.',
    )
    text = tag(
        'p',
        f'The encoder: {facts["name"]}, frozen, in {facts["dtype"]}, {facts["source"]}; '
        f'{readable(facts["params"])} parameters and {readable(facts["macs"])} MACs an image, '
        'not counted in the budget.',
        warning if facts['random'] else '',
    )
    rows = [
        (
            name,
            'not available'
            if reference.accuracy is None
            else f'{reference.accuracy:.2%} ({reference.correct:,} of {reference.images:,})',
            reference.description,
        )
        for name, reference in result.references.items()
    ]
    return join([text, table(['the encoder alone', 'test accuracy', 'method'], rows)])
