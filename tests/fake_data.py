"""Small data sets for the tests: pairs with a pattern that a network can learn, and the data set made of them."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from seg_pipeline import records
from seg_pipeline.building import fingerprints, markers, publish, shard, work_dir
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import formats
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing, plan_files, sharding
from seg_pipeline.planning import splits as splits_lib
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.split_options import SplitOptions

# What differs where the command differs: two hold it, the manifest holds their digests.
FILES_WITH_THE_COMMAND = (manifest.FILE_NAME, manifest.CARD_FILE, manifest.PROVENANCE_FILE)


def draw_pair(number: int, size: tuple[int, int], num_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A photo of coloured rectangles on noise, and its mask: the class of a rectangle decides its colour.

    Returns:
        (H, W, 3) uint8 RGB and (H, W) uint8.
    """
    random = np.random.default_rng((seed, number))
    mask = np.zeros(size, np.uint8)
    for class_id in range(1, num_classes):
        top, left = random.integers(0, size[0] // 2), random.integers(0, size[1] // 2)
        height, width = random.integers(2, max(3, size[0] // 2)), random.integers(2, max(3, size[1] // 2))
        mask[top : top + height, left : left + width] = class_id
    colors = np.stack([np.arange(256) * 97 % 200, np.arange(256) * 53 % 200, np.arange(256) * 31 % 200], axis=-1)
    image = colors[mask] + random.integers(0, 40, (*size, 3))
    return image.astype(np.uint8), mask


def write_pairs(
    directory: str | os.PathLike[str],
    num_pairs: int = 9,
    size: tuple[int, int] = (48, 40),
    num_classes: int = 4,
    seed: int = 0,
) -> None:
    """Writes images/img_0001.png, masks/seg_0001.png, ... and labels.csv."""
    root = pathlib.Path(directory)
    (root / 'images').mkdir(parents=True)
    (root / 'masks').mkdir()
    for number in range(1, num_pairs + 1):
        image, mask = draw_pair(number, size, num_classes, seed)
        cv2.imwrite(str(root / 'images' / f'img_{number:04d}.png'), image[..., ::-1])
        cv2.imwrite(str(root / 'masks' / f'seg_{number:04d}.png'), mask)
    rows = [f'{i},{"background" if i == 0 else f"class {i}"}\n' for i in range(num_classes)]
    (root / 'labels.csv').write_text('i,label_list\n' + ''.join(rows))


def make_dataset(
    output_dir: str | os.PathLike[str],
    num_pairs: int = 9,
    image_size: tuple[int, int] = (32, 32),
    num_classes: int = 4,
    splits: str = 'train:0.8,validation:0.2',
    seed: int = 0,
    num_shards: str = '',
    source_size: tuple[int, int] = (48, 40),
    **options: Any,
) -> str:
    """Prepares a data set with the functions of the Beam job, without Beam, and returns its directory.

    `options` are further ones of `RecordOptions`.
    """
    source = pathlib.Path(output_dir) / 'source'
    write_pairs(source, num_pairs, source_size, num_classes, seed)
    splitting = SplitOptions(splits_lib.parse_fractions(splits), seed=seed, num_shards=num_shards)
    config = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(output_dir),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=image_size, **options),
        split_options=splitting.to_json(),
    )
    return prepare(config, splitting)


def prepare(config: BuildConfig, splitting: SplitOptions | None = None, **options: Any) -> str:
    """Makes a data set in this process and returns its directory; `options` are those of `request_for`."""
    splitting = splitting or SplitOptions()
    sources, records_options = config.sources, config.records
    pairs = pairing.match_pairs(
        pairing.list_files(sources.images), pairing.list_files(sources.masks, formats.MASK_SUFFIXES)
    ).pairs
    split_of = splits_lib.assign((pair.key for pair in pairs), splitting.fractions, splitting.seed)
    counts = sharding.parse_counts(splitting.num_shards, splitting.names)
    plans = sharding.plan(
        pairs, split_of, counts, splitting.seed, config.dataset_name, file_format=records_options.file_format
    )
    return publish_plans(
        config, list(fingerprints.with_fingerprints(sources, records_options, plans)), **options
    ).directory


def publish_plans(config: BuildConfig, plans: Sequence[sharding.ShardPlan], **options: Any) -> markers.Outcome:
    """Makes the shards of some plans and publishes them; `options` are those of `request_for`."""
    made = markers.Summaries.of(shard.write(config.sources, config.records, config.work_dir, plan) for plan in plans)
    with request_for(config, plans, **options) as request:
        return publish.publish(request, made)


@contextlib.contextmanager
def request_for(
    config: BuildConfig,
    plans: Sequence[sharding.ShardPlan],
    assignments: Mapping[str, Assignment] | None = None,
    rejects: Sequence[Reject] = (),
    duplicates: Sequence[Sequence[str]] = (),
    **options: Any,
) -> Iterator[publish.PublishRequest]:
    """What `publish` needs beside shards; the plan is there until the block ends."""
    with_reasons = (plan_files.ShardToMake(plan, assignments or {}) for plan in plans)
    written = plan_files.written(config.work_dir, with_reasons, rejects=rejects, duplicates=duplicates)
    with written as (plan, _):
        yield publish.PublishRequest(config, plan, **options)
    work_dir.remove_stale(config.work_dir)


def read_split(dataset_dir: str, split: str) -> list[records.Record]:
    """All records of a split, as numpy."""
    found = manifest.read(dataset_dir)
    return [record for path in found.shard_paths(dataset_dir, split) for record in records.read(path)]
