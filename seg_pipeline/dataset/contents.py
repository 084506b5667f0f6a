"""Whether the files beside the shards say what the manifest says: their digests may have been computed anew."""

import os
from collections.abc import Callable
from typing import Any

from seg_pipeline import storage
from seg_pipeline.dataset import manifest, provenance, record_index, tfds_metadata, typed_json
from seg_pipeline.dataset.manifest import Manifest
from seg_pipeline.dataset.statistics import SplitSummary

_Check = Callable[[Manifest, bytes], str | None]


def problem(dataset_dir: str, present: Manifest, name: str) -> str | None:
    """What is wrong with the contents of a file; None if nothing is, or if nothing is known of such a file.

    Args:
        dataset_dir: the data set.
        present: its manifest.
        name: a file that the manifest names, whose digest is right.
    """
    check = _CHECKS.get(name)
    if check is None:
        return None
    try:
        return check(present, storage.read_bytes(os.path.join(dataset_dir, name)))
    except ValueError as error:
        return f'damaged: {error}'
    except OSError as error:
        return f'{error.strerror or error}'


def _statistics(present: Manifest, data: bytes) -> str | None:
    found = typed_json.read(dict[str, SplitSummary], typed_json.parse(data), 'statistics')
    here = {split: summary.num_records for split, summary in found.items()}
    there = {split: present.num_records(split) for split in present.split_names}
    return None if here == there else f'counts records of {here}, the manifest of {there}'


def _duplicates(present: Manifest, data: bytes) -> str | None:
    typed_json.read(list[list[dict[str, Any]]], typed_json.parse(data), 'duplicates')
    return None


def _rejected(present: Manifest, data: bytes) -> str | None:
    record_index.parse_rejects(data)
    return None


def _provenance(present: Manifest, data: bytes) -> str | None:
    provenance.parse(data)
    return None


def _features(present: Manifest, data: bytes) -> str | None:
    typed_json.read(dict[str, Any], typed_json.parse(data), 'features')
    return None


def _class_names(present: Manifest, data: bytes) -> str | None:
    wanted = '\n'.join(present.label_map.names)
    return None if data.decode().rstrip('\n') == wanted else 'has other class names than the manifest'


def _dataset_info(present: Manifest, data: bytes) -> str | None:
    return tfds_metadata.contradiction(
        typed_json.read(dict[str, Any], typed_json.parse(data), 'info'),
        name=present.dataset_name,
        version=present.version,
        config=present.config_name,
        shards={
            split: [(shard.name, shard.num_records) for shard in present.split_shards(split)]
            for split in present.split_names
        },
    )


_CHECKS: dict[str, _Check] = {
    manifest.STATISTICS_FILE: _statistics,
    manifest.DUPLICATES_FILE: _duplicates,
    manifest.REJECTED_FILE: _rejected,
    manifest.PROVENANCE_FILE: _provenance,
    tfds_metadata.FEATURES_FILE: _features,
    tfds_metadata.CLASS_NAMES_FILE: _class_names,
    tfds_metadata.COMMIT_FILE: _dataset_info,
}
