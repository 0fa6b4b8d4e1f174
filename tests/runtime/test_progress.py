"""Progress, by a clock of its own: no number before it is known, and then the true one."""

import itertools
import json
import re

import pytest

from s4jax.runtime import compiling, progress
from s4jax.runtime.compiling import COMPILED, LOWERED, TRACED, Compiling
from s4jax.runtime.progress import Progress, Rate, duration


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def made(tmp_path, clock, plan, **options):
    return Progress(tmp_path, plan, clock=clock, compiling=Compiling(clock), **options)


def compile_for(progress, clock, seconds, lowering=1.0):
    """As JAX does it: tracing and lowering are reported when they are over, then it compiles."""
    clock.now += lowering
    progress.compiling.hear(LOWERED, lowering)
    clock.now += seconds
    yield
    progress.compiling.hear(COMPILED, seconds)


def work(progress, clock, seconds, rate, look=0.5):
    """Works at a steady rate, in images a second, with a look every half second."""
    done = progress._done
    for _ in range(round(seconds / look)):
        clock.now += look
        done += rate * look
        progress.advance(done)


def left(line):
    """What a line says of the phase and of the run."""
    found = re.search(r'phase: (.*) left, until .*  run: (.*) left, until', line)
    return found and found.groups()


def test_nothing_is_estimated_before_the_rate_is_steady(tmp_path, clock):
    meter = made(tmp_path, clock, {'supernet_0': 10_000, 'supernet_1': 10_000, 'evolve': 3000})
    with meter.phase('supernet_0'):
        compilation = compile_for(meter, clock, 42)
        next(compilation)
        assert meter.line() == 'supernet_0   0%  compiling for 43 s'
        next(compilation, None)
        work(meter, clock, 4, 100)  # too short
        assert meter.line() == 'supernet_0   4%  measuring the speed (compiled in 43 s)'
        work(meter, clock, 2, 100)
        # 9,400 images at 100 a second; then 10,000 at the same and 3,000 at a third of the work
        assert meter.line().startswith('supernet_0   6%  100 img/s  phase: 1 min 34 s left, until ')
        assert (
            left(meter.line())
            == ('1 min 34 s', duration(94 + 100 + 10))
            == (
                '1 min 34 s',
                '3 min 24 s',
            )
        )


def test_a_rate_that_changes_is_not_steady_until_it_is(tmp_path, clock):
    meter = made(tmp_path, clock, {'retrain': 1_000_000})
    with meter.phase('retrain'):
        work(meter, clock, 10, 100)
        assert left(meter.line())
        work(meter, clock, 10, 1000)  # another program has ended
        assert 'measuring the speed' in meter.line()
        work(meter, clock, 180, 1000)
        assert '1,000 img/s' in meter.line()


def test_compilation_in_the_middle_is_not_in_the_rate(tmp_path, clock):
    meter = made(tmp_path, clock, {'supernet_0': 20_000})
    with meter.phase('supernet_0'):
        work(meter, clock, 20, 100)
        compilation = compile_for(meter, clock, 500)
        next(compilation)
        assert 'compiling for 8 min 21 s' in meter.line()
        next(compilation, None)
        work(meter, clock, 20, 100)
        assert '100 img/s' in meter.line() and left(meter.line())[0] == '2 min 40 s'
    row = json.loads((tmp_path / 'timing.jsonl').read_text().splitlines()[-1])
    expected = {'phase': 'supernet_0', 'seconds': 541.0, 'images': 4000, 'compiling': 501.0}
    assert expected.items() <= row.items()


def test_what_an_earlier_session_did_is_done_and_not_in_the_rate(tmp_path, clock):
    meter = made(tmp_path, clock, {'supernet_0': 10_000, 'retrain': 7})
    meter.skip('retrain')
    with meter.phase('supernet_0'):
        meter.resume(8000)
        work(meter, clock, 10, 100)
        assert meter.line().startswith('supernet_0  90%  100 img/s')
        assert left(meter.line()) == ('10 s', '10 s')


def test_phases_to_come_take_what_those_of_their_kind_took(tmp_path, clock):
    """With their compilation; explorations and the evolution are one kind."""
    plan = {'supernet_0': 1000, 'explore_0': 600, 'supernet_1': 1000, 'evolve': 1200}
    meter = made(tmp_path, clock, plan)
    with meter.phase('supernet_0'):
        next(compile_for(meter, clock, 99), None)
        meter.compiling.hear(COMPILED, 99)
        work(meter, clock, 10, 100)  # 110 s in all
    with meter.phase('explore_0'):
        work(meter, clock, 12, 25)
        # 300 more at 25 a second; the next supernet 110 s; the evolution at 25 a second
        assert left(meter.line()) == ('12 s', duration(12 + 110 + 48))


