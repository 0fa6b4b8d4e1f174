"""What a run leaves for a person: its result as JSON, one page, and a summary in the terminal."""

import pathlib
from collections.abc import Callable

from s4jax.report import summary
from s4jax.report.result import Result
from s4jax.runtime import goodput
from s4jax.runtime import mesh as meshes
from s4jax.runtime.files import write_json

# Two runs of the same config on the same machine differ in times and rates, and in nothing else; of
# report.html these are the sections of class `own`.
NOT_COMPARED = ('timing.jsonl', 'plan.json', 'tensorboard')


def finish(workdir: pathlib.Path, result: Result) -> str:
    """Writes the files of a finished run; returns the summary.

    They are `trajectory.json`, `architecture.json`, `result.json`, `report.html` and `report.png`.
    """
    from s4jax.report import page  # matplotlib comes with it, too slow to import for every start

    row, winner = result.to_json(), result.winner
    sizes = {'family': result.family} | winner.architecture | winner.costs
    write_json(workdir / 'trajectory.json', row['trajectory'])
    write_json(workdir / 'architecture.json', sizes)
    write_json(workdir / 'result.json', row)
    score = page.write(workdir).score
    return summary.summary(workdir, result, goodput.read(workdir), score)


def renew(workdir: pathlib.Path, warn: Callable[[str], None]) -> None:
    """Writes the page of a run that is under way, on the first host.

    A page that cannot be made is a warning: it is no reason to lose a run.
    """
    if not meshes.is_first_host():
        return
    try:
        from s4jax.report import page

        page.write(workdir)
    except Exception as error:  # whatever a half-finished run, the disk or a font may raise
        reason = (str(error).splitlines() or [''])[0]
        warn(f'report.html is not renewed ({type(error).__name__}: {reason})')
