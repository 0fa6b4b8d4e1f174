"""What the paper prints: parameters in millions and top-1 accuracy in percent (Tables 2, 3, 5, 6).

(family, method) -> {dataset: (parameters, accuracy)}. A number of another table is not repeated.
"""

DATASETS = ('cifar10', 'cifar100', 'tiny_imagenet', 'sun397')


def _row(params: str, *accuracies: float) -> dict[str, tuple[float, float]]:
    sizes = map(float, params.split('/'))
    return dict(zip(DATASETS, zip(sizes, accuracies, strict=True)))


def _last(params: str, *accuracies: float) -> dict[str, tuple[float, float]]:
    """Of Tiny ImageNet and SUN397 alone."""
    return dict(zip(DATASETS[2:], zip(map(float, params.split('/')), accuracies, strict=True)))


PRINTED = {
    ('vit', 'stock'): _row('29/29/29/30', 93.59, 76.45, 67.16, 68.33),
    ('vit', 'autoformer'): _row('28/28/30/30', 93.89, 77.83, 67.43, 68.54),
    ('vit', 's3'): _row('29/29/27/27', 94.23, 78.02, 67.36, 68.42),
    ('vit', 's4'): _row('25/26/27/29', 94.32, 78.68, 67.92, 68.82),
    ('vit', 's3_unconstrained'): _row('44.65/44.88', 94.35, 78.24),
    ('vit', 's4_unconstrained'): _row('35.41/38.72', 94.49, 79.11),
    ('swin', 'stock'): _row('28/28/28/28', 94.39, 79.03, 71.9, 73.55),
    ('swin', 's3'): _last('27.58/29.75', 72.4, 74.05),
    ('swin', 's4'): _row('25/26/28/28', 95.65, 80.31, 73.09, 74.32),
    ('swin', 's3_unconstrained'): _row('52.81/56.2', 95.91, 80.86),
    ('swin', 's4_unconstrained'): _row('37.45/38.2', 96.03, 81.15),
    ('shunted', 'stock'): _row('22/22/23/23', 97.39, 84.36, 74.07, 76.03),
    ('shunted', 's3'): _last('21.32/21.38', 75.16, 77.64),
    ('shunted', 's4'): _row('20/21/21/21', 97.67, 85.66, 75.59, 78.19),
    ('shunted', 's3_unconstrained'): _row('37.44/42.2', 97.82, 85.83),
    ('shunted', 's4_unconstrained'): _row('33.38/34.94', 97.85, 85.92),
    ('clip', 'stock'): _row('31/31/32/32', 97.21, 86.44, 79.81, 83.35),
    ('clip', 's4'): _row('20/26/28/30', 97.23, 87.63, 81.35, 85.87),
}