def test_in_a_log_one_line_a_minute_and_one_at_the_end(tmp_path, clock, capsys):
    meter = made(tmp_path, clock, {'supernet_0': 100_000})
    with meter.phase('supernet_0'):
        for second in range(1, 301):
            work(meter, clock, 1, 100)
            meter.tick()
            assert len(capsys.readouterr().err.splitlines()) == (second % 60 == 0)
    end = capsys.readouterr().err
    assert end == 'supernet_0 done after 5 min 00 s, 100 img/s\n'


def test_on_a_terminal_one_line_that_is_written_over(tmp_path, clock, capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, 'isatty', lambda: True, raising=False)
    meter = made(tmp_path, clock, {'supernet_0': 1000})
    with pytest.raises(KeyboardInterrupt), meter.phase('supernet_0'):
        for _ in range(3):
            work(meter, clock, 1, 100)
            meter.tick()
        meter.warn('a reason')
        text = capsys.readouterr().err
        assert text.count('\r') == 4 and text.count('\n') == 1
        assert text.endswith('\r\x1b[Ks4jax: a reason\n')
        raise KeyboardInterrupt
    assert 'supernet_0 stopped after 3 s' in capsys.readouterr().err


def test_nothing_is_written_where_it_is_not_shown(tmp_path, clock, capsys):
    meter = made(tmp_path, clock, {}, shown=False)
    with meter.phase('one'):
        clock.now += 100
        meter.advance(1)
        meter.tick()
    assert not list(tmp_path.iterdir()) and capsys.readouterr().err == ''
    meter.warn('a reason')
    assert capsys.readouterr().err == 's4jax: a reason\n'


def test_many_looks_keep_the_rate_and_few_points():
    rate = Rate()
    for i in range(1, 10_000):
        rate.at(i * 0.1, i * 7.0)
    assert rate.value == pytest.approx(70) and len(rate._points) < 300


@pytest.mark.parametrize(
    'seconds, text',
    [
        *((0, '0 s'), (59.4, '59 s'), (59.6, '1 min 00 s'), (125, '2 min 05 s')),
        *((570, '10 min'), (3599, '1 h 00 min'), (3900, '1 h 05 min'), (86_400, '24 h 00 min')),
        *((200_000, '2 d 8 h'), (-5, '0 s')),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_what_is_traced_inside_of_another_program_counts_once(clock):
    heard = Compiling(clock)
    began = clock.now
    for event, at, seconds in ((TRACED, 3, 1), (TRACED, 5, 5), (LOWERED, 6, 1), ('other', 7, 7)):
        clock.now = began + at
        heard.hear(event, seconds)
    assert heard.under_way and heard.seconds(began) == 7
    clock.now = began + 10
    heard.hear(COMPILED, 4)
    clock.now = began + 50
    assert not heard.under_way
    assert heard.seconds(began) == 10 and heard.seconds(began + 4) == 6


def test_jax_reports_its_compilations():
    import jax

    heard = compiling.watch()
    began = heard.clock()
    jax.jit(lambda x: x * 3 + next(itertools.count(7)))(jax.numpy.ones(3)).block_until_ready()
    ended = heard.clock()
    assert 0 < heard.seconds(began) <= ended - began and not heard.under_way


def test_what_was_done_and_what_was_known_is_written_for_each_session(tmp_path, clock):
    meter = made(tmp_path, clock, {'one': 100.0, 'two': 300.0})
    with meter.phase('one'):
        meter.resume(40)
        clock.now += 10
        meter.advance(100)
    with meter.phase('two'):
        clock.now += 20
        meter.advance(120)
    again = made(tmp_path, clock, {'two': 300.0})
    with again.phase('two'):
        again.known(90)  # found in a journal: not part of this session's work
        clock.now += 5
        again.advance(120)
        assert again.seconds('two') == 25
    rows = [json.loads(line) for line in (tmp_path / 'timing.jsonl').read_text().splitlines()]
    last = {(row['phase'], row['session']): row for row in rows}
    assert [row['seconds'] for row in last.values()] == [10.0, 20.0, 5.0]
    one, two, later = last.values()
    assert (one['first'], one['last'], one['images']) == (40, 100, 60)
    assert (later['session'], later['first'], later['last'], later['images']) == (2, 90, 120, 30)
    assert two['useful'] == 20
