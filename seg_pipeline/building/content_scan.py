"""What must be known of the contents of all pairs before they are split: perceptual hashes and classes.

Batches of pairs are scanned by the workers. Each leaves its result in the work directory, under a name that follows
from the contents of the batch, so that an interrupted job does not repeat it; the command reads them from there.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from seg_pipeline import errors, storage
from seg_pipeline.building import preparation
from seg_pipeline.building.preparation import Preparation
from seg_pipeline.imaging import images, perceptual_hash, rejects
from seg_pipeline.planning.pairing import Pair
from seg_pipeline.planning.sharding import ShardPlan

_SCAN_FORMAT = 1  # part of every name: raise it when equal inputs no longer give equal results
PAIRS_PER_BATCH = 100


@dataclasses.dataclass(frozen=True)
class Scan:
    """What to find out: perceptual hashes of images, classes of masks, or both."""

    hashes: bool
    classes: bool


@dataclasses.dataclass(frozen=True)
class Findings:
    """What was found, by key; pairs that will be rejected have no entry.

    Attributes:
        hashes: the perceptual hash of each image.
        classes: the ids in each mask as stored, without the ignored id.
    """

    hashes: Mapping[str, int]
    classes: Mapping[str, tuple[int, ...]]


def plan(job: Preparation, what: Scan, pairs: Sequence[Pair]) -> list[ShardPlan]:
    """Cuts the pairs into batches, each with the fingerprint of what decides its result."""
    parts = [pairs[start : start + PAIRS_PER_BATCH] for start in range(0, len(pairs), PAIRS_PER_BATCH)]
    plans = [ShardPlan(f'batch {number}', 'scan', tuple(part)) for number, part in enumerate(parts)]
    salt = f'{_SCAN_FORMAT}/{what.hashes}/{what.classes}/'
    return [
        dataclasses.replace(batch, fingerprint=hashlib.sha256(f'{salt}{batch.fingerprint}'.encode()).hexdigest())
        for batch in preparation.with_fingerprints(job, plans)
    ]


def result_path(job: Preparation, batch_fingerprint: str) -> str:
    """Where the result of a batch is kept."""
    return os.path.join(job.work_dir, f'{batch_fingerprint}.scan')


def scan(job: Preparation, what: Scan, batch: ShardPlan) -> None:
    """Scans one batch, one pair at a time, or finds it scanned.

    Raises:
        UserError: if the output cannot be written.
    """
    if _read(job, batch) is not None:
        return
    found = {}
    for pair in batch.pairs:
        try:
            found[pair.key] = _scan_pair(job, what, pair)
        except rejects.RejectError:
            continue  # making the shard tells
    path = result_path(job, batch.fingerprint)
    with storage.writing(path):
        storage.write(path, json.dumps(found).encode())


def _scan_pair(job: Preparation, what: Scan, pair: Pair) -> tuple[int | None, list[int]]:
    if not what.classes:
        image = images.read_image(os.path.join(job.images, pair.image), job.max_pixels)
        return perceptual_hash.perceptual_hash(image), []
    decoded = preparation.decode_pair(job, pair)
    counts = np.bincount(preparation.stored_mask(job, decoded).ravel(), minlength=256)
    ids = [int(i) for i in np.flatnonzero(counts) if i != job.label_map.ignore_id]
    return perceptual_hash.perceptual_hash(decoded.image) if what.hashes else None, ids


def read(job: Preparation, batches: Iterable[ShardPlan]) -> Findings:
    """Reads the results of all batches.

    Raises:
        UserError: if one is missing.
    """
    hashes: dict[str, int] = {}
    classes: dict[str, tuple[int, ...]] = {}
    for batch in batches:
        found = _read(job, batch)
        if found is None:
            raise errors.UserError(f'{result_path(job, batch.fingerprint)}: has gone; run the command again')
        hashes.update({key: value for key, (value, _) in found.items() if value is not None})
        classes.update({key: tuple(ids) for key, (_, ids) in found.items()})
    return Findings(hashes, classes)


def forget(job: Preparation, batches: Iterable[ShardPlan]) -> None:
    """Removes the results of batches when they have served."""
    for batch in batches:
        storage.remove(result_path(job, batch.fingerprint))


def _read(job: Preparation, batch: ShardPlan) -> dict[str, tuple[int | None, list[int]]] | None:
    try:
        return json.loads(storage.read_bytes(result_path(job, batch.fingerprint)))
    except (OSError, ValueError):
        return None
