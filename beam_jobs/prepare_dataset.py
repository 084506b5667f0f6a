"""Makes a data set of a folder of images and a folder of masks.

    python -m beam_jobs.prepare_dataset --images=DIR --masks=DIR --labels=labels.csv --output_dir=OUT

The last line printed is the directory of the data set. The same command again continues where an interrupted one
stopped. Flags that are not listed here go to Beam (`--direct_num_workers=4`, `--runner=FlinkRunner`, ...).
"""

import shlex
import sys

from absl import flags

from beam_jobs import inputs, pipeline, process_memory, runners, suspects
from seg_pipeline import command_line, errors, storage, trial, watchdog
from seg_pipeline.building import config
from seg_pipeline.building.config import BuildConfig, RecordOptions
from seg_pipeline.building.markers import Outcome, Result
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import images, masks, rejects, resizing
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.planning import grouping, sharding, split_options, splits, stratification
from seg_pipeline.planning.split_options import SplitOptions
from seg_pipeline.records import array_record, schemas, writer

_FEW_REJECTS = 5  # are read one by one; more are also summed up
_KEPT = 'finished shards are kept: the same command continues'

# A dataclass's defaults are attributes of its class: each default is declared there, once.
_BUILD, _RECORDS, _SPLIT_OPTIONS = BuildConfig, RecordOptions, SplitOptions

_IMAGES = flags.DEFINE_string('images', None, 'Folder of the images; searched with its subfolders.')
_MASKS = flags.DEFINE_string('masks', None, 'Folder of the masks; searched with its subfolders.')
_LABELS = flags.DEFINE_string('labels', None, 'Label table: .csv (i,label_list or id,name[,color]), .json or .txt.')
_SOURCE = flags.DEFINE_enum(
    'source',
    None,
    inputs.SOURCES,
    'Instead of --images, --masks and --labels: a published data set, downloaded into OUTPUT_DIR/downloads (where '
    'that is no path of this disk, into ~/.cache/seg_pipeline) and checked.',
)
_REMAP = flags.DEFINE_string(
    'remap',
    None,
    'Other classes than those of --labels: .csv (name,group[,color]) or .json ({"group": ["name", ...]}) with the '
    'group of every name; the group ignore is no class. Applied before resizing.',
)
_OUTPUT_DIR = flags.DEFINE_string(
    'output_dir',
    None,
    'The data set appears in OUTPUT_DIR/DATASET_NAME/HEIGHTxWIDTH/VERSION. Inputs and output may be addresses: s3://, '
    'gs://, hdfs://.',
    required=True,
)
_DATASET_NAME = flags.DEFINE_string('dataset_name', _BUILD.dataset_name, 'TFDS name: lower case, digits and _.')
_DATASET_VERSION = flags.DEFINE_string('dataset_version', _BUILD.version, 'TFDS version: MAJOR.MINOR.PATCH.')
_IMAGE_SIZE = flags.DEFINE_string(
    'image_size', '{},{}'.format(*config.DEFAULT_IMAGE_SIZE), 'HEIGHT,WIDTH of the records, in pixels.'
)
_RESIZE = flags.DEFINE_enum(
    'resize',
    _RECORDS.resize,
    resizing.MODES,
    'squash: all of the image, its aspect ratio changed; letterbox: all of the image, between borders, black in the '
    'image and ignored in the mask; crop: the middle of the image, of the right aspect ratio.',
)
_MASK_RESIZE = flags.DEFINE_enum(
    'mask_resize',
    _RECORDS.mask_resize,
    resizing.MASK_MODES,
    'nearest: the id under the centre of each new pixel; majority: the most frequent id in it.',
)
_IMAGE_ENCODING = flags.DEFINE_enum(
    'image_encoding', _RECORDS.image_encoding, images.ENCODINGS, 'How images are stored; masks are always PNG.'
)
_SCHEMA = flags.DEFINE_enum(
    'schema',
    _RECORDS.schema,
    schemas.SCHEMAS,
    "What the parts of a record are called: tfds, or model_garden for TensorFlow Model Garden's decoders; TFDS and the "
    'trainer do not read the latter.',
)
_FILE_FORMAT = flags.DEFINE_enum(
    'file_format',
    _RECORDS.file_format,
    writer.FILE_FORMATS,
    'tfrecord, or array_record for tfds.data_source and Grain; the trainer does not read the latter.',
)
_MASK_FORMAT = flags.DEFINE_enum(
    'mask_format',
    _RECORDS.mask_format,
    masks.MASK_FORMATS,
    'ids: grey values or palette indices; color: the colours of the label table, RGB or of a palette; binary: 0 and '
    '255 are the classes 0 and 1; auto: grey by id, others by colour; but where the table has no colours, palettes and '
    'RGB with only grey by id.',
)
_IGNORE_ID = flags.DEFINE_integer(
    'ignore_id', label_map.DEFAULT_IGNORE_ID, 'Id of the pixels that are ignored.', 1, 255
)
_SPLITS = flags.DEFINE_string('splits', split_options.DEFAULT_FRACTIONS, 'Fraction of each split; they add up to 1.')
_SPLIT_FILES = flags.DEFINE_string(
    'split_files', None, 'Official lists instead of --splits, as train:FILE,validation:FILE; one name a line.'
)
_GROUP_REGEX = flags.DEFINE_string(
    'group_regex', None, "Its first group, found in an image's path, names what stays in one split: a person, a day."
)
_NEAR_DUPLICATES = flags.DEFINE_enum(
    'near_duplicates',
    _SPLIT_OPTIONS.near_duplicates,
    grouping.NEAR_DUPLICATES,
    'group: nearly identical images stay in one split, found by a perceptual hash in a pass of its own. Byte-identical '
    'ones always do.',
)
_NEAR_DUPLICATE_DISTANCE = flags.DEFINE_integer(
    'near_duplicate_distance', _SPLIT_OPTIONS.max_distance, 'How many of 64 bits may differ then.', 0, 31
)
_STRATIFY = flags.DEFINE_enum(
    'stratify',
    _SPLIT_OPTIONS.stratify,
    stratification.STRATIFY,
    'rare: every class that at least two groups have is in every split, found in a pass of its own.',
)
_SEED = flags.DEFINE_integer(
    'seed', split_options.DEFAULT_SEED, 'Decides, with the keys, splits and order.', -(2**63), 2**63 - 1
)
_NUM_SHARDS = flags.DEFINE_string(
    'num_shards',
    _SPLIT_OPTIONS.num_shards,
    f'As train:8,validation:2; by default one for each {sharding.PAIRS_PER_SHARD} pairs.',
)
_IMAGE_GLOB = flags.DEFINE_string(
    'image_glob',
    None,
    'Which files of --images are images, where masks are in the same folder: *.jpg, **/*_rgb.png. Fits paths in the '
    'folder: * fits within one part of a path, ** as a part any folders, also none.',
)
_MASK_GLOB = flags.DEFINE_string('mask_glob', None, 'Which files of --masks are masks, in the same way.')
_IMAGE_KEY_REGEX = flags.DEFINE_string('image_key_regex', None, "Finds the key in an image's path: its first group.")
_MASK_KEY_REGEX = flags.DEFINE_string('mask_key_regex', None, "Finds the key in a mask's path: its first group.")
_MAX_PIXELS = flags.DEFINE_integer(
    'max_pixels', _RECORDS.max_pixels, 'Images with more are rejected unread.', 1, 2**31 - 1
)
_ON_ERROR = flags.DEFINE_enum(
    'on_error', 'fail', ('fail', 'reject'), 'What bad pairs do: end the job, or stay out of the data set.'
)
_ALLOW_EMPTY_SPLITS = flags.DEFINE_bool(
    'allow_empty_splits', False, 'A split that gets no pair is left out, with a warning, instead of ending the job.'
)
_DRY_RUN = flags.DEFINE_bool(
    'dry_run',
    False,
    'Check and count everything, write the report to DATASET_NAME/HEIGHTxWIDTH/dry_run, and make no data set.',
)
_CLEAN = flags.DEFINE_bool('clean', False, 'Removes what commands with other inputs or options left unfinished.')
_PARANOID = flags.DEFINE_bool(
    'paranoid',
    False,
    'Take over unfinished work only after its sources were hashed, whatever their sizes and times say, and compare '
    'every stored mask, not only a sample, with its file, read by another library.',
)


