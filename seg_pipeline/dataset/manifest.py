"""The manifest: the file that lets anyone prove that a data set is intact.

`manifest.json` names every other file of the data set with its size and SHA-256, and carries its own.
"""

import dataclasses
import errno
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import inner_paths, place, typed_json
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.plurals import counted
from seg_pipeline.records import tfds_names
from seg_pipeline.storage import checksums
from seg_pipeline.storage.checksums import FileDigest

FILE_NAME = place.MANIFEST_FILE
RECORDS_FILE = place.RECORDS_FILE
STATISTICS_FILE = 'statistics.json'
DUPLICATES_FILE = 'duplicates.json'
REJECTED_FILE = 'rejected.jsonl'
PROVENANCE_FILE = 'provenance.json'
CARD_FILE = 'report/index.html'
SCHEMA_VERSION = 2
# What differs where the same data set was made by another command. The card shows the command and the fingerprint.
_OUTSIDE_FINGERPRINT = (PROVENANCE_FILE, CARD_FILE)
_MAX_BYTES = 1 << 28  # of a manifest; one of a million shards has about that
# Pixels on one side of a record: libpng encodes no more, though its format can say more.
LONGEST_SIDE = 1_000_000
# Deflate makes at most 258 bytes of 2 bits, and a mask is a PNG of a byte a pixel: so a shard's size bounds the memory
# that its records take, whatever the manifest says of their size.
_MOST_PIXELS_PER_BYTE = 258 * 8 // 2
_LEAST_RECORD_BYTES = 2 * 67  # two PNGs of one pixel
_SHA256 = re.compile(r'[0-9a-f]{64}')
# The options that readers of records use.
_OPTION_KINDS: dict[str, Any] = {
    **dict.fromkeys(('resize', 'mask_format', 'schema', 'file_format'), str),
    'remapping': dict[str, Any] | None,
}


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file.

    Attributes:
        name: its file name.
        split: the split that it belongs to.
        num_records: how many records it holds.
        num_bytes: its size.
        payload_bytes: its size without the framing of the records, as TFDS counts.
        sha256: of the file, in hex.
    """

    name: str
    split: str
    num_records: int
    num_bytes: int
    payload_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`.

    Attributes:
        dataset_name: the TFDS name.
        config_name: the TFDS config, `<height>x<width>`.
        version: the TFDS version.
        fingerprint: hex digest of all that is in the data set, see `computed_fingerprint`.
        options: every option that decides bytes.
        library_versions: the versions of the libraries that decide bytes.
        record_format: number of the code that makes records, raised when it gives other bytes.
        label_map: the classes of the masks as stored.
        shards: all shards, ordered by name.
        files: every other file, by its path relative to the data set.
    """

    dataset_name: str
    config_name: str
    version: str
    fingerprint: str
    options: dict[str, Any]
    library_versions: dict[str, str]
    record_format: int
    label_map: LabelMap
    shards: tuple[Shard, ...]
    files: dict[str, FileDigest]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image and mask in the records."""
        height, width = self.options['image_size']
        return height, width

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits, in the order of their first shards."""
        return tuple(dict.fromkeys(shard.split for shard in self.shards))

    def split_shards(self, split: str) -> tuple[Shard, ...]:
        """The shards of a split, in order.

        Raises:
            UserError: if there is no such split.
        """
        shards = tuple(shard for shard in self.shards if shard.split == split)
        if not shards:
            raise errors.UserError(
                f'no split {split!r} in data set {self.dataset_name}; its splits are {", ".join(self.split_names)}'
            )
        return shards

    def num_records(self, split: str) -> int:
        """How many records a split has. Raises `UserError` if there is no such split."""
        return sum(shard.num_records for shard in self.split_shards(split))

    def shard_paths(self, dataset_dir: str, split: str) -> list[str]:
        """The paths of a split's shards, in order. Raises `UserError` if there is no such split."""
        return [os.path.join(dataset_dir, shard.name) for shard in self.split_shards(split)]

    def computed_fingerprint(self) -> str:
        """The hex digest of all that the manifest says, but for the digests of the provenance and of the card.

        It has the name and the SHA-256 of every shard and of every other file that follows from the inputs. So whoever
        has noted it finds every change of the data set, of one by somebody who mended index and manifest too.
        """
        value = self._to_json()
        del value['fingerprint']
        value['files'] = {name: one for name, one in value['files'].items() if name not in _OUTSIDE_FINGERPRINT}
        return hashlib.sha256(canonical_json(value)).hexdigest()

    def sealed(self) -> 'Manifest':
        """The same manifest with the fingerprint that it must have."""
        return dataclasses.replace(self, fingerprint=self.computed_fingerprint())

    def _to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), 'label_map': self.label_map.to_json(), 'schema_version': SCHEMA_VERSION}

    def to_bytes(self) -> bytes:
        """The only text of this manifest: sorted keys, its own digest among them."""
        value = self._to_json()
        value['manifest_sha256'] = hashlib.sha256(canonical_json(value)).hexdigest()
        return canonical_json(value)

    @classmethod
    def from_bytes(cls, data: bytes) -> 'Manifest':
        """The inverse of `to_bytes`.

        Raises:
            OtherSchemaError: if it is an intact manifest of another version of this package.
            ValueError: if a single byte differs from what `to_bytes` writes, it does not have the fingerprint that
                follows from the rest, or something is of the wrong type or cannot be: a file outside of the data set.
        """
        value = typed_json.parse(data)
        if not isinstance(value, dict):
            raise ValueError('not an object')
        _check_schema_version(value)
        result = typed_json.read(cls, {name: one for name, one in value.items() if name not in _OF_THE_TEXT})
        _check_values(result)
        # Stronger than comparing the digest alone: a manifest has one text, so any other byte is damage.
        if result.to_bytes() != data:
            raise ValueError('the text contradicts its own checksum manifest_sha256')
        if (wanted := result.computed_fingerprint()) != result.fingerprint:
            raise ValueError(f'its contents have the fingerprint {wanted}, it says {result.fingerprint}')
        return result


