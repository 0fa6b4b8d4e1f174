"""Search methods side by side, over seeds: the paper's Tables 2 to 6 from finished runs.

Methods of one seed have the same splits, so that their differences are paired by seed, and their
errors image by image.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from s4jax.report.comparison.outcome import Outcome
from s4jax.report.comparison.printed import PRINTED
from s4jax.report.result import Model, Result
from s4jax.report.statistics import mcnemar, mean_interval
from s4jax.search.budget import readable

FAMILIES = {'vit': 'ViT', 'swin': 'Swin', 'shunted': 'Shunted', 'clip': 'CLIP+LSD'}
LABELS = {
    's4': 'S4',
    's4_unconstrained': 'S4 (unconstrained)',
    's3': 'S3',
    's3_unconstrained': 'S3 (unconstrained)',
    'autoformer': 'AutoFormer',
    'random': 'random',
    'largest': 'largest that fits',
    'stock': 'hand-made',
}
NONE = '–'


class Table(NamedTuple):
    """A title, what it shows, and its rows of text."""

    title: str
    text: str
    head: list[str]
    rows: list[list[str]]


class Comparison:
    """The finished runs of some methods and seeds; differences are from the first method."""

    def __init__(self, outcomes: Iterable[Outcome], methods: Sequence[str]):
        self.outcomes = list(outcomes)
        done = {o.method for o in self.outcomes}
        self.methods = [method for method in methods if method in done]

    def of(self, method: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.method == method]

    @property
    def first(self) -> Result:
        return self.outcomes[0].result

    def tables(self) -> list[Table]:
        found = [self.methods_table(), self.differences(), self.iterations()]
        found += [
            self.selected(
                'S3 and S4 within the budget (Table 5)',
                'Backtracks are the spaces that S3 gave up, since nothing in them fits.',
                ('stock', 's3', 's4'),
            ),
            self.selected(
                'S3 and S4 without a budget (Table 6)',
                'The unconstrained methods move and choose as if there were no limit.',
                ('s3_unconstrained', 's4', 's4_unconstrained'),
            ),
            self.cost(),
        ]
        return [table for table in found if table.rows]

    def methods_table(self) -> Table:
        """Tables 2 and 3."""
        text = (
            f'{FAMILIES[self.first.family]} on {self.first.data["name"]}, budget '
            f'{self.first.budget}. Mean over the seeds ± half of its 95% interval (Student). '
            'Parameters: mean, and smallest to largest. The last column is what the paper prints '
            'for this family, method and dataset, at its own scale.'
        )
        head = ['method', 'seeds', 'space updates', 'backtracks', 'parameters', 'test accuracy, %']
        rows = []
        for method in self.methods:
            runs = self.of(method)
            rows.append(
                [
                    LABELS[method],
                    str(len(runs)),
                    _mean([len(o.result.trajectory) - 1 for o in runs])
                    if runs[0].result.evolution
                    else NONE,
                    self.backtracks(runs),
                    self.params(runs),
                    self.accuracy([o.model for o in runs]),
                    self.printed(method),
                ]
            )
        return Table('Methods (Tables 2 and 3)', text, [*head, 'in the paper'], rows)

    def differences(self) -> Table:
        """From the first method, paired by seed and by test image."""
        ours = {o.seed: o for o in self.of(self.methods[0])}
        name = LABELS[self.methods[0]]
        rows = []
        for method in self.methods[1:]:
            pairs = [(ours[o.seed], o) for o in self.of(method) if o.seed in ours]
            if not pairs:
                continue
            mean, half = mean_interval(
                [100 * (a.model.accuracy - b.model.accuracy) for a, b in pairs]
            )
            only_ours = sum(len(b.wrong - a.wrong) for a, b in pairs)
            only_theirs = sum(len(a.wrong - b.wrong) for a, b in pairs)
            larger = statistics.mean(
                a.model.costs['params'] / b.model.costs['params'] for a, b in pairs
            )
            rows.append(
                [
                    f'{name} − {LABELS[method]}',
                    str(len(pairs)),
                    f'{mean:+.2f}' + (f' ± {half:.2f}' if half is not None else ''),
                    f'{sum(a.model.accuracy > b.model.accuracy for a, b in pairs)}',
                    f'{larger:.0%}',
                    f'{only_ours} : {only_theirs}',
                    f'{mcnemar(only_ours, only_theirs):.3g}',
                    _verdict(mean, half),
                ]
            )
        text = (
            'Differences in test accuracy, in points, of runs with the same seed and splits. The '
            'interval is over seeds. The exact test (McNemar) counts the test images that only one '
            'of the two models gets right, over all seeds together: it knows the noise of the '
            'images, not that of training. A difference whose interval contains 0 is within the '
            'noise.'
        )
        head = [
            'difference',
            'seeds',
            'points',
            'seeds above 0',
            'parameters',
            'right alone',
            'p',
            'verdict',
        ]
        return Table('Differences', text, head, rows)

    def iterations(self) -> Table:
        """Table 4: the winner of every space that was visited, retrained."""
        rows = []
        for method in ('s3', 's4', 's3_unconstrained', 's4_unconstrained'):
            by_space: dict[int, list[Model]] = {}
            for outcome in self.of(method):
                spaces = outcome.result.spaces
                found = {int(name.split()[1]): model for name, model in spaces.items()}
                count = len(outcome.result.trajectory)
                last = count - 1 - (outcome.result.backtracks or 0)
                for t, model in (found | {last: outcome.model} if found else {}).items():
                    by_space.setdefault(t, []).append(model)
            for t, models in sorted(by_space.items()):
                params = [model.costs['params'] for model in models]
                rows.append(
                    [
                        LABELS[method],
                        str(t),
                        str(len(models)),
                        _sizes(params),
                        self.accuracy(models),
                    ]
                )
        text = (
            'The winner of every space that the search visited, retrained and tested: t is the '
            'number of moves before. A seed whose search ended earlier, or whose space holds '
            'nothing that fits, does not count.'
        )
        head = ['method', 't', 'seeds', 'parameters', 'test accuracy, %']
        return Table('Accuracy by iteration (Table 4)', text, head, rows)

    def selected(self, title: str, text: str, methods: tuple[str, ...]) -> Table:
        head = ['method', 'within the budget', 'backtracks', 'parameters', 'test accuracy, %']
        rows = [
            [
                LABELS[method],
                f'{sum(o.result.budget.fits(o.model.costs) for o in runs)} of {len(runs)}',
                self.backtracks(runs),
                self.params(runs),
                self.accuracy([o.model for o in runs]),
                self.printed(method),
            ]
            for method in methods
            if (runs := self.of(method))
        ]
        several = len(rows) > 1
        return Table(title, text, [*head, 'in the paper'], rows if several else [])

    def cost(self) -> Table:
        rows = []
        for method in self.methods:
            runs = self.of(method)
            spent = [o.result.spent for o in runs]
            trained, scored = [s.trained for s in spent], [s.scored for s in spent]
            final = ('retrain', 'baseline', 'test')
            search = [sum(s for p, s in o.seconds.items() if not p.startswith(final)) for o in runs]
            rows.append(
                [
                    LABELS[method],
                    readable(statistics.mean(trained)),
                    f'{statistics.mean(s.trained_over for s in spent):.0%}',
                    readable(statistics.mean(scored)),
                    f'{statistics.mean(s.scored_over for s in spent):.0%}',
                    f'{statistics.mean(search):.0f}',
                    f'{statistics.mean(o.seconds.get("retrain", 0) for o in runs):.0f}',
                ]
            )
        text = (
            'Means over the seeds. Images trained on in supernets and images scored, each with the '
            'share that went to architectures over the budget. Seconds are those of the phases, as '
            'if nothing had been shared between methods.'
        )
        head = [
            'method',
            'images trained',
            'over',
            'images scored',
            'over',
            'search, s',
            'retrain, s',
        ]
        return Table('Cost of the search', text, head, rows)

    def backtracks(self, runs: Sequence[Outcome]) -> str:
        counts = [o.result.backtracks for o in runs if o.result.backtracks is not None]
        return '/'.join(map(str, counts)) if counts else NONE

    def params(self, runs: Sequence[Outcome]) -> str:
        return _sizes([o.model.costs['params'] for o in runs])

    def accuracy(self, models: Sequence[Model]) -> str:
        mean, half = mean_interval([100 * model.accuracy for model in models])
        return f'{mean:.2f}' + (f' ± {half:.2f}' if half is not None else '')

    def printed(self, method: str) -> str:
        found = PRINTED.get((self.first.family, method), {}).get(self.first.data['name'])
        return f'{found[1]:.2f} ({found[0]:g}M)' if found else NONE


def _verdict(mean: float, half: float | None) -> str:
    if half is None:
        return 'one seed: no interval'
    if abs(mean) <= half:
        return 'within the noise'
    return 'better' if mean > 0 else 'worse'


def _sizes(params: Sequence[float]) -> str:
    low, high = readable(min(params)), readable(max(params))
    return readable(statistics.mean(params)) + (f' ({low}–{high})' if low != high else '')


def _mean(values: Sequence[float]) -> str:
    return f'{statistics.mean(values):.1f}'
