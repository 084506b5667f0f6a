"""From one pair to one record, from one shard plan to one shard file: what every worker does.

The work directory holds finished shards by their fingerprint: `<fingerprint>.tfrecord`, and beside it
`<fingerprint>.json`, written last, with the summary. Whoever finds both does not make them again, whichever command
made them; so an interrupted job continues, and two at once only share their work.
"""

import contextlib
import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import cv2
import numpy as np
import PIL

from seg_pipeline import storage
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.imaging import formats, masks, rejects, resizing
from seg_pipeline.imaging import images as images_lib
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.planning.pairing import Pair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import array_record, example_proto, schemas, tfrecord
from seg_pipeline.storage import checksums

FILE_FORMATS = ('tfrecord', 'array_record')
RECORD_FORMAT = 2  # part of every fingerprint: raise it when equal inputs no longer give equal bytes or equal markers

_Status = Callable[[str], storage.Entry | None]


@dataclasses.dataclass(frozen=True)
class Preparation:
    """Where the pairs come from, what they become and where that goes.

    Attributes:
        images: root of the images.
        masks: root of the masks.
        output_dir: where data sets are kept (a TFDS data_dir).
        label_map: the classes of the data set.
        remapping: what leads to them from the classes of the masks, where those are others.
        dataset_name: TFDS name.
        version: TFDS version.
        image_size: (height, width) of the records.
        image_encoding: how images are stored, `png` or `jpeg`.
        schema: the names under which a record's parts are stored, see `schemas`.
        file_format: `tfrecord` or `array_record`.
        resize, mask_resize: how they get that size, see `resizing.resize_mask`.
        mask_format: see `masks.MaskReader`.
        max_pixels: larger sources are rejected unread.
        split_options: what else decided the plan (shares, seed, lists); kept in the manifest.
        dry_run: read, check and count every pair, but keep no record; see `dry_run`.
    """

    images: str
    masks: str
    output_dir: str
    label_map: LabelMap
    dataset_name: str = 'clothing_parsing'
    version: str = '1.0.0'
    image_size: tuple[int, int] = (128, 128)
    resize: str = resizing.DEFAULT_MODE
    mask_resize: str = resizing.DEFAULT_MASK_MODE
    image_encoding: str = 'png'
    schema: str = schemas.TFDS
    file_format: str = 'tfrecord'
    mask_format: str = 'auto'
    max_pixels: int = formats.DEFAULT_MAX_PIXELS
    remapping: Remapping | None = None
    split_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    dry_run: bool = False

    @property
    def config_name(self) -> str:
        """`<height>x<width>`."""
        return f'{self.image_size[0]}x{self.image_size[1]}'

    @property
    def dataset_dir(self) -> str:
        """Where the finished data set goes."""
        return os.path.join(self.output_dir, self.dataset_name, self.config_name, self.version)

    @property
    def work_dir(self) -> str:
        """Where unfinished work is kept: beside the data set, on the same file system."""
        name = '.dry_run' if self.dry_run else '.work'
        return os.path.join(self.output_dir, self.dataset_name, self.config_name, name)

    def record_options(self) -> dict[str, Any]:
        """The options that decide the bytes of a record."""
        return {
            'image_size': list(self.image_size),
            'resize': self.resize,
            'mask_resize': self.mask_resize,
            'image_encoding': self.image_encoding,
            'schema': self.schema,
            'file_format': self.file_format,
            'mask_format': self.mask_format,
            'max_pixels': self.max_pixels,
            'remapping': self.remapping and self.remapping.to_json(),
        }


@dataclasses.dataclass(frozen=True)
class DecodedPair:
    """A pair as its files hold it, checked.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 ids.
        image_data: the bytes of the image file.
        mask_data: the bytes of the mask file.
    """

    image: np.ndarray
    mask: np.ndarray
    image_data: bytes
    mask_data: bytes


@dataclasses.dataclass(frozen=True)
class PreparedPair:
    """A pair as it goes into a record.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        mask: (height, width) uint8 ids.
        original_size: (height, width) of the source.
        image_sha256: of the image file, in hex.
        mask_sha256: of the mask file, in hex.
    """

    image: np.ndarray
    mask: np.ndarray
    original_size: tuple[int, int]
    image_sha256: str
    mask_sha256: str


@dataclasses.dataclass(frozen=True)
class ShardSummary:
    """What came of one shard plan."""

    shard: manifest.Shard
    fingerprint: str
    statistics: SplitStatistics
    rejects: tuple[rejects.Reject, ...]


def library_versions(file_format: str = 'tfrecord') -> dict[str, str]:
    """The versions of the libraries whose code decides the bytes of a shard."""
    versions = {'numpy': np.__version__, 'opencv': cv2.__version__, 'pillow': PIL.__version__}
    if file_format == 'array_record':
        versions['array_record'] = importlib.metadata.version('array_record')
    return versions


