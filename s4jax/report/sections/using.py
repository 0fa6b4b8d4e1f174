"""What to do with the winner next."""

import shlex

from s4jax.report.html import Html, section, tag
from s4jax.report.reading import Run


def using(run: Run) -> Html:
    """Commands that predict and export; there is no winner before the test."""
    if run.result is None:
        return Html()
    folder = shlex.quote(str(run.workdir))
    ways = (
        (
            'The likeliest classes of image files, or of folders of them:',
            f'python -m s4jax.predict --run={folder} IMAGES',
        ),
        (
            'The winner for other programs:',
            f'python -m s4jax.export --run={folder} --to=DIR --format=onnx',
        ),
        (
            'In Python, with its weights, preprocessing and class names:',
            f"import s4jax\nprint(s4jax.load({str(run.workdir)!r}).predict(['photo.jpg']))",
        ),
    )
    parts = [tag('p', text) + tag('pre', code, class_='command') for text, code in ways]
    return section('Using the winner', Html(''.join(parts)), class_='own')
