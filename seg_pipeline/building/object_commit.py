"""How a data set appears on an object store, which has no directories to rename.

The shards are copied to their final names by the store, the other files follow, and last come the two that readers
look for first: TFDS's dataset_info.json, then the manifest. A reader that finds either finds all files that it names;
one that finds neither sees no data set.

The names are the same for every data set of one version, so two commands would mix their files. Therefore each first
writes a claim, on condition that there is none: of two commands with different data sets one gets it, and the other
writes nothing. The claim has the digest of the manifest, which has those of all files: who finds a claim with the same
digest writes the same bytes, and goes on. So a command that was killed is finished by the same command. The manifest
is written on the same condition. After it the claim is removed.

A claim names all that its command places. `abandon` removes these objects and no other: whatever else is below the
address is someone else's.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent import futures

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest, place, tfds_metadata
from seg_pipeline.plurals import counted

CLAIM_FILE = place.CLAIM_FILE
_THREADS = 8  # copies run in the store: this process only waits for them
_ATTEMPTS = 10
_WAIT_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a command says before it writes.

    Attributes:
        manifest_sha256: of the manifest to come, in hex.
        fingerprint: of the data set to come; two of one fingerprint may still differ in their provenance.
        names: all that will be written, by paths below the address of the data set.
        host: the machine of the command.
        pid: its process there.
        time: when it began to write, in UTC.
    """

    manifest_sha256: str
    fingerprint: str
    names: tuple[str, ...]
    host: str
    pid: int
    time: str

    @classmethod
    def of(cls, built: manifest.Manifest) -> 'Claim':
        """The claim of this process."""
        return cls(
            hashlib.sha256(built.to_bytes()).hexdigest(),
            built.fingerprint,
            tuple(sorted((*(shard.name for shard in built.shards), *built.files))),
            socket.gethostname(),
            os.getpid(),
            time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
        )

    @classmethod
    def read(cls, dataset_dir: str) -> 'Claim | None':
        """The claim that is there, if one is.

        Raises:
            OSError: if the store refuses.
            UserError: if it is none that this version wrote.
        """
        path = os.path.join(dataset_dir, CLAIM_FILE)
        try:
            fields = json.loads(storage.read_bytes(path))
            found = cls(**{**fields, 'names': tuple(fields['names'])})
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise errors.UserError(f'{path}: is no claim of this version: {error}; remove it') from error
        if not all(isinstance(name, str) and _is_inside(name) for name in found.names):
            raise errors.UserError(f'{path}: names a file outside of the data set; remove it')
        return found

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return manifest.canonical_json(dataclasses.asdict(self))

    def __str__(self) -> str:
        return f'fingerprint {self.fingerprint[:12]}, begun {self.time} on {self.host} by process {self.pid}'


def _is_inside(name: str) -> bool:
    return bool(name) and all(part not in ('', '.', '..') for part in name.split('/'))


def commit(staging: str, dataset_dir: str, built: manifest.Manifest, shards: Mapping[str, str]) -> None:
    """Makes a data set of finished shards and the files beside them.

    Args:
        staging: a directory of this disk with all files but the shards.
        dataset_dir: the address of the data set.
        built: the manifest.
        shards: the address of each shard, by its name in the data set.

    Raises:
        UserError: if another command has published or is publishing something else there.
        OSError: if the store refuses.
    """
    claim = Claim.of(built)
    if not _take(dataset_dir, claim):
        return
    _place_shards(dataset_dir, shards)
    for name in sorted(built.files, key=lambda name: (name == tfds_metadata.COMMIT_FILE, name)):
        _upload(os.path.join(staging, name), os.path.join(dataset_dir, name))
    _finish(dataset_dir, claim, built)


def _take(dataset_dir: str, claim: Claim) -> bool:
    """Claims the address; False if the very same data set is published there already."""
    for _ in range(_ATTEMPTS):
        if storage.create(os.path.join(dataset_dir, CLAIM_FILE), claim.to_bytes()):
            # Another command may have published between this one's first look and now. None can from here on.
            if not _is_published(dataset_dir):
                _check_free(dataset_dir, claim)
                return True
            _remove_claim(dataset_dir)
            _check_same(dataset_dir, claim)
            return False
        found = Claim.read(dataset_dir)
        if found is not None:
            _check_claim(dataset_dir, found, claim)
            return True
        time.sleep(_WAIT_SECONDS)  # the other command has finished or given up at this moment
    raise errors.UserError(f'{dataset_dir}: other commands publish there at the same time; run this one again')