class OtherSchemaError(errors.UserError):
    """A data set is intact as far as its manifest goes, and was made by another version of this package."""


# Members of the text that are no attributes of a manifest.
_OF_THE_TEXT = ('schema_version', 'manifest_sha256')


def _check_schema_version(value: dict[str, Any]) -> None:
    found = value.get('schema_version')
    if found == SCHEMA_VERSION:
        return
    unsigned = {name: one for name, one in value.items() if name != 'manifest_sha256'}
    # Only an intact manifest says which version made it; a damaged one may say anything.
    if isinstance(found, int) and value.get('manifest_sha256') == hashlib.sha256(canonical_json(unsigned)).hexdigest():
        raise OtherSchemaError(
            f'has schema version {found}, and this version of seg-pipeline reads {SCHEMA_VERSION}; prepare the data '
            'set again with another --dataset_version, or use the version of seg-pipeline that made it'
        )
    raise ValueError(f'schema_version is {found!r}, wanted {SCHEMA_VERSION}')


def _check_values(found: Manifest) -> None:
    """Checks what a manifest says beyond its types: whoever wrote it could have computed its checksum too."""
    files: list[tuple[str, str, FileDigest]] = [('file', name, digest) for name, digest in found.files.items()]
    files += [('shard', shard.name, FileDigest(shard.num_bytes, shard.sha256)) for shard in found.shards]
    for what, name, digest in files:
        inner_paths.check_file(name, what)
        if digest.num_bytes < 0 or not _SHA256.fullmatch(digest.sha256):
            raise ValueError(
                f'{what} {name!r} has {counted(digest.num_bytes, "byte")} and SHA-256 {digest.sha256[:64]!r}'
            )
    times = Counter([FILE_NAME, *(name for _, name, _ in files)])
    for name, number in times.items():
        if number > 1:
            raise ValueError(f'{name!r} is the name of {number} files')
    height, width = typed_json.read(tuple[int, int], found.options.get('image_size'), 'options.image_size')
    if min(height, width) < 1 or found.config_name != f'{height}x{width}':
        raise ValueError(f'config_name is {found.config_name!r}, options.image_size is {[height, width]}')
    if max(height, width) > LONGEST_SIDE:
        raise ValueError(f'options.image_size is {[height, width]}; a side has at most {LONGEST_SIDE} pixels')
    if not found.shards:
        raise ValueError('it names no shard')
    _check_names(found)
    for shard in found.shards:
        _check_shard(shard, height * width)
    for option, kind in _OPTION_KINDS.items():
        if option in found.options:
            typed_json.read(kind, found.options[option], f'options.{option}')
    if any(not 0 <= value <= 255 for color in found.label_map.colors for value in color):
        raise ValueError(f'label_map.colors has a value that is not 0..255: {found.label_map.colors}')


