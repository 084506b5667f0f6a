"""Makes a data set of a folder of images and a folder of masks.

    python -m beam_jobs.prepare_dataset --images=DIR --masks=DIR --labels=labels.csv --output_dir=OUT

The last line printed is the directory of the data set. The same command again continues where an interrupted one
stopped. Flags that are not listed here go to Beam (`--direct_num_workers=4`, `--runner=FlinkRunner`, ...).
"""

import re
import shlex
import sys
from collections.abc import Sequence

import apache_beam as beam
from absl import flags
from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs import inputs, planning, process_memory, progress, runners, transforms
from seg_pipeline import command_line, errors, storage
from seg_pipeline.building import content_scan, dry_run, existing, preparation, publish, work_dir
from seg_pipeline.building.preparation import Preparation
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import images, masks, resizing
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.planning import assignment, grouping, pairing, sharding, splits, stratification
from seg_pipeline.records import array_record, schemas

_DEFAULTS = Preparation  # a dataclass's defaults are attributes of its class

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
_DATASET_NAME = flags.DEFINE_string('dataset_name', _DEFAULTS.dataset_name, 'TFDS name: lower case, digits and _.')
_DATASET_VERSION = flags.DEFINE_string('dataset_version', _DEFAULTS.version, 'TFDS version: MAJOR.MINOR.PATCH.')
_IMAGE_SIZE = flags.DEFINE_string(
    'image_size', '{},{}'.format(*_DEFAULTS.image_size), 'HEIGHT,WIDTH of the records, in pixels.'
)
_RESIZE = flags.DEFINE_enum(
    'resize',
    _DEFAULTS.resize,
    resizing.MODES,
    'squash: the whole image, its aspect ratio changed; letterbox: the whole image between borders, black in the image '
    'and ignored in the mask; crop: the middle of the image, of the right aspect ratio.',
)
_MASK_RESIZE = flags.DEFINE_enum(
    'mask_resize',
    _DEFAULTS.mask_resize,
    resizing.MASK_MODES,
    'nearest: the id under the centre of each new pixel; majority: the most frequent id in it.',
)
_IMAGE_ENCODING = flags.DEFINE_enum(
    'image_encoding', _DEFAULTS.image_encoding, images.ENCODINGS, 'How images are stored; masks are always PNG.'
)
_SCHEMA = flags.DEFINE_enum(
    'schema',
    _DEFAULTS.schema,
    schemas.SCHEMAS,
    "What the parts of a record are called: tfds, or model_garden for TensorFlow Model Garden's decoders; TFDS and the "
    'trainer do not read the latter.',
)
_FILE_FORMAT = flags.DEFINE_enum(
    'file_format',
    _DEFAULTS.file_format,
    preparation.FILE_FORMATS,
    'tfrecord, or array_record for tfds.data_source and Grain; the trainer does not read the latter.',
)
_MASK_FORMAT = flags.DEFINE_enum(
    'mask_format',
    _DEFAULTS.mask_format,
    masks.MASK_FORMATS,
    'ids: grey values or palette indices; color: the colours of the label table; binary: 0 and 255 are the classes 0 '
    'and 1; auto: colour images by colour, others by id.',
)
_IGNORE_ID = flags.DEFINE_integer('ignore_id', label_map.DEFAULT_IGNORE_ID, 'Id of the pixels that count for nothing.')
_SPLITS = flags.DEFINE_string('splits', 'train:0.8,validation:0.2', 'Share of each split; they add up to 1.')
_SPLIT_FILES = flags.DEFINE_string(
    'split_files', None, 'Official lists instead of --splits, as train:FILE,validation:FILE; one name a line.'
)
_GROUP_REGEX = flags.DEFINE_string(
    'group_regex', None, "Its first group, found in an image's path, names what stays on one side: a person, a day."
)
_NEAR_DUPLICATES = flags.DEFINE_enum(
    'near_duplicates',
    planning.SplitChoice.near_duplicates,
    grouping.NEAR_DUPLICATES,
    'group: nearly identical photos stay on one side, found by a perceptual hash in a pass of its own. Byte-identical '
    'ones always do.',
)
_NEAR_DUPLICATE_DISTANCE = flags.DEFINE_integer(
    'near_duplicate_distance', planning.SplitChoice.max_distance, 'How many of 64 bits may differ then.', 0, 31
)
_STRATIFY = flags.DEFINE_enum(
    'stratify',
    planning.SplitChoice.stratify,
    stratification.STRATIFY,
    'rare: every class that at least two groups have is in every split, found in a pass of its own.',
)
_SEED = flags.DEFINE_integer('seed', 0, 'Decides, with the keys, splits and order.')
_NUM_SHARDS = flags.DEFINE_string(
    'num_shards', '', f'As train:8,validation:2; by default one for each {sharding.PAIRS_PER_SHARD} pairs.'
)
_IMAGE_KEY_REGEX = flags.DEFINE_string('image_key_regex', None, "Finds the key in an image's path: its first group.")
_MASK_KEY_REGEX = flags.DEFINE_string('mask_key_regex', None, "Finds the key in a mask's path: its first group.")
_MAX_PIXELS = flags.DEFINE_integer('max_pixels', _DEFAULTS.max_pixels, 'Images with more are rejected unread.')
_ON_ERROR = flags.DEFINE_enum(
    'on_error', 'fail', ('fail', 'reject'), 'What bad pairs do: end the job, or stay out of the data set.'
)
_DRY_RUN = flags.DEFINE_bool(
    'dry_run',
    False,
    'Check and count everything, write the report to DATASET_NAME/HEIGHTxWIDTH/dry_run, and make no data set.',
)
_CLEAN = flags.DEFINE_bool('clean', False, 'Removes what commands with other inputs or options left unfinished.')

