"""Attacks what reads small texts: label tables, remappings, configurations of runs, and the values of flags."""

import contextlib
import csv
import io
import json
import math
import pathlib
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from seg_pipeline import errors
from seg_pipeline.building import config as build_config
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.planning import sharding, split_options, splits
from tests.attack import mutators
from tests.attack.target import ACCEPTED, Target, WrongError

REFUSED = 'refused'

_NAMES = ('background', 'skin', 'hair', 'coat, long')
_COLORS = ((0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200))


def _csv_bytes(random_: random.Random, rows: list[list[Any]]) -> bytes:
    """A table as CSV of which a cell or a row was changed."""
    rows = [list(row) for row in rows]
    row = random_.choice(rows)
    choice = random_.randrange(5)
    if choice == 0:
        rows.insert(random_.randrange(len(rows) + 1), list(row))
    elif choice == 1:
        rows.remove(row)
    elif choice == 2:
        row.insert(random_.randrange(len(row) + 1), random_.choice(mutators.HOSTILE))
    else:
        row[random_.randrange(len(row))] = random_.choice(mutators.HOSTILE)
    file = io.StringIO()
    csv.writer(file, lineterminator=random_.choice(('\n', '\r\n'))).writerows(
        [str(c)[:20_000] if not isinstance(c, int) else hex(c) for c in r] if any(_is_big(c) for c in r) else r
        for r in rows
    )
    return file.getvalue().encode('utf-8', 'surrogatepass')


def _is_big(cell: Any) -> bool:
    return isinstance(cell, int) and abs(cell) > 10**18


class _Texts(Target):
    """Cases are the number of a seed, which gives the suffix of the file, and the text."""

    # Suffix, and a JSON value, rows of CSV, or plain text.
    seeds: Sequence[tuple[str, Any]]

    def case(self, random_: random.Random) -> bytes:
        number = random_.randrange(len(self.seeds))
        suffix, value = self.seeds[number]
        whole = self._plain(value, suffix)
        if suffix == '.txt' or random_.random() < 0.4:
            text = mutators.mutate(random_, whole, [self._plain(v, s) for s, v in self.seeds])
        elif suffix == '.csv':
            text = _csv_bytes(random_, value)
        else:
            text = mutators.json_bytes(random_, mutators.mutate_json(random_, value))
        return bytes([number]) + text

    @staticmethod
    def _plain(value: Any, suffix: str) -> bytes:
        if suffix == '.txt':
            return str(value).encode()
        if suffix == '.json':
            return json.dumps(value).encode()
        file = io.StringIO()
        csv.writer(file).writerows(value)
        return file.getvalue().encode()

    def unaltered(self, number: int) -> bytes:
        """A good input as a case."""
        suffix, value = self.seeds[number]
        return bytes([number]) + self._plain(value, suffix)

    def written(self, data: bytes) -> pathlib.Path:
        suffix, _ = self.seeds[data[0] % len(self.seeds)] if data else self.seeds[0]
        path = self.directory / f'input{suffix}'
        path.write_bytes(data[1:])
        return path


class LabelTables(_Texts):
    """Label tables in each of their forms."""

    name = 'label_tables'
    seeds = (
        ('.csv', [['i', 'label_list'], *([i, name] for i, name in enumerate(_NAMES))]),
        ('.csv', [['id', 'name', 'color'], *([i, n, '#' + bytes(_COLORS[i]).hex()] for i, n in enumerate(_NAMES))]),
        ('.csv', [['id', 'name', 'color'], *([i, n, ' '.join(map(str, _COLORS[i]))] for i, n in enumerate(_NAMES))]),
        ('.json', list(_NAMES)),
        ('.json', [{'id': i, 'name': n, 'color': list(_COLORS[i])} for i, n in enumerate(_NAMES)]),
        ('.json', {'names': list(_NAMES), 'colors': [list(c) for c in _COLORS], 'ignore_id': 255}),
        ('.txt', '\n'.join(('background', 'skin', 'hair', 'coat')) + '\n'),
    )

    def check(self, data: bytes) -> str:
        path = self.written(data)
        try:
            found = label_map.read(str(path), 255)
        except errors.UserError as error:
            _check_line(error)
            return REFUSED
        _check_labels(found)
        _compare_with_text(path, found)
        return ACCEPTED


