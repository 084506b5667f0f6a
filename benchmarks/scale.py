"""How time and memory of prepare_dataset grow with the number of pairs.

    python -m benchmarks.scale --data=DIR [--pairs=1000,10000] [--plan=100000]

DIR holds png_images, png_masks and labels.csv; larger data sets are its pairs again under other names, as copies whose
last bytes differ, so that no two files are identical. Then the plan alone: listing, pairing, looking for identical
files, splitting, cutting into shards and fingerprints of that many pairs. Their files have the sizes of photos and
random first bytes, and take no room: planning reads no more of them.

Last the steps that once grew with the square of something, each alone in a process of its own: linking the photos of a
static scene, whose hashes are all within reach of each other, and merging the statistics of shards whose records show
200 classes, each of them beside every other.
"""

import itertools
import os
import pathlib
import random
import shutil
import sys
import tempfile

import numpy as np
from absl import flags

from benchmarks import processes
from seg_pipeline import command_line, errors
from seg_pipeline.building import fingerprints, markers
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset.manifest import Shard
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.imaging import formats
from seg_pipeline.labels import label_map
from seg_pipeline.planning import grouping, pairing, sharding
from seg_pipeline.planning.split_options import Contents, SplitOptions

_DATA = flags.DEFINE_string('data', None, 'Folder with png_images, png_masks and labels.csv.')
_PAIRS = flags.DEFINE_list('pairs', ['1000', '10000'], 'How many pairs to prepare.')
_PLAN = flags.DEFINE_integer('plan', 100_000, 'How many pairs to plan.', 1)
_PLAN_OF = flags.DEFINE_string('plan_of', None, 'Plan this folder, in this process, and end.')
_STEP = flags.DEFINE_enum('step', None, ['near_duplicates', 'statistics'], 'Do this step, in this process, and end.')

_LAYOUT = ('png_images', 'png_masks')
_PHOTO_BYTES = (300_000, 700_000)
_NUM_HASHES = 4096  # of a static scene
_NUM_SHARDS, _NUM_CLASSES, _RECORDS_OF_A_SHARD = 200, 200, 100


def main(argv: list[str]) -> None:
    """Runs the commands one after the other and prints one table."""
    if _PLAN_OF.value:
        plan(_PLAN_OF.value)
        return
    if _STEP.value:
        _STEPS[_STEP.value]()
        return
    if not _DATA.value:
        raise errors.UserError('--data=DIR is missing: a folder with png_images, png_masks and labels.csv')
    counts = [int(count) for count in _PAIRS.value]
    runs = [_prepare(count) for count in counts]
    print(f'\n{os.cpu_count()} cores\n{"":24} {"seconds":>8} {"pairs/s":>8} {"peak MiB":>9}')
    for count, run in zip(counts, runs, strict=True):
        _print_row(f'prepare {count} pairs', count, run)
    if len(runs) > 1:
        slower, larger = runs[-1].seconds / runs[0].seconds, runs[-1].peak_mib / runs[0].peak_mib
        print(f'{counts[-1] / counts[0]:.1f} times the pairs: {slower:.2f} times the time, {larger:.2f} times the peak')
    _print_row(f'plan {_PLAN.value} pairs', _PLAN.value, _plan_apart(_PLAN.value))
    _print_row(f'link {_NUM_HASHES} hashes', _NUM_HASHES, _step_apart('near_duplicates'))
    _print_row(f'merge {_NUM_SHARDS} shards', _NUM_SHARDS, _step_apart('statistics'))


def _print_row(name: str, count: int, run: processes.Run) -> None:
    print(f'{name:24} {run.seconds:8.1f} {count / run.seconds:8.1f} {run.peak_mib:9.0f}', flush=True)


def _prepare(count: int) -> processes.Run:
    with tempfile.TemporaryDirectory() as scratch:
        data = _multiplied(pathlib.Path(_DATA.value), pathlib.Path(scratch, 'data'), count)
        command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--labels={data}/labels.csv']
        folders = [f'--images={data}/{_LAYOUT[0]}', f'--masks={data}/{_LAYOUT[1]}']
        return processes.measure([*command, *folders, f'--output_dir={scratch}/out'])