def _check_free(dataset_dir: str, claim: Claim) -> None:
    """Refuses to write over a file that no claim named: it is someone else's."""
    taken = sorted(set(storage.names(dataset_dir)).intersection(claim.names))
    if taken:
        _remove_claim(dataset_dir)
        raise errors.UserError(
            f'{dataset_dir}: holds {counted(len(taken), "file")} that would be written over, such as {taken[0]}; '
            'remove them, or give another --dataset_version'
        )


def _check_claim(dataset_dir: str, found: Claim, own: Claim) -> None:
    if found.manifest_sha256 == own.manifest_sha256:
        return
    what = 'another data set' if found.fingerprint != own.fingerprint else 'the same data set, with other provenance'
    raise errors.UserError(
        f'{dataset_dir}: another command publishes {what} ({found}), this one has {own.fingerprint[:12]}; wait for its '
        'end, or, if it was killed, run it again to finish it, or remove what it left with --clean; or give this one '
        'another --dataset_version'
    )


def _place_shards(dataset_dir: str, shards: Mapping[str, str]) -> None:
    with futures.ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(lambda name: storage.copy(shards[name], os.path.join(dataset_dir, name)), shards):
            pass


def _upload(path: str, address: str) -> None:
    with open(path, 'rb') as source, storage.replacing(address) as target:
        shutil.copyfileobj(source, target)


def _finish(dataset_dir: str, claim: Claim, built: manifest.Manifest) -> None:
    """Writes the manifest, unless the claim was given up meanwhile, and removes the claim."""
    found = Claim.read(dataset_dir)
    if found is not None:
        _check_claim(dataset_dir, found, claim)
    elif not _is_published(dataset_dir):
        # No claim names what was uploaded since: claimed again, it is removed, and the way is free for the next run.
        if storage.create(os.path.join(dataset_dir, CLAIM_FILE), claim.to_bytes()):
            abandon(dataset_dir, claim)
        raise errors.UserError(f'{dataset_dir}: --clean of another command removed what this one wrote; run it again')
    if not storage.create(os.path.join(dataset_dir, manifest.FILE_NAME), built.to_bytes()):
        _check_same(dataset_dir, claim)
    _remove_claim(dataset_dir)


def _is_published(dataset_dir: str) -> bool:
    return storage.exists(os.path.join(dataset_dir, manifest.FILE_NAME))


def _check_same(dataset_dir: str, claim: Claim) -> None:
    found = manifest.read(dataset_dir)
    if found.fingerprint != claim.fingerprint:
        raise errors.UserError(
            f'{dataset_dir}: another command has published a data set of fingerprint {found.fingerprint[:12]} '
            f'meanwhile, this one has {claim.fingerprint[:12]}; give another --dataset_version'
        )


def _remove_claim(dataset_dir: str) -> None:
    storage.remove(os.path.join(dataset_dir, CLAIM_FILE))


def tidy(dataset_dir: str) -> Claim | None:
    """Removes the claim of a command that was killed after it had published.

    Returns:
        The claim of a command that publishes, or that was killed before it had published; None if there is none.

    Raises:
        OSError: if the store refuses.
        UserError: if there is something else in its place.
    """
    if storage.has_directories(dataset_dir):
        return None
    found = Claim.read(dataset_dir)
    if found is None or not _is_published(dataset_dir):
        return found
    _remove_claim(dataset_dir)
    return None


def abandon(dataset_dir: str, claim: Claim) -> None:
    """Removes what the command of a claim has written, and the claim last; for `tidy`'s result alone.

    If that command is still at work, it will see that its claim was replaced, and write no manifest.

    Raises:
        OSError: if the store refuses.
    """
    replaced = dataclasses.replace(claim, manifest_sha256='', host=socket.gethostname(), pid=os.getpid())
    path = os.path.join(dataset_dir, CLAIM_FILE)
    storage.write(path, replaced.to_bytes())
    _remove_all(dataset_dir, claim.names)
    storage.remove(path)


def _remove_all(dataset_dir: str, names: Iterable[str]) -> None:
    with contextlib.suppress(FileNotFoundError):  # nothing at all is there
        for name in set(storage.names(dataset_dir)).intersection(names):
            storage.remove(os.path.join(dataset_dir, name))
