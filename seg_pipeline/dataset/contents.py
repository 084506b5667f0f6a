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


def problem_of_numbers(dataset_dir: str) -> str | None:
    """What TFDS would read there and the manifest contradicts: names and lengths of shards, and sizes of images.

    Without what a directory that was copied to another place says of its own name.

    Raises:
        UserError: if the manifest is damaged.
    """
    present = manifest.read(dataset_dir)
    path = os.path.join(dataset_dir, tfds_metadata.COMMIT_FILE)
    try:
        info = typed_json.read(dict[str, Any], typed_json.parse(storage.read_bytes(path)), 'info')
        found = tfds_metadata.contradiction(
            {**info, 'name': present.dataset_name, 'version': present.version, 'configName': present.config_name},
            name=present.dataset_name,
            version=present.version,
            config=present.config_name,
            shards=_shards(present),
        )
    except ValueError as error:
        found = f'damaged: {error}'
    if found:
        return f'{path}: {found}'
    if found := problem(dataset_dir, present, tfds_metadata.FEATURES_FILE):
        return f'{os.path.join(dataset_dir, tfds_metadata.FEATURES_FILE)}: {found}'
    return None


def _shards(present: Manifest) -> dict[str, list[tuple[str, int]]]:
    return {
        split: [(shard.name, shard.num_records) for shard in present.split_shards(split)]
        for split in present.split_names
    }


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
    value = typed_json.read(dict[str, Any], typed_json.parse(data), 'features')
    return tfds_metadata.features_contradiction(value, present.image_size, present.label_map.num_classes)


def _class_names(present: Manifest, data: bytes) -> str | None:
    wanted = '\n'.join(present.label_map.names)
    return None if data.decode().rstrip('\n') == wanted else 'has other class names than the manifest'


def _dataset_info(present: Manifest, data: bytes) -> str | None:
    return tfds_metadata.contradiction(
        typed_json.read(dict[str, Any], typed_json.parse(data), 'info'),
        name=present.dataset_name,
        version=present.version,
        config=present.config_name,
        shards=_shards(present),
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
