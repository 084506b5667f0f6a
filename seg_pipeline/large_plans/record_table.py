"""The records of a data set beside the pairs that are here now, joined by their keys, in a file of SQLite's own."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seg_pipeline.large_plans import pair_table
from seg_pipeline.planning.pairing import SourcePair

_AT_ONCE = 10_000


class Match(NamedTuple):
    """A record, and the pair of its key that is here.

    Attributes:
        then: key and files that the record was made from.
        digests: the SHA-256 of image and mask then.
        now: the pair.
    """

    then: SourcePair
    digests: tuple[str, str]
    now: SourcePair


class RecordTable:
    """Records, in their order, and pairs. Add all records before anything is asked."""

    def __init__(self, pairs: Iterable[SourcePair]) -> None:
        self._database = pair_table.open_database()
        self._database.execute('CREATE TABLE here (key TEXT PRIMARY KEY, image TEXT, mask TEXT) WITHOUT ROWID')
        pair_table.insert(self._database, 'here', ((pair.key, pair.image, pair.mask) for pair in pairs))
        self._database.execute(
            'CREATE TABLE there '
            '(place INTEGER PRIMARY KEY, key TEXT, image TEXT, mask TEXT, of_image TEXT, of_mask TEXT)'
        )
        self._pending: list[tuple[int | None, str, str, str, str, str]] = []

    def add(self, key: str, image: str, mask: str, of_image: str, of_mask: str) -> None:
        """Adds the next record, with the digests of its files."""
        self._pending.append((None, key, image, mask, of_image, of_mask))
        if len(self._pending) >= _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        pair_table.insert(self._database, 'there', self._pending)
        self._pending = []

    def first_gone(self) -> str | None:
        """The smallest key that has a record and no pair; None if there is none."""
        self._flush()
        query = 'SELECT MIN(key) FROM there WHERE NOT EXISTS (SELECT 1 FROM here WHERE here.key = there.key)'
        found: str | None = self._database.execute(query).fetchone()[0]
        return found

    def first_new(self, known: Iterable[str]) -> str | None:
        """The smallest key that has a pair and no record, and is none of some; None if there is none."""
        self._database.execute('CREATE INDEX there_key ON there (key)')
        query = 'SELECT key FROM here WHERE NOT EXISTS (SELECT 1 FROM there WHERE there.key = here.key) ORDER BY key'
        but = set(known)
        return next((key for (key,) in pair_table.rows(self._database, query) if key not in but), None)

    def matches(self) -> Iterator[Match]:
        """The records that have a pair, in their order."""
        query = (
            'SELECT there.key, there.image, there.mask, of_image, of_mask, here.image, here.mask '
            'FROM there CROSS JOIN here USING (key) ORDER BY place'
        )
        for key, image, mask, of_image, of_mask, image_now, mask_now in pair_table.rows(self._database, query):
            yield Match(SourcePair(key, image, mask), (of_image, of_mask), SourcePair(key, image_now, mask_now))

    def pairs(self, keys: Iterable[str]) -> Iterator[SourcePair]:
        """The pairs of some keys, as far as there are such, in the order of the keys."""
        query = 'SELECT key, image, mask FROM here WHERE key = ?'
        found = (self._database.execute(query, (key,)).fetchone() for key in sorted(set(keys)))
        return (SourcePair(*row) for row in found if row is not None)

    def close(self) -> None:
        """Removes the file."""
        self._database.close()