def _fingerprint(job: Preparation, plan: ShardPlan, image_of: _Status, mask_of: _Status) -> str:
    """Hex digest of what decides a shard's bytes: options, libraries and each source's name, size and time."""
    value = {
        'format': RECORD_FORMAT,
        'label_map': job.label_map.to_json(),
        'libraries': library_versions(job.file_format),
        'options': job.record_options(),
        'pairs': [
            [pair.key, pair.image, pair.mask, _stamp(image_of(pair.image)), _stamp(mask_of(pair.mask))]
            for pair in plan.pairs
        ],
    }
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def with_fingerprints(job: Preparation, plans: Iterable[ShardPlan]) -> list[ShardPlan]:
    """The same plans, each with its fingerprint."""
    image_of, mask_of = storage.statuses(job.images), storage.statuses(job.masks)
    return [dataclasses.replace(plan, fingerprint=_fingerprint(job, plan, image_of, mask_of)) for plan in plans]


def _stamp(found: storage.Entry | None) -> list[int]:
    # What is not there gives its reject when it is read.
    return [] if found is None else [found.num_bytes, found.modified_ns]


def read_pair(job: Preparation, pair: Pair) -> PreparedPair:
    """Reads, checks and resizes one pair.

    Raises:
        RejectError: with the reason why it cannot be part of the data set.
    """
    with rejects.decoding(os.path.join(job.images, pair.image)):
        return resize_pair(job, decode_pair(job, pair))


def resize_pair(job: Preparation, decoded: DecodedPair) -> PreparedPair:
    """Brings a pair to the size of the records."""
    return PreparedPair(
        resizing.resize_image(decoded.image, job.image_size, job.resize),
        stored_mask(job, decoded),
        (decoded.image.shape[0], decoded.image.shape[1]),
        hashlib.sha256(decoded.image_data).hexdigest(),
        hashlib.sha256(decoded.mask_data).hexdigest(),
    )


def stored_mask(job: Preparation, decoded: DecodedPair) -> np.ndarray:
    """The mask as it goes into the record: (height, width) uint8 ids."""
    return resizing.resize_mask(
        decoded.mask, job.image_size, job.resize, job.mask_resize, border=job.label_map.ignore_id
    )


def decode_pair(job: Preparation, pair: Pair) -> DecodedPair:
    """Reads and checks one pair.

    Raises:
        RejectError: with the reason why it cannot be part of the data set.
    """
    image_path, mask_path = os.path.join(job.images, pair.image), os.path.join(job.masks, pair.mask)
    image_data = images_lib.read_bytes(image_path, job.max_pixels)
    mask_data = images_lib.read_bytes(mask_path, job.max_pixels)
    image = images_lib.decode_image(image_data, image_path, job.max_pixels)
    if image_data == mask_data:
        raise rejects.RejectError(rejects.SAME_FILE, f'{mask_path}: is {image_path}, byte for byte')
    reader = masks.MaskReader(job.label_map, job.mask_format, job.remapping)
    mask = masks.decode(mask_data, mask_path, reader, job.max_pixels)
    if image.shape[:2] != mask.shape:
        sizes = (
            f'{mask_path}: is {mask.shape[0]}x{mask.shape[1]}, its image {image_path} {image.shape[0]}x{image.shape[1]}'
        )
        raise rejects.RejectError(rejects.SIZE_MISMATCH, f'{sizes} (height x width)')
    if (mask == job.label_map.ignore_id).all():
        message = f'{mask_path}: all {mask.size} pixels have the ignored id {job.label_map.ignore_id}'
        raise rejects.RejectError(rejects.ALL_IGNORED, message)
    return DecodedPair(image, mask, image_data, mask_data)


def serialize(job: Preparation, pair: Pair, prepared: PreparedPair) -> bytes:
    """The tf.train.Example of one pair."""
    fields = schemas.Fields(
        key=pair.key,
        file_name=pair.image,
        image=images_lib.encode_image(prepared.image, job.image_encoding),
        image_encoding=job.image_encoding,
        mask=images_lib.encode_png(prepared.mask),
        size=job.image_size,
        original_size=prepared.original_size,
    )
    return example_proto.serialize(schemas.to_features(job.schema, fields))


def write_shard(job: Preparation, plan: ShardPlan) -> ShardSummary:
    """Makes one shard, one pair at a time, or finds it made; leaves it and its marker in the work directory.

    In a dry run, only the marker.

    Raises:
        UserError: if the output cannot be written.
    """
    if not job.dry_run and (found := read_marker(job, plan)) and not found.rejects:
        path = shard_path(job, plan.fingerprint)
        if checksums.problem(path, checksums.FileDigest(found.shard.num_bytes, found.shard.sha256)) is None:
            return found
    with storage.writing(job.work_dir):
        return _check_shard(job, plan) if job.dry_run else _make_shard(job, plan)


