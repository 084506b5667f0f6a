"""How a data set appears on an object store, which has no directories to rename.

The shards are copied to their final names by the store, the other files follow, and last come the two that readers
look for first: TFDS's dataset_info.json, then the manifest. A reader that finds either finds all files that it names;
one that finds neither sees no data set. A command that is killed before that leaves objects that the next one writes
again or removes.
"""

import os
import shutil
from collections.abc import Mapping
from concurrent import futures

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest, tfds_metadata

_THREADS = 8  # copies run in the store: this process only waits for them


def place_shards(dataset_dir: str, shards: Mapping[str, str]) -> None:
    """Copies finished shards to where the data set will be.

    Args:
        dataset_dir: an address; there is no data set yet.
        shards: the address of each shard, by its name in the data set.

    Raises:
        OSError: if the store refuses.
    """
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda name: storage.copy(shards[name], os.path.join(dataset_dir, name)), shards):
            pass


def commit(staging: str, dataset_dir: str, built: manifest.Manifest) -> None:
    """Uploads the files beside the shards, the two that make it a data set last.

    Args:
        staging: a directory of this disk with all files but the shards.
        dataset_dir: the address where the shards are.
        built: the manifest.

    Raises:
        UserError: if another command published something else there in the meantime.
        OSError: if the store refuses.
    """
    known = {*built.files, *(shard.name for shard in built.shards), manifest.FILE_NAME}
    for name in set(storage.names(dataset_dir)) - known:  # what a killed command of other options left
        storage.remove(os.path.join(dataset_dir, name))
    names = sorted(built.files, key=lambda name: (name == tfds_metadata.COMMIT_FILE, name))
    for name in (*names, manifest.FILE_NAME):
        _upload(os.path.join(staging, name), os.path.join(dataset_dir, name))
    if (found := manifest.read(dataset_dir).fingerprint) != built.fingerprint:
        raise errors.UserError(
            f'{dataset_dir}: another command published a data set of fingerprint {found[:12]} at the same time, this '
            f'one has {built.fingerprint[:12]}; remove it, and run one of them again'
        )


def _upload(path: str, address: str) -> None:
    with open(path, 'rb') as source, storage.replacing(address) as target:
        shutil.copyfileobj(source, target)
