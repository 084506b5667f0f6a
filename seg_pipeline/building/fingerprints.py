"""Fingerprints of shards: what decides the bytes of a shard as one digest.

The fingerprint of a shard is its name in the work directory. It must be had before any file is read, so it takes the
size and time of each source for its contents, as `make` does. The fingerprint of a data set is another thing: it takes
the SHA-256 of everything that is published, see `Manifest.computed_fingerprint`.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import PIL
import simplejpeg

from seg_pipeline import storage
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.planning import sharding
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import writer

RECORD_FORMAT = 3  # part of every fingerprint: raise it when equal inputs no longer give equal bytes or equal markers


def library_versions(file_format: str) -> dict[str, str]:
    """The versions of the libraries whose code decides the bytes of a shard."""
    versions = {
        'numpy': np.__version__,
        'opencv': cv2.__version__,
        'pillow': PIL.__version__,
        'simplejpeg': simplejpeg.__version__,
    }
    if file_format == writer.ARRAY_RECORD:
        versions['array_record'] = importlib.metadata.version('array_record')
    return versions


class Fingerprinter:
    """Gives plans of shards their fingerprints.

    Args:
        sources: where the pairs are; listed now where a store has no other way to tell sizes and times.
        options: what decides the bytes of the records.
    """

    def __init__(self, sources: SourceFolders, options: RecordOptions) -> None:
        # Two listings where a store has no other way, instead of two requests for each pair.
        self._image_of, self._mask_of = storage.statuses(sources.images), storage.statuses(sources.masks)
        self._shared = {
            'format': RECORD_FORMAT,
            'label_map': options.label_map.to_json(),
            'libraries': library_versions(options.file_format),
            'options': options.to_json(),
        }

    def __call__(self, plan: ShardPlan) -> ShardPlan:
        """The same plan with its fingerprint."""
        return self.with_units(plan, len(plan.pairs) or 1)[0]

    def with_units(self, plan: ShardPlan, most: int) -> tuple[ShardPlan, list[ShardPlan]]:
        """The same plan with its fingerprint, and the units of at most so many pairs that it is made in, with theirs.

        A shard of one unit is that unit. The fingerprint of a shard does not depend on its units.
        """
        stamped = [
            [pair.key, pair.image, pair.mask, _stamp(self._image_of(pair.image)), _stamp(self._mask_of(pair.mask))]
            for pair in plan.pairs
        ]
        whole = dataclasses.replace(plan, fingerprint=self._fingerprint(stamped))
        parts = sharding.units(len(plan.pairs), most)
        if len(parts) == 1:
            return whole, [whole]
        return whole, [
            dataclasses.replace(plan, pairs=plan.pairs[part], fingerprint=self._fingerprint(stamped[part]))
            for part in parts
        ]

    def _fingerprint(self, stamped: Sequence[Any]) -> str:
        # Neither the name of the shard nor its split: another plan may take over the same pairs in the same order.
        text = json.dumps({**self._shared, 'pairs': stamped}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def with_fingerprints(
    sources: SourceFolders, options: RecordOptions, plans: Iterable[ShardPlan]
) -> Iterator[ShardPlan]:
    """The same plans, each with its fingerprint, one after another."""
    return map(Fingerprinter(sources, options), plans)


def _stamp(found: storage.Entry | None) -> list[int]:
    # A file that is missing or cannot be read gives its reject when the shard is made.
    return [] if found is None else [found.num_bytes, found.modified_ns]