def _make_shard(job: Preparation, plan: ShardPlan) -> ShardSummary:
    statistics = SplitStatistics()
    rejected: list[rejects.Reject] = []
    lines: list[dict[str, Any]] = []
    with (
        storage.replacing(shard_path(job, plan.fingerprint)) as file,
        contextlib.closing(_open_writer(job, file)) as writer,
    ):
        for pair, prepared in _good_pairs(job, plan, rejected):
            lines.append(_record_line(plan, pair, prepared, writer.num_records))
            writer.write(serialize(job, pair, prepared))
            statistics.add(prepared.image, prepared.mask, prepared.original_size, pair.key)
    shard = manifest.Shard(
        plan.name, plan.split, writer.num_records, writer.num_bytes, writer.payload_bytes, writer.sha256
    )
    summary = ShardSummary(shard, plan.fingerprint, statistics, tuple(rejected))
    _write_marker(job, summary, lines)
    return summary


def _check_shard(job: Preparation, plan: ShardPlan) -> ShardSummary:
    statistics = SplitStatistics()
    rejected: list[rejects.Reject] = []
    for pair, prepared in _good_pairs(job, plan, rejected):
        statistics.add(prepared.image, prepared.mask, prepared.original_size, pair.key)
    shard = manifest.Shard(plan.name, plan.split, statistics.num_records, 0, 0, '')
    summary = ShardSummary(shard, plan.fingerprint, statistics, tuple(rejected))
    _write_marker(job, summary, [])
    return summary


def _good_pairs(
    job: Preparation, plan: ShardPlan, rejected: list[rejects.Reject]
) -> Iterator[tuple[Pair, PreparedPair]]:
    """Yields the pairs that can be part of the data set, and adds the others to `rejected`."""
    for pair in plan.pairs:
        try:
            prepared = read_pair(job, pair)
        except rejects.RejectError as error:
            rejected.append(rejects.Reject(pair.key, error.reason, str(error), pair.image, pair.mask))
        else:
            yield pair, prepared


def _open_writer(job: Preparation, file: IO[bytes]) -> tfrecord.Writer | array_record.Writer:
    if job.file_format == 'array_record':
        return array_record.Writer(file.name)
    return tfrecord.Writer(file)


def _record_line(plan: ShardPlan, pair: Pair, prepared: PreparedPair, index: int) -> dict[str, Any]:
    """One line of `records.jsonl`: where a record is and what it was made from."""
    return {
        'key': pair.key,
        'split': plan.split,
        'shard': plan.name,
        'index': index,
        'image': pair.image,
        'mask': pair.mask,
        'image_sha256': prepared.image_sha256,
        'mask_sha256': prepared.mask_sha256,
        'original_height': prepared.original_size[0],
        'original_width': prepared.original_size[1],
    }


def shard_path(job: Preparation, shard_fingerprint: str) -> str:
    """Where a shard is kept until the data set is published."""
    return os.path.join(job.work_dir, f'{shard_fingerprint}.{job.file_format}')


def marker_path(job: Preparation, shard_fingerprint: str) -> str:
    """The file whose presence says that a shard is finished."""
    return os.path.join(job.work_dir, f'{shard_fingerprint}.json')


def _write_marker(job: Preparation, summary: ShardSummary, lines: list[dict[str, Any]]) -> None:
    value = {
        'shard': dataclasses.asdict(summary.shard),
        'statistics': summary.statistics.to_json(),
        'rejects': [dataclasses.asdict(reject) for reject in summary.rejects],
        'records': lines,
    }
    storage.write(marker_path(job, summary.fingerprint), json.dumps(value).encode())


def read_marker(job: Preparation, plan: ShardPlan) -> ShardSummary | None:
    """The summary of a finished shard, under the plan's name and split; None if it is not finished."""
    value = _read_marker_json(job, plan.fingerprint)
    if value is None:
        return None
    shard = dataclasses.replace(manifest.Shard(**value['shard']), name=plan.name, split=plan.split)
    found = tuple(rejects.Reject(**reject) for reject in value['rejects'])
    return ShardSummary(shard, plan.fingerprint, SplitStatistics.from_json(value['statistics']), found)


def read_record_lines(job: Preparation, summary: ShardSummary) -> list[dict[str, Any]]:
    """The lines of `records.jsonl` for one shard.

    Raises:
        FileNotFoundError: if somebody removed the marker, as a command does that published the same shards.
    """
    value = _read_marker_json(job, summary.fingerprint)
    if value is None:
        raise FileNotFoundError(errno.ENOENT, 'has gone; run the command again', marker_path(job, summary.fingerprint))
    return [{**line, 'shard': summary.shard.name, 'split': summary.shard.split} for line in value['records']]


def _read_marker_json(job: Preparation, shard_fingerprint: str) -> dict[str, Any] | None:
    try:
        return json.loads(storage.read_bytes(marker_path(job, shard_fingerprint)))
    except (OSError, ValueError):
        return None
