"""A data set that is there already, compared with what the same command would make now."""

import contextlib
from collections.abc import Iterable, Mapping
from concurrent import futures

from seg_pipeline.building import fingerprints, pair
from seg_pipeline.building.config import BuildConfig
from seg_pipeline.dataset import manifest, record_index
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.imaging import rejects
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.storage import checksums


def difference(config: BuildConfig, pairs: Iterable[SourcePair]) -> str | None:
    """Compares a published data set with what the same command would make now.

    Splits and shards are functions of options, keys and contents: where these are equal, so are those. Every source is
    read and hashed; only pairs that were rejected are decoded.

    Args:
        config: the data set configuration.
        pairs: all pairs that would go into the data set.

    Returns:
        One line that names the first difference with both values; None if there is none.

    Raises:
        UserError: if what is there is no data set or is damaged.
    """
    present = manifest.read(config.dataset_dir)
    # From the cheap to the expensive: options take no time, sources must be read.
    for name, there, here in (
        ('options', present.options, config.options()),
        ('label table', present.label_map.to_json(), config.records.label_map.to_json()),
        ('records', {'record_format': present.record_format}, {'record_format': fingerprints.RECORD_FORMAT}),
        ('libraries', present.library_versions, fingerprints.library_versions(config.records.file_format)),
    ):
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                return f'{name}: {key} is {there.get(key)!r} there and {here.get(key)!r} here'
    # "Nothing to do" must not be said of a data set with a damaged shard.
    manifest.check_shards(config.dataset_dir, present, present.split_names)
    return _source_difference(config, {source.key: source for source in pairs})


def _source_difference(config: BuildConfig, here: Mapping[str, SourcePair]) -> str | None:
    index = record_index.of(config.dataset_dir)
    there = {entry.key for entry in index}
    rejected = {reject.key for reject in record_index.read_rejects(config.dataset_dir)}
    for key in sorted(there - here.keys()):
        return f'pair {key!r} is in it and has no files here'
    for key in sorted(here.keys() - there - rejected):
        return f'pair {key!r} is here and not in it'
    # A reject has no digest to compare. It is good now if its file was mended, without a change of the options.
    for key in sorted(rejected & here.keys()):
        with contextlib.suppress(rejects.RejectError):
            pair.read(config.sources, config.records, here[key])
            return f'pair {key!r} was rejected then and is good now'
    with futures.ThreadPoolExecutor() as pool:  # reading and hashing release the interpreter's lock
        changes = pool.map(lambda entry: _entry_difference(config, entry, here[entry.key]), index)
        return next((change for change in changes if change), None)


def _entry_difference(config: BuildConfig, entry: RecordEntry, source: SourcePair) -> str | None:
    for path, there in (
        (config.sources.image_path(source.image), entry.image_sha256),
        (config.sources.mask_path(source.mask), entry.mask_sha256),
    ):
        found = checksums.digest(path).sha256
        if found != there:
            return f'{path} has SHA-256 {found[:12]} now and had {there[:12]} then'
    return None
