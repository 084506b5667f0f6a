"""A data set of an object store, fetched once to this disk."""

import hashlib
import os
import shutil

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.progress import Progress
from seg_pipeline.storage import atomic, checksums
from seg_pipeline.storage.checksums import FileDigest


def fetch(address: str) -> str:
    """Fetches what is not here yet, and checks every file, fetched or found, against the manifest.

    Several processes may do so at once: a file gets its name when it is complete and checked. The manifest comes last.

    Args:
        address: of a data set that prepare_dataset made, in an object store.

    Returns:
        The directory of the copy, in the user's cache: below $XDG_CACHE_HOME, by default ~/.cache. Equal contents are
        always in the same one, others never.

    Raises:
        UserError: there is no data set, or the files of the store are not those of its manifest.
        OutsideError: the disk is full, or the store out of reach.
    """
    manifest = manifest_lib.read(address)
    content = manifest.to_bytes()
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    place = os.path.join(cache, 'seg_pipeline', 'datasets', manifest.dataset_name, manifest.config_name)
    directory = os.path.join(place, f'{manifest.version}-{hashlib.sha256(content).hexdigest()[:16]}')
    wanted = {name: FileDigest(file.num_bytes, file.sha256) for name, file in manifest.files.items()}
    wanted |= {shard.name: FileDigest(shard.num_bytes, shard.sha256) for shard in manifest.shards}
    with storage.writing(directory), Progress(sum(file.num_bytes for file in wanted.values()), 'bytes') as shown:
        done = 0
        for name, expected in wanted.items():
            target = os.path.join(directory, *name.split('/'))
            if not os.path.exists(target) or checksums.problem(target, expected):
                _fetch(f'{address.rstrip("/")}/{name}', target, expected)
            done += expected.num_bytes
            shown.update(done, place=f'fetching {address}')
        atomic.write(os.path.join(directory, manifest_lib.FILE_NAME), content)
    return directory


def _fetch(address: str, target: str, expected: FileDigest) -> None:
    with storage.local_copy(address) as path:
        if problem := checksums.problem(path, expected):
            said = problem.replace(path, address)
            raise errors.UserError(f'{said}; prepare the data set again')
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(path, 'rb') as source, atomic.replacing(target) as file:
            shutil.copyfileobj(source, file)
