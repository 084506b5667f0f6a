"""What the tests of building share: a small configuration and its plans."""

import dataclasses
import pathlib

import cv2
import numpy as np

from seg_pipeline.building import fingerprints, shard
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.building.markers import Result
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing, sharding
from tests import fake_data


def make_config(root, **options):
    """The configuration of a data set of `root/source`, in `root/out`."""
    source = root / 'source'
    return BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(root / 'out'),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 16), **options),
        split_options={'splits': {'train': '4/5', 'validation': '1/5'}, 'seed': 0},
    )


def with_records(config, **options):
    """The same configuration with other record options."""
    return dataclasses.replace(config, records=dataclasses.replace(config.records, **options))


def plans_of(config, shards=2):
    """The plans of all pairs, two of them in validation."""
    sources = config.sources
    pairs = pairing.match_pairs(pairing.list_files(sources.images), pairing.list_files(sources.masks)).pairs
    split_of = {pair.key: 'validation' if pair.key in ('0003', '0008') else 'train' for pair in pairs}
    plans = sharding.plan(pairs, split_of, {'train': shards}, 0, config.dataset_name)
    return list(fingerprints.with_fingerprints(sources, config.records, plans))


def write_shard(config, plan):
    """Makes the shard of a plan."""
    return shard.write(config.sources, config.records, config.work_dir, plan)


def publish_plans(config, plans, **options):
    """Makes the shards of the plans and publishes them; the directory of the data set."""
    outcome = fake_data.publish_plans(config, plans, **options)
    assert outcome.result is Result.PUBLISHED
    return outcome.directory


def spoil(config):
    """Gives one mask an id that the label table does not have."""
    mask = pathlib.Path(config.sources.masks) / 'seg_0004.png'
    cv2.imwrite(str(mask), np.full((48, 40), 77, np.uint8))
