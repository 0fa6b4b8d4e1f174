"""The fault suite at full length; `make faults`.

    python tests/faults/suite.py --folder=runs/faults [--only=kill,damage]

Finished cases are kept in FOLDER/journal.jsonl, so that the same command goes on after a stop. The
table of docs/reliability.md is written again after every case.
"""

import argparse
import collections
import functools
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'tests'), str(ROOT / 'tests' / 'faults')]

import cases  # noqa: E402
import damage  # noqa: E402
import more  # noqa: E402
from cases import command  # noqa: E402

PAGE = ROOT / 'docs' / 'reliability.md'
BEGIN, END = '<!-- the table is written by tests/faults/suite.py -->', '<!-- end of the table -->'


def damaged(place, number):
    return damage.case(place.folder, number)


# name: (the case, how many faults are wanted in all, what it is in words)
SUITE = {
    'kill': (cases.kill, 200, 'kill -9 at a random moment'),
    'term': (cases.term, 50, 'SIGTERM at a random moment'),
    'damage': (damaged, 300, 'a damaged checkpoint'),
    'disk': (cases.full_disk, 20, 'a full disk'),
    'read-only': (cases.read_only, 4, 'a workdir that cannot be written'),
    'twice': (cases.twice, 4, 'two starts in one workdir'),
    'clock': (cases.clock, 4, 'a clock that jumps'),
    'data': (more.data, 4, 'data that change under a run'),
    'peer': (more.peer, 10, 'one of two processes is killed'),
}
ORDER = ('start', *cases.PHASES, 'report')


def rows(folder):
    path = folder / 'journal.jsonl'
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def faults(found):
    return sum(sum(row['seen'].values()) for row in found)


def run(place, name, number):
    """One case as a row of the journal."""
    began = time.monotonic()
    row = {'name': name, 'number': number, 'commit': commit(), 'wrong': None}
    try:
        seen, took = SUITE[name][0](place, number)
        row |= {'seen': seen, 'took': took}
    except cases.Wrong as error:
        row |= {'seen': {}, 'took': [], 'wrong': str(error)}
    return row | {'seconds': round(time.monotonic() - began, 1)}


@functools.cache
def commit():
    return subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def machine():
    with open('/proc/cpuinfo') as file:
        model = next((line.split(':')[1] for line in file if line.startswith('model name')), '')
    return f'{os.cpu_count()} cores of {model.strip() or platform.processor()}'


def table(found):
    """The rows of the journal as Markdown."""
    yield '| fault | faults | runs | as it must be | wrong | where |'
    yield '| --- | --- | --- | --- | --- | --- |'
    for name, (_, wanted, words) in SUITE.items():
        own = [row for row in found if row['name'] == name]
        wrong = sum(row['wrong'] is not None for row in own)
        where = collections.Counter()
        for row in own:
            where.update(row['seen'])
        order = sorted(where, key=lambda p: (ORDER.index(p) if p in ORDER else 99, p))
        each = ', '.join(f'{phase} {where[phase]}' for phase in order)
        yield (
            f'| {words} | {faults(own)} of {wanted} | {len(own)} | {len(own) - wrong} | {wrong} '
            f'| {each} |'
        )
    took = sorted(second for row in found for second in row['took'])
    commits = ', '.join(dict.fromkeys(row['commit'] for row in found))
    yield ''
    if took:
        middle = took[len(took) // 2]
        yield (
            f'From SIGTERM to the end of the process: {middle:.1f} s in the middle, '
            f'{took[-1]:.1f} s at most, of {len(took)}.'
        )
    yield (
        f'`make faults` at commit {commits}, {machine()}, '
        f'{sum(row["seconds"] for row in found) / 3600:.1f} hours.'
    )


def write(found):
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    lines = '\n'.join(table(found))
    PAGE.write_text(f'{before}{BEGIN}\n\n{lines}\n\n{END}{after}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--folder', type=pathlib.Path, default=ROOT / 'runs' / 'faults')
    parser.add_argument('--only', default=','.join(SUITE))
    options = parser.parse_args()
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    place = cases.Place(folder, folder / 'undisturbed')
    code, _, err = place.end(place.start(command(place.reference)))
    if code != 0:
        sys.exit(f'the undisturbed run ended with {code}: {err}')
    for name in options.only.split(','):
        number = 1 + max((r['number'] for r in rows(folder) if r['name'] == name), default=-1)
        while faults(own := [r for r in rows(folder) if r['name'] == name]) < SUITE[name][1]:
            if sum(row['wrong'] is not None for row in own) > 5:
                break  # enough to mend
            row = run(place, name, number)
            with open(folder / 'journal.jsonl', 'a') as file:
                file.write(json.dumps(row) + '\n')
            print(json.dumps(row), flush=True)
            write(rows(folder))
            if row['wrong'] is None:
                cases.clean(place)
            number += 1
    wrong = [row for row in rows(folder) if row['wrong'] is not None]
    sys.exit(f'{len(wrong)} cases are wrong' if wrong else 0)


if __name__ == '__main__':
    main()