def main(argv: list[str]) -> int:
    process_memory.share_heaps()
    process_memory.collect_rarely()
    options = runners.parse_options(argv[1:])
    storage.configure(options)
    job = _job_config()
    try:
        with watchdog.watching(trial.TIME_LIMIT, _end_late):  # where no worker process does the work
            outcome = pipeline.run(job, options)
    except errors.OutsideError as error:
        raise errors.OutsideError(f'{error}; {_KEPT}') from error
    _report(outcome, job)
    return 0


def _end_late(name: str) -> None:
    command_line.fail_at_once(f'{name}: took more than {trial.TIME_LIMIT:g} seconds: {suspects.THEN}; {_KEPT}')


def _job_config() -> pipeline.JobConfig:
    """What the flags say."""
    if _FILE_FORMAT.value == writer.ARRAY_RECORD:
        array_record.check_installed()
    for path in (_IMAGES.value, _MASKS.value, _LABELS.value, _OUTPUT_DIR.value):
        storage.check(path or '')
    if _SPLIT_FILES.value and _SPLITS.present:
        raise errors.UserError('--split_files are instead of --splits: leave out one of them')
    lists = split_options.read_lists(_SPLIT_FILES.value) if _SPLIT_FILES.value else None
    splitting = SplitOptions(
        fractions=splits.parse_fractions(_SPLITS.value) if lists is None else {},
        lists=lists,
        seed=_SEED.value,
        group_regex=_GROUP_REGEX.value,
        near_duplicates=_NEAR_DUPLICATES.value,
        max_distance=_NEAR_DUPLICATE_DISTANCE.value,
        stratify=_STRATIFY.value,
        num_shards=_NUM_SHARDS.value,
    )
    found = inputs.resolve(
        _IMAGES.value, _MASKS.value, _LABELS.value, _SOURCE.value, inputs.download_dir(_OUTPUT_DIR.value)
    )
    classes, mapping = remapping.read_classes(
        found.labels, _IGNORE_ID.value, _REMAP.value, reads_colors=_MASK_FORMAT.value in ('auto', 'color')
    )
    records = RecordOptions(
        label_map=classes,
        remapping=mapping,
        image_size=config.parse_size(_IMAGE_SIZE.value),
        resize=_RESIZE.value,
        mask_resize=_MASK_RESIZE.value,
        image_encoding=_IMAGE_ENCODING.value,
        schema=_SCHEMA.value,
        file_format=_FILE_FORMAT.value,
        mask_format=_MASK_FORMAT.value,
        max_pixels=_MAX_PIXELS.value,
    )
    return pipeline.JobConfig(
        build=BuildConfig(
            found.folders,
            _OUTPUT_DIR.value,
            records,
            dataset_name=_DATASET_NAME.value,
            version=_DATASET_VERSION.value,
            split_options=splitting.to_json(),
        ),
        splits=splitting,
        image_glob=_IMAGE_GLOB.value,
        mask_glob=_MASK_GLOB.value,
        image_key_regex=_IMAGE_KEY_REGEX.value,
        mask_key_regex=_MASK_KEY_REGEX.value,
        allow_rejects=_ON_ERROR.value == 'reject',
        allow_empty_splits=_ALLOW_EMPTY_SPLITS.value,
        dry_run=_DRY_RUN.value,
        clean=_CLEAN.value,
        paranoid=_PARANOID.value,
        command=_command(),
    )


