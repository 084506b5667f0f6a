"""The pairs of more files than memory should hold: what `pairing.match_pairs` finds, by external sorting.

SQLite sorts and joins the two listings in a file of its own, which it removes when the table is closed or the process
ends. Its order of texts is that of their UTF-8 bytes, which is Python's order of strings.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import overload

from seg_pipeline.imaging import rejects
from seg_pipeline.planning import pairing, trimming
from seg_pipeline.planning.pairing import Pairing, SourcePair
from seg_pipeline.planning.trimming import Trimming

_CACHE_KIB = 64 * 1024  # of pages, and again for sorting; beyond it SQLite writes to its file
_ROWS_AT_ONCE = 10_000


class PairTable(Sequence[SourcePair]):
    """Pairs in the order of their keys, which a file holds; `table[i]` reads one, an iteration all.

    Args:
        database: has the table `pair(id, key, image, mask)`, the ids from 0 in the order of the keys.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._length = int(database.execute('SELECT COUNT(*) FROM pair').fetchone()[0])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[SourcePair]:
        return (SourcePair(*row) for row in rows(self._database, 'SELECT key, image, mask FROM pair ORDER BY id'))

    @overload
    def __getitem__(self, index: int) -> SourcePair: ...

    @overload
    def __getitem__(self, index: slice) -> list[SourcePair]: ...

    def __getitem__(self, index: int | slice) -> SourcePair | list[SourcePair]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            found = self._database.execute(
                'SELECT key, image, mask FROM pair WHERE id >= ? AND id < ? ORDER BY id', (start, stop)
            )
            return [SourcePair(*row) for row in found.fetchall()][::step]
        if not -self._length <= index < self._length:
            raise IndexError(index)
        place = index % self._length
        return SourcePair(
            *self._database.execute('SELECT key, image, mask FROM pair WHERE id = ?', (place,)).fetchone()
        )

    def close(self) -> None:
        """Removes the file."""
        self._database.close()


def match(
    images: Iterable[str],
    masks: Iterable[str],
    image_key_regex: str | None = None,
    mask_key_regex: str | None = None,
) -> Pairing:
    """Pairs the files of two trees as `pairing.match_pairs` does, from listings that need not be in memory.

    Args:
        images, masks: paths relative to their roots, in any order.
        image_key_regex, mask_key_regex: as for `match_pairs`.

    Returns:
        The same, with a `PairTable` for its pairs. Rejects are in memory.
    """
    database = open_database()
    problems: list[rejects.Reject] = []
    expressions = {'image': image_key_regex, 'mask': mask_key_regex}
    for kind, paths in (('image', images), ('mask', masks)):
        database.execute(f'CREATE TABLE {kind}_file (path TEXT, key TEXT)')
        key_of = pairing.key_finder(kind, expressions[kind])
        usable = pairing.usable_names(paths, kind, problems)
        insert(database, f'{kind}_file', ((path, key_of(path)) for path in usable))
    trimmed = None if image_key_regex or mask_key_regex else _trim(database)
    for kind in expressions:
        _index(database, kind, problems)
    _join(database, problems)
    return Pairing(PairTable(database), pairing.in_order(problems), trimmed)


def open_database() -> sqlite3.Connection:
    """An empty database, in memory as long as it is small, then in a file that goes with the connection."""
    # An empty name is a file of its own that is never in the way of another command.
    database = sqlite3.connect('', isolation_level=None)
    for pragma in (f'cache_size = -{_CACHE_KIB}', 'journal_mode = OFF', 'synchronous = OFF', 'temp_store = FILE'):
        database.execute(f'PRAGMA {pragma}')
    return database


def rows(database: sqlite3.Connection, query: str) -> Iterator[tuple]:  # type: ignore[type-arg]
    """The rows of a query, some at a time; other queries may run meanwhile."""
    with contextlib.closing(database.execute(query)) as cursor:
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield from rows


def insert(database: sqlite3.Connection, table: str, rows: Iterable[tuple[str | int | None, ...]]) -> None:
    """Adds rows to a table."""
    database.execute('BEGIN')
    width = len(database.execute(f'PRAGMA table_info({table})').fetchall())
    database.executemany(f'INSERT INTO {table} VALUES ({", ".join("?" * width)})', rows)
    database.execute('COMMIT')