EXIT_INTERRUPTED_JOB = 1


def main(argv: list[str]) -> int:
    process_memory.share_heaps()
    process_memory.collect_rarely()
    try:
        _prepare(runners.parse_options(argv[1:]))
        return 0
    except runners.LostWorkerError as error:
        print(f'error: {error}; finished shards are kept: the same command continues', file=sys.stderr)
        return EXIT_INTERRUPTED_JOB


def _prepare(options: PipelineOptions) -> None:
    storage.configure(options)
    if _FILE_FORMAT.value == 'array_record':
        array_record.check_installed()
    for path in (_IMAGES.value, _MASKS.value, _LABELS.value, _OUTPUT_DIR.value):
        storage.check(path or '')
    choice = _split_choice()
    job = _preparation(choice)
    found = _find_pairs(job)
    pairs = choice.members(found.pairs)
    if manifest.is_taken(job.dataset_dir) and not job.dry_run:
        return _already_there(job, pairs)
    counts = sharding.parse_counts(_NUM_SHARDS.value, choice.names)
    batches = planning.scan(job, choice, pairs, options)
    placements = planning.place(job, choice, pairs, batches)
    plans = sharding.plan(
        pairs, placements.split_of, counts, choice.seed, job.dataset_name, file_format=job.file_format
    )
    plans = preparation.with_fingerprints(job, plans)
    _announce(plans, placements)
    _report_foreign(job, [plan.fingerprint for plan in (*batches, *plans)])
    names = tuple(plan.name for plan in plans)
    work = publish.Publication(
        job,
        names,
        found.rejects,
        allow_rejects=_ON_ERROR.value == 'reject',
        placements=placements.by_key,
        duplicates=placements.duplicates,
        command=_command(),
    )
    with work_dir.held(job.work_dir):
        with progress.Progress(job, plans):
            runners.run(
                lambda pipeline: (
                    pipeline
                    | 'Plans' >> beam.Create(plans, reshuffle=False)  # ShardPlan
                    | beam.Reshuffle()  # one by one to the workers: paths travel, never pixels
                    | transforms.WriteShards(job)  # ShardSummary
                    | beam.CombineGlobally(beam.combiners.ToListCombineFn())  # list[ShardSummary]
                    | (transforms.ReportFindings(work) if job.dry_run else transforms.PublishDataset(work))
                ),
                options,
            )
        if not job.dry_run:
            _conclude(work, plans)
        content_scan.forget(job, batches)
    if job.dry_run:
        _conclude_dry_run(job)


