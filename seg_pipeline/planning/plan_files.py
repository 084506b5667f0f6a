"""A plan as files in the work directory, so that what an engine carries does not grow with the data set.

The job graph holds the name of one directory, what travels between workers is a `PlannedShard`, of some hundred bytes,
and a worker reads the pairs of the one shard that it makes:

    plan-<random>/shards.jsonl       one `PlannedShard` a line
    plan-<random>/<number>.jsonl     the pairs of some shards, one a line, each with its assignment
    plan-<random>/rejected.jsonl     what was rejected before anything was decoded
    plan-<random>/duplicates.jsonl   the keys of each set of identical or nearly identical images

The name is random, since two commands may have one plan, and the one that ends first removes its own. The writer holds
a lock (flock) on the directory while it needs the plan, which the kernel drops with the process: so the plan of a
killed command is told from that of a living one. An object store has no locks: there `--clean` removes what is left.
"""

import contextlib
import dataclasses
import fcntl
import itertools
import json
import operator
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence

from seg_pipeline import storage
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan

PREFIX = 'plan-'
_SHARDS, _REJECTED, _DUPLICATES = 'shards.jsonl', 'rejected.jsonl', 'duplicates.jsonl'
_PAIRS_PER_FILE = 10_000
_FIELDS = operator.attrgetter(*(field.name for field in dataclasses.fields(Assignment)))


@dataclasses.dataclass(frozen=True)
class ShardToMake:
    """What is to be said of a shard in a plan.

    Attributes:
        plan: the shard, with its fingerprint.
        assignments: of its keys, why they are there; one without an entry has no reason.
        units: the parts in which it is made, each with its fingerprint; none if it is made at once.
    """

    plan: ShardPlan
    assignments: Mapping[str, Assignment] = dataclasses.field(default_factory=dict)
    units: Sequence[ShardPlan] = ()


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """A shard of a plan, without its pairs.

    Attributes:
        name, split, fingerprint: as of the `ShardPlan`.
        num_pairs: how many it has.
        file: the file that has them.
        start, end: where in it, in bytes.
        unit_sizes: how many pairs each of the parts has in which it is made; none if it is made at once.
        unit_fingerprints: the fingerprint of each of them.
    """

    name: str
    split: str
    fingerprint: str
    num_pairs: int
    file: str
    start: int
    end: int
    unit_sizes: tuple[int, ...] = ()
    unit_fingerprints: tuple[str, ...] = ()

    @property
    def plan(self) -> str:
        """The name of the directory of the plan."""
        return self.file.split('/')[-2]

    @property
    def units(self) -> 'list[PlannedUnit]':
        """What is given to workers: its parts, or all of it."""
        return [PlannedUnit(self, place) for place in range(len(self.unit_sizes) or 1)]

    def load(self) -> ShardPlan:
        """The shard with its pairs.

        Raises:
            OSError: if the plan cannot be read.
        """
        pairs = tuple(SourcePair(*line[:3]) for line in self._lines())
        return ShardPlan(self.name, self.split, pairs, self.fingerprint)

    def load_units(self) -> list[ShardPlan]:
        """Its parts with their pairs; none if it is made at once.

        Raises:
            OSError: if the plan cannot be read.
        """
        if not self.unit_sizes:
            return []
        pairs = iter(self.load().pairs)
        return [
            ShardPlan(self.name, self.split, tuple(itertools.islice(pairs, size)), fingerprint)
            for size, fingerprint in zip(self.unit_sizes, self.unit_fingerprints, strict=True)
        ]

    def assignments(self) -> dict[str, Assignment]:
        """Of each key of the shard that has one, why it is in this split.

        Raises:
            OSError: if the plan cannot be read.
        """
        return {line[0]: Assignment(*line[3:]) for line in self._lines() if len(line) > 3}

    def _lines(self) -> Iterator[list]:  # type: ignore[type-arg]
        return map(json.loads, storage.read_range(self.file, self.start, self.end).splitlines())