def _check_line(error: Exception) -> None:
    if '\n' in str(error):
        raise WrongError(f'a message of several lines: {str(error)[:100]!r}')


def _check_labels(found: label_map.LabelMap) -> None:
    names, colors = found.names, found.colors
    if not 1 <= len(names) == len(colors) <= found.ignore_id <= 255 or len(set(names)) != len(names):
        raise WrongError(f'accepted {names} with {len(colors)} colours and the ignored id {found.ignore_id}')
    if len(set(colors)) != len(colors):
        raise WrongError(f'accepted two classes of one colour: {colors}')
    for name in names:
        name.encode()  # of text that cannot be written, no label file can be made
        if not name or name != name.strip() or len(name.splitlines()) != 1:
            raise WrongError(f'accepted the name {name!r}')
    for color in colors:
        if len(color) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in color):
            raise WrongError(f'accepted the colour {color!r}')


def _compare_with_text(path: pathlib.Path, found: label_map.LabelMap) -> None:
    """Reads an accepted table again in the simplest way: the names must be those, in that order."""
    text = path.read_bytes().decode('utf-8-sig')
    if path.suffix == '.txt':
        return
    if path.suffix == '.csv':
        rows = list(csv.DictReader(io.StringIO(text, newline=''), skipinitialspace=True))
        header = {(name or '').strip(): name for name in rows[0]}
        column = header[next(name for name in ('name', 'label_list', 'label') if name in header)]
        wanted = {(row[column] or '').strip() for row in rows if any((c or '').strip() for c in row.values() if c)}
    else:
        value = json.loads(text)
        names = value['names'] if isinstance(value, dict) else value
        wanted = {(one['name'] if isinstance(one, dict) else one).strip() for one in names}
    if wanted != set(found.names):
        raise WrongError(f'accepted as {found.names}, the file has {sorted(wanted)}')


class Remappings(_Texts):
    """Files of --remap."""

    name = 'remappings'
    seeds = (
        (
            '.csv',
            [['name', 'group', 'color'], *([n, f'g{i // 2}', f'#00{i // 2:02x}00'] for i, n in enumerate(_NAMES))],
        ),
        ('.csv', [['name', 'group'], *([n, 'ignore' if i == 3 else f'g{i // 2}'] for i, n in enumerate(_NAMES))]),
        ('.json', {'g0': list(_NAMES[:2]), 'g1': [_NAMES[2]], 'ignore': [_NAMES[3]]}),
    )

    def check(self, data: bytes) -> str:
        source = label_map.SourceTable((0, 1, 2, 7), _NAMES, _COLORS)
        path = self.written(data)
        try:
            labels, found = remapping.read(str(path), source)
        except errors.UserError as error:
            _check_line(error)
            return REFUSED
        _check_labels(labels)
        if len(found.targets) != 4 or not set(found.targets) <= {*range(labels.num_classes), labels.ignore_id}:
            raise WrongError(f'accepted with the targets {found.targets}')
        if not set(range(labels.num_classes)) <= set(found.targets):
            raise WrongError(f'accepted with a class that no class becomes: {found.targets}')
        return ACCEPTED


def _check_size(text: str) -> None:
    height, width = build_config.parse_size(text)
    if not (type(height) is int and type(width) is int and height > 0 and width > 0):
        raise WrongError(f'accepted as {height}, {width}')


def _check_fractions(text: str) -> None:
    found = splits.parse_fractions(text)
    if sum(found.values()) != 1 or not all(type(one) is Fraction and one > 0 for one in found.values()):
        raise WrongError(f'accepted as {found}')


def _check_counts(text: str) -> None:
    found = sharding.parse_counts(text, ('train', 'validation'))
    if not set(found) <= {'train', 'validation'} or not all(1 <= count <= 99999 for count in found.values()):
        raise WrongError(f'accepted as {found}')


def _check_lists(text: str) -> None:
    found = split_options.read_lists(text)
    if not all(isinstance(line, str) and line.strip() for lines in found.values() for line in lines):
        raise WrongError(f'accepted as {str(found)[:100]}')