class _Column(Collection[str]):
    """The keys of one table as they are; iterated, they are read anew."""

    def __init__(self, database: sqlite3.Connection, table: str) -> None:
        self._database, self._table = database, table

    def __iter__(self) -> Iterator[str]:
        return (key for (key,) in rows(self._database, f'SELECT key FROM {self._table}'))

    def __len__(self) -> int:
        (number,) = self._database.execute(f'SELECT COUNT(*) FROM {self._table}').fetchone()
        return int(number)

    def __contains__(self, key: object) -> bool:
        raise NotImplementedError


def _trim(database: sqlite3.Connection) -> Trimming | None:
    """Trims the keys, which are the stems, if that gives more pairs; what was cut off."""
    tables = ('image_file', 'mask_file')
    both = f'SELECT key FROM {tables[0]} INTERSECT SELECT key FROM {tables[1]}'
    (shared,) = database.execute(f'SELECT COUNT(*) FROM ({both})').fetchone()
    # One set in memory of two listings that are equal would be all of them: nothing can pair more.
    if all(shared == database.execute(f'SELECT COUNT(DISTINCT key) FROM {table}').fetchone()[0] for table in tables):
        return None
    found = [trimming.affixes(_Column(database, table)) for table in tables]
    for table, cut in zip(tables, found, strict=True):
        database.create_function(f'cut_{table}', 1, cut.cut, deterministic=True)
    cut_keys = [f'SELECT cut_{table}(key) FROM {table}' for table in tables]
    (after,) = database.execute(f'SELECT COUNT(*) FROM ({" INTERSECT ".join(cut_keys)})').fetchone()
    if after <= shared:
        return None
    for table in tables:
        database.execute(f'UPDATE {table} SET key = cut_{table}(key)')
    return Trimming(*found)


def _index(database: sqlite3.Connection, kind: str, problems: list[rejects.Reject]) -> None:
    """Makes the table of the files by their keys; files without a key or with one key become rejects."""
    keyless = rows(database, f"SELECT path FROM {kind}_file WHERE key IS NULL OR key = ''")
    problems += [pairing.without_key(path, kind) for (path,) in keyless]
    # In the order of the keys: the table grows at its end, and the join reads both from beginning to end.
    database.execute(f'CREATE TABLE {kind} (key TEXT PRIMARY KEY, path TEXT, number INTEGER) WITHOUT ROWID')
    database.execute(
        f"INSERT INTO {kind} SELECT key, MIN(path), COUNT(*) FROM {kind}_file WHERE key != '' GROUP BY key ORDER BY key"
    )
    of_one_key = f'key IN (SELECT key FROM {kind} WHERE number > 1)'
    found = rows(database, f'SELECT key, path FROM {kind}_file WHERE {of_one_key} ORDER BY key, path')
    for key, group in itertools.groupby(found, key=lambda row: row[0]):
        problems.append(pairing.of_one_key(key, [path for _, path in group], kind))
    database.execute(f'DROP TABLE {kind}_file')


def _join(database: sqlite3.Connection, problems: list[rejects.Reject]) -> None:
    """Makes the table of the pairs; files without a partner become rejects."""
    twice = {problem.key for problem in problems}
    for kind, other in (('image', 'mask'), ('mask', 'image')):
        lonely = rows(
            database,
            f'SELECT key, path FROM {kind} WHERE NOT EXISTS (SELECT 1 FROM {other} o WHERE o.key = {kind}.key)',
        )
        problems += [pairing.alone(key, path, kind) for key, path in lonely if key not in twice]
    database.execute('CREATE TABLE pair (id INTEGER PRIMARY KEY, key TEXT, image TEXT, mask TEXT)')
    database.execute('CREATE TEMP TABLE twice (key TEXT PRIMARY KEY) WITHOUT ROWID')
    insert(database, 'twice', ((key,) for key in twice))
    database.execute(
        'INSERT INTO pair SELECT ROW_NUMBER() OVER (ORDER BY image.key) - 1, image.key, image.path, mask.path '
        'FROM image CROSS JOIN mask USING (key) WHERE image.key NOT IN (SELECT key FROM twice) ORDER BY image.key'
    )
    for kind in ('image', 'mask', 'twice'):
        database.execute(f'DROP TABLE {kind}')