@dataclasses.dataclass(frozen=True)
class PlannedUnit:
    """What one worker takes at a time: a shard, or a part of one.

    Attributes:
        shard: the shard.
        place: which of its parts; 0 if it is made at once.
    """

    shard: PlannedShard
    place: int

    @property
    def fingerprint(self) -> str:
        """That of the part; of the shard if it is made at once."""
        found = self.shard.unit_fingerprints
        return found[self.place] if found else self.shard.fingerprint

    @property
    def num_pairs(self) -> int:
        """How many pairs it has."""
        return self.shard.unit_sizes[self.place] if self.shard.unit_sizes else self.shard.num_pairs

    def load(self) -> ShardPlan:
        """The part with its pairs, or the shard if it is made at once.

        Raises:
            OSError: if the plan cannot be read.
        """
        parts = self.shard.load_units()
        return parts[self.place] if parts else self.shard.load()


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan that `write` has left.

    Attributes:
        directory: where it is.
    """

    directory: str

    def shards(self) -> Iterator[PlannedShard]:
        """The shards, in the order in which they were planned."""
        for found in self._read(_SHARDS):
            lists = {name: tuple(found[name]) for name in ('unit_sizes', 'unit_fingerprints')}
            yield PlannedShard(**{**found, **lists})

    def rejects(self) -> Iterator[Reject]:
        """What was rejected before anything was decoded."""
        return (Reject(**found) for found in self._read(_REJECTED))

    def duplicates(self) -> Iterator[tuple[str, ...]]:
        """The keys of each set of identical or nearly identical images."""
        return map(tuple, self._read(_DUPLICATES))

    def _read(self, name: str) -> Iterator:  # type: ignore[type-arg]
        with storage.local_copy(os.path.join(self.directory, name)) as path, open(path, 'rb') as file:
            yield from map(json.loads, file)

    def remove(self) -> None:
        """Removes the plan; what cannot be removed is left for the next command."""
        with contextlib.suppress(OSError):
            if storage.has_directories(self.directory):
                shutil.rmtree(self.directory)
                return
            for name in storage.names(self.directory):
                storage.remove(f'{self.directory}/{name}')


@contextlib.contextmanager
def written(
    work_dir: str,
    shards: Iterable[ShardToMake],
    *,
    rejects: Iterable[Reject] = (),
    duplicates: Iterable[Sequence[str]] = (),
) -> Iterator[tuple[Plan, list[PlannedShard]]]:
    """Writes a plan, which is there until the block ends.

    Args:
        work_dir: the work directory.
        shards: in the order of their names; the pairs of one are held at a time.
        rejects: what was rejected before anything was decoded.
        duplicates: the keys of each set of identical or nearly identical images.

    Yields:
        The plan, and its shards.

    Raises:
        OSError: if it cannot be written.
    """
    plan = Plan(os.path.join(work_dir, f'{PREFIX}{uuid.uuid4().hex}'))
    with contextlib.ExitStack() as stack:
        stack.callback(plan.remove)
        stack.enter_context(_locked(plan.directory))
        planned = list(_write_pairs(plan.directory, iter(shards)))
        _write_lines(plan, _SHARDS, map(dataclasses.asdict, planned))
        _write_lines(plan, _REJECTED, map(dataclasses.asdict, rejects))
        _write_lines(plan, _DUPLICATES, map(list, duplicates))
        yield plan, planned


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Makes a directory and holds a lock on it, see `is_living`."""
    if not storage.has_directories(directory):
        yield
        return
    os.makedirs(directory)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_living(directory: str) -> bool:
    """Whether the command that wrote a plan needs it still. On a file system without locks nobody can tell."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _write_pairs(directory: str, shards: Iterator[ShardToMake]) -> Iterator[PlannedShard]:
    """Writes the pairs of shards into files; yields each shard with its place, when its file is written."""
    for number in itertools.count():
        planned: list[PlannedShard] = []
        path = os.path.join(directory, f'{number:05d}.jsonl')
        with storage.replacing(path) as file:
            num_pairs = 0
            for shard in shards:
                plan, start = shard.plan, file.tell()
                file.writelines(_line(_pair(pair, shard.assignments.get(pair.key))) for pair in plan.pairs)
                planned.append(
                    PlannedShard(
                        plan.name,
                        plan.split,
                        plan.fingerprint,
                        len(plan.pairs),
                        path,
                        start,
                        file.tell(),
                        tuple(len(unit.pairs) for unit in shard.units),
                        tuple(unit.fingerprint for unit in shard.units),
                    )
                )
                num_pairs += len(plan.pairs)
                if num_pairs >= _PAIRS_PER_FILE:
                    break
        if not planned:
            storage.remove(path)
            return
        yield from planned


def _pair(pair: SourcePair, assignment: Assignment | None) -> list[object]:
    return [pair.key, pair.image, pair.mask, *_FIELDS(assignment)] if assignment else [pair.key, pair.image, pair.mask]


def _write_lines(plan: Plan, name: str, lines: Iterable[object]) -> None:
    with storage.replacing(os.path.join(plan.directory, name)) as file:
        file.writelines(map(_line, lines))


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b'\n'