_FLAGS: tuple[tuple[Callable[[str], None], tuple[str, ...]], ...] = (
    (_check_size, ('128,128', '64x32', ' 1 , 2 ')),
    (_check_fractions, ('train:0.8,validation:0.2', 'a:1/3,b:2/3', 'train:1', 'a:8e-1,b:.2')),
    (_check_counts, ('train:8,validation:2', 'train:1', '')),
    (_check_lists, ('train:{0},validation:{0}', 'train:{0}')),
)
_PIECES = ('', *',:/e-+.²١_x \n\0', 'nan', 'inf', '1e9999', '9' * 5000)


def _mutate_text(random_: random.Random, text: str) -> str:
    for _ in range(random_.choice((1, 1, 2, 4))):
        at = random_.randrange(len(text) + 1)
        piece = random_.choice((*_PIECES, chr(random_.randrange(0x3000)), str(random_.choice((0, 1, 10**9, 2**64)))))
        text = text[:at] + piece + text[at + random_.randrange(3) :]
    return text


class Flags(Target):
    """The values of the flags that have a form of their own."""

    name = 'flags'

    def case(self, random_: random.Random) -> bytes:
        number = random_.randrange(len(_FLAGS))
        text = random_.choice(_FLAGS[number][1]).replace('{0}', str(self._list_file()))
        return bytes([number]) + _mutate_text(random_, text).encode()

    def _list_file(self) -> pathlib.Path:
        # A relative path: a case must not depend on where this run keeps its files.
        return pathlib.Path('list.txt')

    def check(self, data: bytes) -> str:
        try:
            text = data[1:].decode()
        except UnicodeDecodeError:
            return REFUSED
        check, _ = _FLAGS[data[0] % len(_FLAGS)] if data else _FLAGS[0]
        try:
            with contextlib.chdir(self.directory):
                pathlib.Path('list.txt').write_text('a\nb\n')
                check(text)
        except errors.UserError as error:
            return REFUSED if str(error) else 'refused without a word'
        return ACCEPTED


class BeamFlags(Target):
    """What is left over of the command line, which goes to Beam."""

    name = 'beam_flags'
    _SEEDS = (
        ('--direct_num_workers=2',),
        ('--direct_running_mode=in_memory', '--direct_num_workers=1'),
        ('--runner=DirectRunner',),
        ('--job_name=x', '--temp_location=/nowhere'),
        ('--s3_endpoint_url=http://127.0.0.1:1',),
    )

    def case(self, random_: random.Random) -> bytes:
        arguments = list(random_.choice(self._SEEDS))
        i = random_.randrange(len(arguments))
        arguments[i] = _mutate_text(random_, arguments[i])
        return json.dumps(arguments).encode()

    def check(self, data: bytes) -> str:
        from beam_jobs import runners

        try:
            arguments = json.loads(data)
        except ValueError:
            return REFUSED
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                options = runners.parse_options(arguments)
                is_local = runners.is_local(options)
        except errors.UserError:
            return REFUSED
        from apache_beam.options.pipeline_options import DirectOptions

        workers = options.view_as(DirectOptions).direct_num_workers
        if is_local and not 1 <= workers <= 1024:
            raise WrongError(f'accepted with {workers} workers')
        return ACCEPTED


class RunConfigs(Target):
    """The configuration of a training run, config.json."""

    name = 'run_configs'

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        from trainer import config

        data = config.Data('a', 'f' * 64, (8, 8), label_map.LabelMap(_NAMES, _COLORS))
        self._value = config.RunConfig(config.Recipe(), data).to_json()

    def case(self, random_: random.Random) -> bytes:
        if random_.random() < 0.3:
            whole = json.dumps(self._value).encode()
            return mutators.mutate(random_, whole, [whole])
        return mutators.json_bytes(random_, mutators.mutate_json(random_, self._value))

    def check(self, data: bytes) -> str:
        from trainer import config

        (self.directory / config.CONFIG_FILE).write_bytes(data)
        try:
            found = config.read(str(self.directory))
        except errors.UserError as error:
            _check_line(error)
            return REFUSED
        json.dumps(found.to_json())
        if not all(math.isfinite(value) for value in vars(found.recipe).values() if isinstance(value, float)):
            raise WrongError(f'accepted with {found.recipe}')
        return ACCEPTED