def _preparation(choice: planning.SplitChoice) -> Preparation:
    if not re.fullmatch(r'[a-z][a-z0-9_]*', _DATASET_NAME.value):
        raise errors.UserError(f'--dataset_name={_DATASET_NAME.value}: TFDS wants lower case letters, digits and _')
    if not re.fullmatch(r'\d+\.\d+\.\d+', _DATASET_VERSION.value):
        raise errors.UserError(f'--dataset_version={_DATASET_VERSION.value}: wanted MAJOR.MINOR.PATCH, as 1.0.0')
    found = inputs.resolve(
        _IMAGES.value, _MASKS.value, _LABELS.value, _SOURCE.value, inputs.download_dir(_OUTPUT_DIR.value)
    )
    classes, mapping = _read_classes(found.labels)
    return Preparation(
        images=found.images,
        masks=found.masks,
        output_dir=_OUTPUT_DIR.value,
        label_map=classes,
        remapping=mapping,
        dataset_name=_DATASET_NAME.value,
        version=_DATASET_VERSION.value,
        image_size=_parse_size(_IMAGE_SIZE.value),
        resize=_RESIZE.value,
        mask_resize=_MASK_RESIZE.value,
        image_encoding=_IMAGE_ENCODING.value,
        schema=_SCHEMA.value,
        file_format=_FILE_FORMAT.value,
        mask_format=_MASK_FORMAT.value,
        max_pixels=_MAX_PIXELS.value,
        split_options={**choice.to_json(), 'num_shards': _NUM_SHARDS.value},
        dry_run=_DRY_RUN.value,
    )


def _read_classes(labels: str) -> tuple[label_map.LabelMap, remapping.Remapping | None]:
    if not _REMAP.value:
        return label_map.read(labels, _IGNORE_ID.value), None
    return remapping.read(_REMAP.value, label_map.read_source(labels, _IGNORE_ID.value))


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.replace('x', ',').split(',')
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise errors.UserError(f'--image_size={text}: wanted HEIGHT,WIDTH in pixels, as 128,128')
    return int(parts[0]), int(parts[1])


def _split_choice() -> planning.SplitChoice:
    lists = _read_split_files() if _SPLIT_FILES.value else None
    return planning.SplitChoice(
        shares=None if lists else splits.parse_fractions(_SPLITS.value),
        lists=lists,
        seed=_SEED.value,
        group_regex=_GROUP_REGEX.value,
        near_duplicates=_NEAR_DUPLICATES.value,
        max_distance=_NEAR_DUPLICATE_DISTANCE.value,
        stratify=_STRATIFY.value,
    )


