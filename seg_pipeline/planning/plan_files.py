"""A plan as files in the work directory, so that what an engine carries does not grow with the data set.

The job graph holds the name of one directory, what travels between workers is a `PlannedShard`, of some hundred bytes,
and a worker reads the pairs of the one shard that it makes:

    plan-<random>/shards.jsonl       one `PlannedShard` a line
    plan-<random>/<number>.jsonl     parts: the pairs of some shards, one a line, each with its assignment
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
# A worker in an object store reads the whole part for each of its shards, a local one the bytes of its shard alone.
_PAIRS_PER_PART = 10_000
_FIELDS = operator.attrgetter(*(field.name for field in dataclasses.fields(Assignment)))


@dataclasses.dataclass(frozen=True)
class PlannedShard:
    """A shard of a plan, without its pairs.

    Attributes:
        name, split, fingerprint: as of the `ShardPlan`.
        num_pairs: how many it has.
        part: the file that has them.
        start, end: where in it, in bytes.
    """

    name: str
    split: str
    fingerprint: str
    num_pairs: int
    part: str
    start: int
    end: int

    @property
    def plan(self) -> str:
        """The name of the directory of the plan."""
        return self.part.split('/')[-2]

    def load(self) -> ShardPlan:
        """The shard with its pairs.

        Raises:
            OSError: if the plan cannot be read.
        """
        pairs = tuple(SourcePair(*line[:3]) for line in self._lines())
        return ShardPlan(self.name, self.split, pairs, self.fingerprint)

    def assignments(self) -> dict[str, Assignment]:
        """Of each key of the shard that has one, why it is in this split.

        Raises:
            OSError: if the plan cannot be read.
        """
        return {line[0]: Assignment(*line[3:]) for line in self._lines() if len(line) > 3}

    def _lines(self) -> Iterator[list]:  # type: ignore[type-arg]
        return map(json.loads, storage.read_range(self.part, self.start, self.end).splitlines())


@dataclasses.dataclass(frozen=True)
class Plan:
    """A plan that `write` has left.

    Attributes:
        directory: where it is.
    """

    directory: str

    def shards(self) -> Iterator[PlannedShard]:
        """The shards, in the order in which they were planned."""
        return (PlannedShard(**found) for found in self._read(_SHARDS))

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
    plans: Iterable[tuple[ShardPlan, Mapping[str, Assignment]]],
    *,
    rejects: Iterable[Reject] = (),
    duplicates: Iterable[Sequence[str]] = (),
) -> Iterator[tuple[Plan, list[PlannedShard]]]:
    """Writes a plan, which is there until the block ends.

    Args:
        work_dir: the work directory.
        plans: the shards, with their fingerprints, and of their keys why they are there; a key without an entry has no
            reason. Those of one shard are held at a time.
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
        shards = list(_write_parts(plan.directory, iter(plans)))
        _write_lines(plan, _SHARDS, map(dataclasses.asdict, shards))
        _write_lines(plan, _REJECTED, map(dataclasses.asdict, rejects))
        _write_lines(plan, _DUPLICATES, map(list, duplicates))
        yield plan, shards


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


def _write_parts(directory: str, plans: Iterator[tuple[ShardPlan, Mapping[str, Assignment]]]) -> Iterator[PlannedShard]:
    """Writes the pairs of shards into parts; yields each shard with its place, when its part is written."""
    for number in itertools.count():
        shards: list[PlannedShard] = []
        part = os.path.join(directory, f'{number:05d}.jsonl')
        with storage.replacing(part) as file:
            num_pairs = 0
            for plan, assignments in plans:
                start = file.tell()
                file.writelines(_line(_pair(pair, assignments.get(pair.key))) for pair in plan.pairs)
                size, end = len(plan.pairs), file.tell()
                shards.append(PlannedShard(plan.name, plan.split, plan.fingerprint, size, part, start, end))
                num_pairs += size
                if num_pairs >= _PAIRS_PER_PART:
                    break
        if not shards:
            storage.remove(part)
            return
        yield from shards


def _pair(pair: SourcePair, assignment: Assignment | None) -> list[object]:
    return [pair.key, pair.image, pair.mask, *_FIELDS(assignment)] if assignment else [pair.key, pair.image, pair.mask]


def _write_lines(plan: Plan, name: str, lines: Iterable[object]) -> None:
    with storage.replacing(os.path.join(plan.directory, name)) as file:
        file.writelines(map(_line, lines))


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b'\n'
