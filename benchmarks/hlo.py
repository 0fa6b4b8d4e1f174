"""What a compiled program costs, read from its text: FLOPs, cycles, bytes between devices.

Only TPU programs carry cycles. Loops count by their trips, a switch as the mean of its branches but
branch 0, which leaves a block out.
"""

import collections
import dataclasses
import math
import re
from collections.abc import Callable, Iterator

COLLECTIVES = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
SIZES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2, 's64': 8, 'u64': 8}
FREE = ('parameter', 'constant', 'get-tuple-element', 'tuple', 'bitcast', 'copy-done', 'while')
CUBLAS = 'custom_call_target="__cublas'  # a GPU's matmuls
SHAPE = re.compile(r'\b(pred|bf16|[suf]\d+)\[([\d,]*)\]')


@dataclasses.dataclass(frozen=True)
class Operation:
    """A line of a program: `kind` is the text of its result's type, `times` how often it runs."""

    kind: str
    name: str
    operands: str
    attributes: str
    times: float

    @property
    def cycles(self) -> float:
        """Those that XLA estimates for all times together; 0 for loops, whose bodies count."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.attributes)
        return self.times * int(found.group(1)) if found else 0.0

    @property
    def label(self) -> str:
        """Where in the traced program the line comes from."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found.group(1) if found else ''

    @property
    def bytes(self) -> float:
        """The size of the result, for all times together."""
        return self.times * sum(map(_bytes, shapes(self.kind)))


def shapes(kind: str) -> list[tuple[str, tuple[int, ...]]]:
    """(type, dimensions) of every array in a type's text."""
    return [(t, tuple(int(n) for n in d.split(',') if n)) for t, d in SHAPE.findall(kind)]


class Program:
    """A compiled program's computations, by name: lists of (kind, operation, operands, attributes)
    by the name of the result."""

    def __init__(self, text: str):
        self.computations: dict[str, dict[str, tuple[str, str, str, str]]] = {}
        self.entry = ''
        here: dict[str, tuple[str, str, str, str]] = {}
        for line in text.splitlines():
            if line.endswith('{') and '->' in line and not line.startswith(' '):
                first, name = re.match(r'(ENTRY )?%?([\w.\-]+)', line).groups()
                here = self.computations[name] = {}
                self.entry = name if first else self.entry
            elif found := re.match(r'\s+(?:ROOT )?%?([\w.\-]+) = (.*)', line):
                here[found.group(1)] = _parts(re.sub(r'/\*index=\d+\*/', '', found.group(2)))

    def operations(self, name: str = '', times: float = 1, inside: bool = False) -> Iterator:
        """Every operation that runs; `inside` those of fusions, too."""
        for kind, operation, operands, attributes in self.computations[name or self.entry].values():
            line = Operation(kind, operation, operands, attributes, times)
            if operation not in ('while', 'conditional', 'call'):
                yield name or self.entry, line
            for called, often in self._called(operation, attributes, inside):
                yield from self.operations(called, times * often, inside)

    def _called(self, operation: str, attributes: str, inside: bool) -> Iterator[tuple[str, float]]:
        """(computation, how often) of what an operation runs."""
        name = lambda key: re.search(key + r'=%?([\w.\-]+)', attributes)
        if operation == 'while':
            yield name('body').group(1), self._trips(attributes, name('condition').group(1))
        elif operation == 'conditional':
            listed = re.search(r'branch_computations=\{([^}]*)\}', attributes)
            found = re.findall(r'(?:true|false)_computation=%?([\w.\-]+)', attributes)
            branches = re.findall(r'[\w.\-]+', listed.group(1)) if listed else found
            real = branches[1:] if len(branches) > 2 else branches[-1:]
            yield from ((branch, 1 / len(real)) for branch in real)
        elif operation == 'call':
            yield name('to_apply').group(1), 1
        elif operation == 'async-start' or (inside and operation == 'fusion'):
            if called := name('calls'):
                yield called.group(1), 1

    def _trips(self, attributes: str, condition: str) -> int:
        """How often a loop runs: as its compiler says, or the one number that its condition has."""
        if known := re.search(r'known_trip_count":\{"n":"(\d+)"', attributes):
            return int(known.group(1))
        lines = self.computations[condition].values()
        numbers = [operands for _, name, operands, _ in lines if name == 'constant']
        return int(numbers[0]) if len(numbers) == 1 and numbers[0].isdigit() else 1

    def moved(self) -> float:
        """Bytes that operations read and write, an upper bound of what goes through the memory.

        Of an array of which a part is read, or updated in place, the part counts.
        """
        return sum(
            line.times * self._moved(where, line)
            for where, line in self.operations()
            if line.name not in FREE
        )

    def _moved(self, where: str, line: Operation) -> float:
        """Bytes of an operation that runs once."""
        written = [_bytes(one) for one in shapes(line.kind)]
        read = [
            _bytes(one)
            for name in re.findall(r'%([\w.\-]+)', line.operands)
            for one in shapes(self.computations[where].get(name, ('',))[0])
        ]
        for whole, part, updated in self._parts_of(where, line):
            if whole in read:
                read[read.index(whole)] = part
                if updated and whole in written:
                    written[written.index(whole)] = part
        return sum(written) + sum(read)

    def _parts_of(self, where: str, line: Operation) -> Iterator[tuple[int, int, bool]]:
        """(bytes of the array, of the part, whether it is updated) where a part of an array is
        read or updated in place."""
        called = re.search(r'calls=%?([\w.\-]+)', line.attributes)
        known = self.computations[called.group(1) if called else where]
        own = [(line.kind, line.name, line.operands, line.attributes)]
        size = lambda name: sum(map(_bytes, shapes(known.get(name, ('',))[0])))
        for kind, name, operands, _ in known.values() if called else own:
            names = re.findall(r'%([\w.\-]+)', operands)
            if name == 'dynamic-update-slice':
                yield size(names[0]), size(names[1]), True
            elif name == 'dynamic-slice':
                yield size(names[0]), sum(map(_bytes, shapes(kind))), False

    def flops(self) -> float:
        """Of all matmuls and convolutions; a custom kernel has none here."""
        return sum(
            line.times * self._flops(where, line)
            for where, line in self.operations(inside=True)
            if line.name in ('dot', 'convolution') or CUBLAS in line.attributes
        )

    def _flops(self, where: str, line: Operation) -> float:
        names = re.findall(r'%([\w.\-]+)', line.operands)
        left, right = (shapes(self.computations[where][name][0])[0][1] for name in names[:2])
        result = shapes(line.kind)[0][1]
        if line.name != 'convolution':
            listed = re.search(
                r'lhs_contracting_dim(?:s=|ensions":)[{\[]([^}\]]*)', line.attributes
            ).group(1)
            summed = math.prod(left[int(axis)] for axis in re.findall(r'\d+', listed))
            return 2.0 * math.prod(result) * summed
        return _convolution_flops(line.attributes, left, right, result)

    def cycles(self, of: Callable[[Operation], bool] = lambda line: True) -> float:
        """XLA's estimate for the operations `of` which holds, one after the other."""
        return sum(line.cycles for _, line in self.operations() if of(line))

    def kernels(self) -> dict[str, float]:
        """{where it comes from: how often} of the custom kernels, whose cost XLA does not know."""
        found: dict[str, float] = collections.Counter()
        for _, line in self.operations():
            if re.search('custom_call_target="(tpu_custom_call|__cudnn[^"]*)"', line.attributes):
                found[line.label.rpartition('/')[2]] += line.times
        return dict(found)

    def exchanges(self) -> list[Operation]:
        """What travels between the devices."""
        return [
            line for _, line in self.operations() if line.name.removesuffix('-start') in COLLECTIVES
        ]


