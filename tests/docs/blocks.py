"""The code of the documents: every fenced block with its state, every command in the text.

A block's state says what the tests do with it. It follows from the language, or from a comment in
the line above:

| language | state | what the tests do |
| --- | --- | --- |
| bash, console | checked | each command (in console, after `$`) is read by its own program |
| python | run | the blocks of a page run in order, in one namespace, in an empty folder |
| python that names runs/ | quick start | as `run`, in the folder of the quick start |
| text | shown | nothing: it is what a command prints |
| math | drawn | `make docs` draws it |

| `<!-- block: STATE -->` | what the tests do |
| --- | --- |
| quick start | bash runs in the folder of the quick start, trainings shortened |
| refused | bash: one command of s4jax.main, which ends with exit code 2 |
| output | text: the block above it, python or refused, prints exactly this |
| compiled, REASON | python: it is compiled, and its imports of s4jax are made |
"""

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
DEFAULT = {
    'bash': 'checked',
    'console': 'checked',
    'python': 'run',
    'text': 'shown',
    'math': 'drawn',
}
STATES = {  # state -> the languages that may have it
    'checked': ('bash', 'console'),
    'run': ('python',),
    'quick start': ('bash', 'python'),
    'refused': ('bash',),
    'shown': ('text',),
    'output': ('text',),
    'drawn': ('math',),
    'compiled': ('python',),
}
FENCE = re.compile(r'^(\s*)(`{3,}|~{3,})\s*(.*)$')
COMMENT = re.compile(r'<!-- block: ([\w ]+?)(?:, (.+))? -->')
# what is a command when it stands in the text; the name of a launcher alone is none
COMMAND = re.compile(
    r'([A-Z_]+=\S+ )*(python -m s4jax\.|launch/\S+ |make |pip install |sbatch |kubectl |sky )'
)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block: the line of its first fence, its text."""

    page: str
    line: int
    language: str
    text: str
    state: str
    reason: str | None = None

    @property
    def place(self) -> str:
        return f'{self.page}:{self.line}'


def documents() -> list[pathlib.Path]:
    """The README, then the pages of the site."""
    return [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]


def blocks(page: str, text: str) -> list[Block]:
    """The blocks of a page, in order; AssertionError where one has no state."""
    found: list[Block] = []
    lines, n = text.splitlines(), 0
    while n < len(lines):
        opening = FENCE.match(lines[n])
        if opening is None:
            n += 1
            continue
        first, (indent, fence, language) = n, opening.groups()
        place = f'{page}:{first + 1}'
        assert not indent, f'{place}: a fence is not indented'
        n += 1
        while n < len(lines) and lines[n] != fence:
            n += 1
        assert n < len(lines), f'{place}: the block does not end'
        inside = '\n'.join(lines[first + 1 : n])
        n += 1
        assert language in DEFAULT, f'{place}: write a language of {", ".join(DEFAULT)}'
        comment = COMMENT.fullmatch(lines[first - 1].strip()) if first else None
        state, reason = comment.groups() if comment else (DEFAULT[language], None)
        assert language in STATES.get(state, ()), f'{place}: {language} has no state {state!r}'
        assert (state == 'compiled') == (reason is not None), f'{place}: say why, or leave it out'
        found.append(Block(page, first + 1, language, inside, state, reason))
    return _after_runs(found)


def _after_runs(found: list[Block]) -> list[Block]:
    """A page whose Python names runs/ runs where there are runs: its blocks share a namespace."""
    python = [b for b in found if b.language == 'python' and b.state != 'compiled']
    if not any('runs/' in b.text for b in python):
        return found
    return [dataclasses.replace(b, state='quick start') if b in python else b for b in found]


def commands(block: Block) -> list[str]:
    """The commands of a block of bash or console, each in one line."""
    text = block.text.replace('\\\n', ' ')
    lines = [line.strip() for line in text.splitlines()]
    if block.language == 'console':
        lines = [line[2:] for line in lines if line.startswith('$ ')]
    return [line for line in lines if line and not line.startswith('#')]


def in_text(text: str) -> list[str]:
    """The commands that stand in backticks in the text of a page."""
    outside = re.sub(r'^(`{3,}).*?^\1$', '', text, flags=re.MULTILINE | re.DOTALL)
    spans = (' '.join(span.split()) for span in re.findall(r'(?<!`)`([^`]+)`(?!`)', outside))
    return [span for span in spans if COMMAND.match(span)]