def _read_split_files() -> dict[str, list[str]]:
    lists = {}
    for split, path in splits.parse(_SPLIT_FILES.value, 'split_files').items():
        try:
            lines = storage.read_bytes(path).decode().splitlines()
            lists[split] = [line.strip() for line in lines if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise errors.UserError(f'--split_files: {path}: cannot be read: {error}') from error
    return lists


def _find_pairs(job: Preparation) -> pairing.Pairing:
    found = pairing.list_files(job.images), pairing.list_files(job.masks, pairing.MASK_SUFFIXES)
    result = pairing.match_pairs(*found, _IMAGE_KEY_REGEX.value, _MASK_KEY_REGEX.value)
    if not result.pairs:
        examples = [f'{len(paths)} files' + (f' such as {paths[0]}' if paths else '') for paths in found]
        raise errors.UserError(
            f'no image has a mask: {job.images} holds {examples[0]}, {job.masks} holds {examples[1]}; '
            'give --image_key_regex and --mask_key_regex'
        )
    return result


def _command() -> str:
    """What to type to make this data set again. Without Beam's flags, which decide where it is made, not what it is."""
    own = flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
    return shlex.join(['python', '-m', 'beam_jobs.prepare_dataset', *(f.serialize() for f in own if f.present)])


def _announce(plans: Sequence[sharding.ShardPlan], placements: assignment.Placements) -> None:
    for split in dict.fromkeys(plan.split for plan in plans):
        members = [plan for plan in plans if plan.split == split]
        print(f'{split}: {sum(len(plan.pairs) for plan in members)} pairs in {len(members)} shards')
    if placements.duplicates:
        photos = sum(map(len, placements.duplicates))
        print(f'{photos} photos are identical or nearly identical to others: {len(placements.duplicates)} groups')
    for warning in placements.warnings:
        print(f'warning: {warning}', file=sys.stderr)


def _report_foreign(job: Preparation, own: Sequence[str]) -> None:
    """Says what other commands left or are making beside this one's work, and removes it with --clean."""
    paths = work_dir.foreign(job.work_dir, frozenset(own))
    if not paths:
        return
    what = f'{job.work_dir}: {len(paths)} files of other commands, {work_dir.num_bytes(paths) / 1e6:.1f} MB'
    if _CLEAN.value:
        work_dir.clean(job.work_dir, frozenset(own))
        print(f'{what}, removed')
    else:
        print(f'{what}; --clean removes them')


def _already_there(job: Preparation, pairs: Sequence[pairing.Pair]) -> None:
    if found := existing.difference(job, pairs):
        raise errors.UserError(
            f'{job.dataset_dir}: there is a data set made from something else: {found}; '
            'remove it, or give another --dataset_version or --output_dir'
        )
    _report_foreign(job, [])
    rejected = existing.published_rejects(job)
    if rejected and _ON_ERROR.value != 'reject':
        raise errors.UserError(
            f'{job.dataset_dir}: the data set that is there was made without {len(rejected)} rejected files or pairs, '
            f'which {manifest.REJECTED_FILE} lists; accept that with --on_error=reject'
        )
    print('nothing to do: the data set is there, made from these very inputs')
    print(job.dataset_dir)


def _conclude(work: publish.Publication, plans: Sequence[sharding.ShardPlan]) -> None:
    """Prints what came out, from what the workers left: the same on every engine."""
    rejected = publish.read_rejects(work, plans)
    for reject in rejected:
        print(f'rejected {reject.reason}: {reject.message}', file=sys.stderr)
    if rejected and not work.allow_rejects:
        raise errors.UserError(
            f'{len(rejected)} rejected, listed above; nothing was published. Mend them, or leave them out with '
            '--on_error=reject; what was made is kept, and the same command continues'
        )
    if rejected and not manifest.is_taken(work.job.dataset_dir):
        found = [summary for plan in plans if (summary := preparation.read_marker(work.job, plan))]
        emptied = ', '.join(publish.emptied_splits(found))
        raise errors.UserError(f'{len(rejected)} rejected, listed above; no pair is left in {emptied}: not published')
    built = manifest.read(work.job.dataset_dir)
    counts = ', '.join(f'{built.num_records(split)} in {split}' for split in built.split_names)
    print(f'{counts}, {len(rejected)} rejected; fingerprint {built.fingerprint[:12]}')
    print(work.job.dataset_dir)


def _conclude_dry_run(job: Preparation) -> None:
    """Prints what a dry run found, from its report."""
    directory = dry_run.report_dir(job)
    rejected = dry_run.read_rejects(directory)
    for reject in rejected:
        print(f'rejected {reject.reason}: {reject.message}', file=sys.stderr)
    good = ', '.join(f'{number} in {split}' for split, number in dry_run.count_records(directory).items())
    print(f'dry run: {good}, {len(rejected)} rejected; no data set was made')
    print(directory)
    if rejected:
        raise errors.UserError(f'{len(rejected)} rejected, listed above and in {directory}/{manifest.REJECTED_FILE}')


if __name__ == '__main__':
    command_line.run(main, known_only=True)