def _bytes(shape: tuple[str, tuple[int, ...]]) -> int:
    return math.prod(shape[1]) * SIZES.get(shape[0], 4)


def _parts(text: str) -> tuple[str, str, str, str]:
    """'type operation(operands), attributes' -> its four parts."""
    end = _closing(text, 0) if text.startswith('(') else text.index(' ')
    kind, rest = text[: end + 1].strip(), text[end + 1 :].strip()
    start = rest.index('(')
    end = _closing(rest, start)
    return kind, rest[:start], rest[start + 1 : end], rest[end + 1 :]


def _closing(text: str, start: int) -> int:
    """The position of the bracket that closes the one at `start`."""
    depth = 0
    for position in range(start, len(text)):
        depth += (text[position] == '(') - (text[position] == ')')
        if depth == 0:
            return position
    return len(text) - 1


def _convolution_flops(
    attributes: str, left: tuple[int, ...], right: tuple[int, ...], result: tuple[int, ...]
) -> float:
    """Of a convolution (a TPU's matmuls are convolutions), counting no product with padding."""
    labels = re.search(r'dim_labels=(\w+)_(\w+)->(\w+)', attributes).groups()
    window = re.search(r'window=\{([^}]*)\}', attributes)
    fields = dict(field.split('=') for field in window.group(1).split()) if window else {}
    total = 2.0 * math.prod(result) * right[labels[1].index('i')]
    for axis, digit in enumerate(sorted(c for c in labels[2] if c.isdigit())):
        here = {name: text.split('x')[axis] for name, text in fields.items()}
        size, stride = int(here.get('size', 1)), int(here.get('stride', 1))
        spread, step = int(here.get('lhs_dilate', 1)), int(here.get('rhs_dilate', 1))
        low = int(here.get('pad', '0_0').split('_')[0])
        length, out = left[labels[0].index(digit)], result[labels[2].index(digit)]
        places = (y * stride + x * step - low for y in range(out) for x in range(size))
        total *= sum(p >= 0 and p % spread == 0 and p // spread < length for p in places) / out
    groups = re.search(r'batch_group_count=(\d+)', attributes)
    return total / int(groups.group(1)) if groups else total