def _multiplied(source: pathlib.Path, target: pathlib.Path, count: int) -> pathlib.Path:
    """The first `count` pairs of `source`, over and over."""
    for name in _LAYOUT:
        (target / name).mkdir(parents=True)
        files = pairing.list_files(str(source / name))
        for number, path in zip(range(count), itertools.cycle(files), strict=False):
            copy = target / name / f'{number:06d}{pathlib.Path(path).suffix}'
            if number < len(files):
                copy.symlink_to((source / name / path).resolve())
            else:
                shutil.copyfile(source / name / path, copy)
                with copy.open('ab') as file:  # behind the end of the picture, where no decoder looks
                    file.write(number.to_bytes(8, 'little'))
    shutil.copy(source / 'labels.csv', target)
    return target


def _plan_apart(count: int) -> processes.Run:
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as scratch:
        for name in _LAYOUT:
            folder = pathlib.Path(scratch, name)
            folder.mkdir()
            for number in range(count):
                with (folder / f'{number:06d}.png').open('wb') as file:
                    file.write(number.to_bytes(8, 'little'))
                    file.truncate(generator.randint(*_PHOTO_BYTES))
        return processes.measure([sys.executable, '-m', 'benchmarks.scale', f'--plan_of={scratch}'])


def plan(data: str) -> None:
    """What prepare_dataset does before its first pair is decoded."""
    from beam_jobs import process_memory

    process_memory.collect_rarely()
    sources = SourceFolders(os.path.join(data, _LAYOUT[0]), os.path.join(data, _LAYOUT[1]))
    options = RecordOptions(label_map.LabelMap.default(('background', 'something')))
    splitting = SplitOptions()
    pairs = pairing.match_pairs(
        pairing.list_files(sources.images), pairing.list_files(sources.masks, formats.MASK_SUFFIXES)
    ).pairs
    assignments = splitting.assign(sources.images, pairs, Contents(), options.label_map.names)
    plans = sharding.plan(pairs, assignments.split_of, {}, splitting.seed, BuildConfig.dataset_name)
    plans = list(fingerprints.with_fingerprints(sources, options, plans))
    print(f'{len(pairs)} pairs in {len(plans)} shards')


def _step_apart(step: str) -> processes.Run:
    return processes.measure([sys.executable, '-m', 'benchmarks.scale', f'--step={step}'])


def link_near_duplicates() -> None:
    """What `--near_duplicates` does with hashes of which every one is within reach of every other."""
    generator = random.Random(0)
    base = generator.getrandbits(64)
    hashes: set[int] = set()
    while len(hashes) < _NUM_HASHES:  # two of at most 4 bits differ in at most 8, the default distance
        hashes.add(base ^ sum(1 << bit for bit in generator.sample(range(64), 4)))
    links = grouping.near_duplicates({f'{number:06d}': one for number, one in enumerate(sorted(hashes))})
    print(f'{len(links)} links')


def merge_statistics() -> None:
    """What becomes of the statistics of many shards, as they come."""
    generator = np.random.default_rng(0)
    counted = SplitStatistics()
    for number in range(_RECORDS_OF_A_SHARD):
        mask = generator.integers(0, _NUM_CLASSES, (32, 32), np.uint8)
        counted.add(generator.integers(0, 256, (32, 32, 3), np.uint8), mask, (32, 32), str(number))
    marker = counted.to_json()
    shards = (Shard(f'{number:05d}', 'train', _RECORDS_OF_A_SHARD, 0, 0, '') for number in range(_NUM_SHARDS))
    made = markers.Summaries.of(
        markers.ShardSummary(shard, shard.name, (), SplitStatistics.from_json(marker)) for shard in shards
    )
    labels = label_map.LabelMap.default(tuple(f'class {number}' for number in range(_NUM_CLASSES)))
    summary = made.statistics['train'].summary(labels)
    print(f'{summary.num_records} records, {len(summary.cooccurrence)} pairs of classes')


_STEPS = {'near_duplicates': link_near_duplicates, 'statistics': merge_statistics}


if __name__ == '__main__':
    command_line.run(main)
