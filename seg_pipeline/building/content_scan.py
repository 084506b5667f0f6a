"""The content scan: what must be known of all pairs before they are split, their perceptual hashes and classes.

Batches of pairs are scanned by the workers. Each leaves its result in the work directory, under a name that follows
from the contents of the batch, so that an interrupted job does not repeat it; the command reads the results there.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from seg_pipeline import errors, storage
from seg_pipeline.building import fingerprints, pair
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.building.pair import Files
from seg_pipeline.imaging import images, perceptual_hash, rejects
from seg_pipeline.large_plans.assigning import LargeContents
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.plan_files import PlannedShard
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.planning.split_options import Contents, SplitOptions
from seg_pipeline.storage import attempts
from seg_pipeline.storage.attempts import Attempt

_SCAN_FORMAT = 1  # part of every name: raise it when equal inputs no longer give equal results
PAIRS_PER_BATCH = 100
_MOST_BATCHES = 10_000  # each leaves a file; of more pairs, the batches grow

_Found = dict[str, tuple[int | None, list[int]]]  # by key: the hash, and the ids in the mask


@dataclasses.dataclass(frozen=True)
class Scan:
    """What to find out: perceptual hashes of images, classes of masks, or both."""

    hashes: bool
    classes: bool

    @classmethod
    def of(cls, splits: SplitOptions) -> 'Scan | None':
        """What must be known to split so; None if nothing."""
        needed = cls(splits.needs_hashes, splits.needs_classes)
        return needed if needed.hashes or needed.classes else None


def plan(
    sources: SourceFolders, options: RecordOptions, what: Scan, pairs: Sequence[SourcePair]
) -> Iterator[ShardPlan]:
    """Cuts the pairs into batches, each with the fingerprint of what decides its result."""
    size = max(PAIRS_PER_BATCH, -(-len(pairs) // _MOST_BATCHES))
    parts = (pairs[start : start + size] for start in range(0, len(pairs), size))
    plans = (ShardPlan(f'batch {number}', 'scan', tuple(part)) for number, part in enumerate(parts))
    salt = f'{_SCAN_FORMAT}/{what.hashes}/{what.classes}/'
    for batch in fingerprints.with_fingerprints(sources, options, plans):
        yield dataclasses.replace(batch, fingerprint=hashlib.sha256(f'{salt}{batch.fingerprint}'.encode()).hexdigest())


def result_path(work_dir: str, batch_fingerprint: str) -> str:
    """Where the result of a batch is kept."""
    return os.path.join(work_dir, f'{batch_fingerprint}.scan')


def scan(
    sources: SourceFolders,
    options: RecordOptions,
    work_dir: str,
    what: Scan,
    batch: ShardPlan,
    *,
    paranoid: bool = False,
) -> None:
    """Scans one batch, one pair at a time, or finds it scanned; a paranoid one scans it in any case.

    Raises:
        UserError: if the output cannot be written.
    """
    if not paranoid and _read(work_dir, batch.fingerprint) is not None:
        return
    path = result_path(work_dir, batch.fingerprint)
    with (
        storage.writing(path),
        attempts.noted(work_dir, batch.fingerprint, [source.key for source in batch.pairs]) as attempt,
    ):
        found = _scan_pairs(sources, options, what, batch, attempt)
        storage.write(path, json.dumps(found).encode())


def _scan_pairs(
    sources: SourceFolders, options: RecordOptions, what: Scan, batch: ShardPlan, attempt: Attempt
) -> _Found:
    found: _Found = {}
    work: Callable[[Files, RecordOptions, SourcePair], tuple[int | None, list[int]]]
    work, read = functools.partial(_scan_pair, what), pair.read_files
    if not what.classes:  # half the work: the mask is not read
        work, read = _scan_image, pair.read_image_file
    for source in batch.pairs:
        try:
            found[source.key] = pair.handle(work, sources, options, source, attempt, read)
        except rejects.RejectError:
            continue  # it is reported when its shard is made
    return found


def _scan_image(files: Files, options: RecordOptions, source: SourcePair) -> tuple[int | None, list[int]]:
    image = images.decode_image(files.image, source.image, options.max_pixels)
    return perceptual_hash.perceptual_hash(image), []


def _scan_pair(what: Scan, files: Files, options: RecordOptions, source: SourcePair) -> tuple[int | None, list[int]]:
    decoded = pair.decode(files, options, source)
    # Of the mask as stored: resizing may drop a small class.
    counts = np.bincount(pair.resize_mask(options, decoded.mask).ravel(), minlength=256)
    ids = [int(i) for i in np.flatnonzero(counts) if i != options.label_map.ignore_id]
    return perceptual_hash.perceptual_hash(decoded.image) if what.hashes else None, ids


def read(work_dir: str, batch_fingerprints: Iterable[str]) -> Contents:
    """Reads the results of all batches.

    Raises:
        UserError: if one is missing.
    """
    hashes: dict[str, int] = {}
    classes: dict[str, tuple[int, ...]] = {}
    for fingerprint in batch_fingerprints:
        found = _read_known(work_dir, fingerprint)
        hashes.update({key: value for key, (value, _) in found.items() if value is not None})
        classes.update({key: tuple(ids) for key, (_, ids) in found.items()})
    return Contents(hashes, classes)


def read_many(work_dir: str, batches: Iterable[PlannedShard], num_pairs: int, what: Scan) -> LargeContents:
    """Reads the results of all batches into arrays.

    Args:
        work_dir: the work directory.
        batches: in the order of the pairs.
        num_pairs: of all batches.
        what: was asked for.

    Raises:
        UserError: if one is missing.
    """
    result = LargeContents.unknown(num_pairs, what.hashes, what.classes)
    first = 0
    for batch in batches:
        found = _read_known(work_dir, batch.fingerprint)
        for place, source in enumerate(batch.load().pairs, first):
            if source.key in found:
                value, ids = found[source.key]
                result.known[place] = True
                if value is not None:
                    result.hashes[place] = value
                for class_id in ids:
                    result.classes[place, class_id // 8] |= 1 << class_id % 8
        first += batch.num_pairs
    return result


def remove(work_dir: str, batch_fingerprints: Iterable[str]) -> None:
    """Removes the results of batches that are no longer needed."""
    for fingerprint in batch_fingerprints:
        storage.remove(result_path(work_dir, fingerprint))


def _read_known(work_dir: str, fingerprint: str) -> _Found:
    found = _read(work_dir, fingerprint)
    if found is None:
        raise errors.UserError(f'{result_path(work_dir, fingerprint)}: is missing; run the command again')
    return found


def _read(work_dir: str, fingerprint: str) -> _Found | None:
    try:
        found: _Found = json.loads(storage.read_bytes(result_path(work_dir, fingerprint)))
    except (OSError, ValueError):
        return None
    return found