def _check_names(found: Manifest) -> None:
    """Checks what TFDS reads as names: of some it makes another name, and of some no data set at all."""
    names = [
        ('dataset_name', found.dataset_name, tfds_names.dataset_problem(found.dataset_name)),
        ('version', found.version, tfds_names.version_problem(found.version)),
        *(('split', split, tfds_names.split_problem(split)) for split in found.split_names),
    ]
    for what, value, problem in names:
        if problem:
            raise ValueError(f'{what} {value!r}: {problem}')


def _check_shard(shard: Shard, pixels: int) -> None:
    if not 0 <= shard.num_records <= shard.num_bytes or not 0 <= shard.payload_bytes <= shard.num_bytes:
        raise ValueError(
            f'shard {shard.name!r}: {counted(shard.num_records, "record")}, {counted(shard.payload_bytes, "byte")} '
            f'long, in {counted(shard.num_bytes, "byte")}'
        )
    least = max(_LEAST_RECORD_BYTES, pixels // _MOST_PIXELS_PER_BYTE)
    if shard.num_records * least > shard.payload_bytes:
        raise ValueError(
            f'shard {shard.name!r}: {counted(shard.num_records, "record")} of {pixels} pixels in '
            f'{shard.payload_bytes} bytes; one takes at least {least}'
        )


def canonical_json(value: Any) -> bytes:
    """JSON text that depends on the value alone: sorted keys, two spaces, a newline at the end, UTF-8."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + '\n').encode()


def read(dataset_dir: str) -> Manifest:
    """Reads the manifest of a data set.

    Args:
        dataset_dir: the directory that prepare_dataset printed last.

    Raises:
        OtherSchemaError: if another version of this package made it.
        UserError: if it is no data set, or its manifest was altered.
    """
    path = os.path.join(dataset_dir, FILE_NAME)
    try:
        data = storage.read_at_most(path, _MAX_BYTES)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ELOOP:
            raise errors.UserError(f'{dataset_dir}: no data set: {place.explain(dataset_dir)}') from error
        raise errors.UserError(
            f'{dataset_dir}: no data set: {FILE_NAME}: {error.strerror or error}; '
            'give the directory that prepare_dataset printed last'
        ) from error
    try:
        return Manifest.from_bytes(data)
    except OtherSchemaError as error:
        raise OtherSchemaError(f'{path}: {error}') from error
    except ValueError as error:
        raise errors.UserError(f'{path}: damaged: {error}; prepare the data set again') from error


def file_problem(dataset_dir: str, name: str, expected: FileDigest) -> str | None:
    """How a file differs from the manifest in size or SHA-256: one line with both values, None if it does not.

    A symbolic link is a problem wherever it leads, and nothing is read through it.
    """
    if found := inner_paths.link(dataset_dir, name):
        return f'{found}: is a symbolic link; a data set has its files itself'
    return checksums.problem(os.path.join(dataset_dir, name), expected)


def shard_problem(dataset_dir: str, shard: Shard) -> str | None:
    """How a shard differs from the manifest, see `file_problem`."""
    return file_problem(dataset_dir, shard.name, FileDigest(shard.num_bytes, shard.sha256))


def check_shards(dataset_dir: str, manifest: Manifest, splits: Iterable[str]) -> None:
    """Compares the shards of some splits with the manifest, size and SHA-256.

    Raises:
        UserError: naming the first shard that differs, with both values.
    """
    for split in splits:
        for shard in manifest.split_shards(split):
            if problem := shard_problem(dataset_dir, shard):
                raise errors.UserError(f'{problem}; `python -m seg_pipeline.verify {dataset_dir}` names the records')
