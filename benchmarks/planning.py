"""Time and memory of the command itself, before and after its workers, for listings of 10^4 to 10^7 pairs.

    python -m benchmarks.planning [--pairs=10000,100000] [--picture=FILE.png]

The listing is simulated: names such as `city07/img_00000123.jpg`, sizes and times of files that are nowhere, markers as
workers would have left them. Everything else is the code of `prepare_dataset`: pairs are found by external sorting,
identical files looked for among those of equal size (of which the simulation has none), groups formed by the names,
splits dealt out, shards planned and fingerprinted and written as a plan, the index written. Each number of pairs is a
process of its own, whose peak has Python and its libraries in it. Near-duplicates are not in it: comparing all hashes
grows with the square of their number, see docs/scaling.md.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

from absl import app, flags

from seg_pipeline import storage
from seg_pipeline.building import describe, fingerprints, markers
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.building.describe import Description
from seg_pipeline.building.markers import ShardSummary
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.labels import label_map
from seg_pipeline.large_plans import assigned, groups, pair_table
from seg_pipeline.planning import plan_files, splits
from seg_pipeline.planning.plan_files import PlannedShard, ShardToMake
from seg_pipeline.storage import Entry

_PAIRS = flags.DEFINE_list('pairs', ['10000', '100000', '1000000'], 'Numbers of pairs, one run each.')
_PICTURE = flags.DEFINE_string('picture', None, 'Draws the curves into this file.')
_ONE = flags.DEFINE_integer('one', None, 'Only this number, in this process, as one line of JSON.')
_STAGES = ('pairs', 'identical', 'groups', 'splits', 'plan', 'index')
_GROUP = r'img_(\d{6})'  # a hundred photos a group
_EXAMPLE_BYTES = 40_000


def main(argv: Sequence[str]) -> None:
    del argv
    if _ONE.value is not None:
        print(json.dumps(measure(_ONE.value)))
        return
    rows = []
    print(
        '| pairs | ' + ' | '.join(f'{stage}, s' for stage in _STAGES) + ' | all, s | peak, MiB | plan and index, MB |'
    )
    print('|--:|' + '--:|' * (len(_STAGES) + 3))
    for number in map(int, _PAIRS.value):
        command = [sys.executable, '-m', 'benchmarks.planning', f'--one={number}']
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        seconds = [row[stage] for stage in _STAGES]
        shown = ' | '.join(f'{value:.1f}' for value in (*seconds, sum(seconds)))
        print(f'| {number:,} | {shown} | {row["peak"]:.0f} | {row["written"] / 1e6:.0f} |', flush=True)
        rows.append((number, sum(seconds), row['peak']))
    if _PICTURE.value:
        draw(rows, _PICTURE.value)


def measure(number: int) -> dict[str, float]:
    """Plans and indexes a simulated data set; the seconds of each stage, the peak in MiB, the bytes that are left."""
    result: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        result[stage] = time.perf_counter() - began

    storage.statuses = lambda root: _status  # type: ignore[assignment]
    sources, options = SourceFolders('/images', '/masks'), RecordOptions(label_map.LabelMap.default(('a', 'b')))
    with tempfile.TemporaryDirectory() as directory:
        config = BuildConfig(sources, directory, options)
        with timed('pairs'):
            pairs = pair_table.match(_names(number, 'jpg'), _names(number, 'png')).pairs
        with timed('identical'):
            links = groups.identical_files(sources.images, pairs, _status)
        with timed('groups'):
            formed = groups.form(pairs, _GROUP, iter((links,)))
        with timed('splits'):
            assignments = assigned.by_fractions(formed, splits.parse_fractions('train:0.8,validation:0.2'), 0)
        with timed('plan'):
            with_fingerprint = fingerprints.Fingerprinter(sources, options)
            shards = assignments.shards({}, 0, config.dataset_name, options.file_format, config.image_size)
            planned = (ShardToMake(with_fingerprint(plan), reasons) for plan, reasons in shards)
            written = plan_files.written(directory, planned)
            _, shard_list = written.__enter__()
        summaries = [_finish(directory, shard) for shard in shard_list]  # what the workers do
        with timed('index'):
            by_name = {shard.name: shard for shard in shard_list}
            what = Description(config, lambda name: by_name[name].assignments())
            markers.read_ignored_shares(directory, summaries).standing_out()
            describe.write_index(what, directory, summaries, directory)
        index = os.path.join(directory, manifest.RECORDS_FILE)
        result['written'] = os.path.getsize(index) + sum(
            os.path.getsize(path) for path in {shard.file for shard in shard_list}
        )
        with open(index, 'rb') as file:
            assert sum(1 for _ in file) == number
        written.__exit__(None, None, None)
    result['peak'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def _names(number: int, suffix: str) -> Iterator[str]:
    return (f'city{place % 97:02d}/img_{place:08d}.{suffix}' for place in range(number))


def _status(path: str) -> Entry:
    return Entry(_EXAMPLE_BYTES + int(path[-12:-4]), 1_700_000_000_000_000_000, path)


def _finish(directory: str, planned: PlannedShard) -> ShardSummary:
    """Leaves the marker of a shard, as a worker does that has made it."""
    entries = [
        RecordEntry(pair.key, planned.split, planned.name, place, pair.image, pair.mask, 'a' * 64, 'b' * 64, 825, 550)
        for place, pair in enumerate(planned.load().pairs)
    ]
    shard = manifest.Shard(planned.name, planned.split, len(entries), 0, 0, '')
    summary = ShardSummary(shard, planned.fingerprint, (), SplitStatistics())
    markers.write(directory, summary, entries, [0.0] * len(entries))
    return summary


def draw(rows: Sequence[tuple[int, float, float]], path: str) -> None:
    """Draws seconds and MiB over the number of pairs, all on logarithmic axes."""
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout='constrained')
    numbers = [row[0] for row in rows]
    for axis, place, title in zip(axes, (1, 2), ('seconds', 'peak memory, MiB'), strict=True):
        axis.loglog(numbers, [row[place] for row in rows], 'o-')
        axis.set(xlabel='pairs', title=title)
        axis.grid(visible=True, which='both', alpha=0.3)
    axes[1].axhline(2048, color='tab:red', linewidth=1)
    axes[1].annotate('2 GiB', (numbers[0], 1900), va='top', color='tab:red')
    figure.savefig(path, dpi=110)


if __name__ == '__main__':
    app.run(main)