def _command() -> str:
    """What to type to make this data set again. Without Beam's flags, which decide where it is made, not what it is."""
    own = flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    return shlex.join(['python', '-m', 'beam_jobs.prepare_dataset', *(f.serialize() for f in own if f.present)])


def _report(outcome: Outcome, job: pipeline.JobConfig) -> None:
    """Prints what came of the job; the last line is the directory.

    Args:
        outcome: of the job.
        job: has the folders of the rejected files, which rejects name by their paths in them.

    Raises:
        UserError: if rejects forbid the publication, or a dry run found some.
    """
    bad = rejects.unintended(outcome.rejects)
    if bad:
        sources = job.build.sources
        print(f'not usable of the images in {sources.images} and the masks in {sources.masks}:', file=sys.stderr)
        for reject in bad:
            print(f'rejected {reject.reason}: {reject.message}', file=sys.stderr)
        if len(bad) > _FEW_REJECTS:
            print(*rejects.summary(bad), sep='\n', file=sys.stderr)
    number = len(bad)
    counts = ', '.join(f'{records} in {split}' for split, records in outcome.num_records.items())
    match outcome.result:
        case Result.REJECTED if outcome.directory:
            raise errors.UserError(f'{number} rejected, listed above{_advice_of_a_rerun(outcome)}')
        case Result.REJECTED:
            raise errors.UserError(
                f'{number} rejected, listed above; nothing was published. Repair the files, or leave them out with '
                '--on_error=reject; what was made is kept, and the same command continues'
            )
        case Result.EMPTIED:
            emptied = ', '.join(outcome.emptied_splits)
            accept = '; accept that with --allow_empty_splits' if any(outcome.num_records.values()) else ''
            raise errors.UserError(
                f'{number} rejected, listed above; no pair is left in {emptied}: not published{accept}'
            )
        case Result.UNCHANGED:
            print('nothing to do: the data set is there, made from these very inputs')
        case Result.CHECKED:
            print(f'dry run: {counts}, {number} rejected; no data set was made')
        case Result.PUBLISHED:
            print(f'{counts}, {number} rejected')
    for warning in outcome.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    if outcome.fingerprint:
        print(f'fingerprint {outcome.fingerprint}')
    print(outcome.directory)
    if outcome.result is Result.CHECKED and bad:
        where = f'{outcome.directory}/{manifest.REJECTED_FILE}'
        emptied = ', '.join(split for split, records in outcome.num_records.items() if not records)
        more = f'; no pair is left in {emptied}' if emptied else ''
        raise errors.UserError(f'{number} rejected, listed above and in {where}{more}')


def _advice_of_a_rerun(outcome: Outcome) -> str:
    """What to do where a data set is there and is not what a command would make that accepts no rejects."""
    if not outcome.rejects_difference:
        return (
            f', as when {outcome.directory} was made, which stays as it is. Accept that with --on_error=reject, or '
            'repair the files and make another data set of them, with another --dataset_version or --output_dir'
        )
    return (
        f'; {outcome.directory} stays as it is: {outcome.rejects_difference}. Undo that, or make another data set '
        'without them, with --on_error=reject and another --dataset_version or --output_dir'
    )


if __name__ == '__main__':
    command_line.run(main, known_only=True, kept=_KEPT)
