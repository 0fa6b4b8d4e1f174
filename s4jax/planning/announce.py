"""The plan of a run: printed before it begins, kept beside what came true."""

from typing import Any

from s4jax.phases.fitting import supernet_training
from s4jax.planning.forecast import Forecast, forecast, short
from s4jax.planning.resolve import Measured
from s4jax.planning.timing import Timings, measure
from s4jax.run import Task
from s4jax.runtime import files
from s4jax.runtime import mesh as meshes
from s4jax.runtime.session import Session
from s4jax.search.space import SearchSpace


def planned(task: Task, session: Session, space: SearchSpace, measured: Measured) -> Forecast:
    """The forecast of a run, from `measured` where that has timings, else from timed steps."""
    if 'timings' in measured:
        timings = Timings.from_json(measured['timings'])
    else:
        timings = measure(task, session, space)
    execution = supernet_training(task, 'supernet_0', space).execution
    return forecast(task, space, timings, execution)


def announce(task: Task, session: Session, space: SearchSpace, measured: Measured) -> None:
    """Plans the run, keeps the plan in the workdir as plan.json and prints its short form.

    A run that goes on has the plan that it began with.
    """
    lines: list[str] = []

    def compute() -> dict[str, Any]:
        found = planned(task, session, space, measured)
        lines.extend(short(found))
        return found.to_json()

    plan = files.phase(session.workdir / 'plan.json', compute, meshes.any_host)
    session.progress.expected = {row['name']: row['seconds'] for row in plan['phases']}
    for line in lines if meshes.is_first_host() else ():
        session.progress.warn(line)
