"""Pairs a second and peak memory of prepare_dataset, beside other ways to do the same work.

    python -m benchmarks.prepare --data=DIR [--repeats=3] [--streaming_python=PYTHON]

DIR holds png_images, png_masks and labels.csv. mosaicml-streaming refuses the numpy that TensorFlow is tested with and
brings PyTorch: it takes part where PYTHON is given, the interpreter of an environment of its own. Every contender is a
command of its own and runs twice in each round, on few pairs and on all; the difference of the two gives its rate, and
what is left of the shorter run its start-up, so that no contender is asked to time itself. The contenders take turns,
so that a machine that slows down slows all. Peak memory is the largest VmHWM of any process of the contender, as the
kernel keeps it (Linux).
"""

import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

from absl import flags

from benchmarks import pairs_of, processes
from seg_pipeline import command_line, errors
from seg_pipeline.building import pair as pair_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing, sharding

_DATA = flags.DEFINE_string('data', None, 'Folder with png_images, png_masks and labels.csv.')
_PAIRS = flags.DEFINE_integer('pairs', 1000, 'How many pairs the long runs take.', 50)
_REPEATS = flags.DEFINE_integer('repeats', 3, 'Rounds; the table shows medians.', 1)
_ONLY = flags.DEFINE_list('only', [], 'Names of contenders; default: all.')
_STREAMING_PYTHON = flags.DEFINE_string(
    'streaming_python', None, 'Interpreter with mosaicml-streaming and seg-pipeline; without it, it does not take part.'
)
_CONTENDER = flags.DEFINE_string('contender', None, 'Run this one alone, in this process, on --data.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Where that contender writes.')

_FEW = 20
_PROCESSES = 2
_SIZE = (128, 128)

_Part = tuple[BuildConfig, tuple[pairing.SourcePair, ...], int]  # with the number of the part


def main(argv: list[str]) -> None:
    """Runs every contender and prints one table."""
    if not _DATA.value:
        raise errors.UserError('--data=DIR is missing: a folder with png_images, png_masks and labels.csv')
    if _CONTENDER.value:
        CONTENDERS[_CONTENDER.value](pathlib.Path(_DATA.value), pathlib.Path(_OUTPUT_DIR.value))
        return
    names = _ONLY.value or [name for name in CONTENDERS if name != 'streaming' or _STREAMING_PYTHON.value]
    if 'streaming' in names and not _STREAMING_PYTHON.value:
        raise errors.UserError('--only=streaming needs --streaming_python=PYTHON: see CONTRIBUTING.md')
    with tempfile.TemporaryDirectory() as scratch:
        few = pairs_of.link(_DATA.value, pathlib.Path(scratch, 'few'), _FEW)
        many = pairs_of.link(_DATA.value, pathlib.Path(scratch, 'many'), _PAIRS.value)
        rounds = [
            {name: (_measure(name, few, scratch), _measure(name, many, scratch)) for name in names}
            for _ in range(_REPEATS.value)
        ]
    _print_table(names, rounds)


def _measure(name: str, data: pathlib.Path, scratch: str) -> processes.Run:
    output_dir = tempfile.mkdtemp(dir=scratch)
    python = _STREAMING_PYTHON.value if name == 'streaming' else sys.executable
    command = [python, '-m', 'benchmarks.prepare', f'--contender={name}']
    run = processes.measure([*command, f'--data={data}', f'--output_dir={output_dir}'])
    shutil.rmtree(output_dir)
    return run


def _print_table(names: list[str], rounds: list[dict[str, tuple[processes.Run, processes.Run]]]) -> None:
    extra = _PAIRS.value - _FEW
    rates = {name: [extra / (many.seconds - few.seconds) for few, many in (r[name] for r in rounds)] for name in names}
    print(f'\n{_PAIRS.value} pairs to {_SIZE[0]}x{_SIZE[1]}, medians of {len(rounds)} rounds, {os.cpu_count()} cores')
    print(f'{"":16} {"pairs/s":>8} {"min..max":>14} {"/ pool":>7} {"start-up s":>11} {"whole s":>8} {"peak MiB":>9}')
    for name in names:
        rate = statistics.median(rates[name])
        whole = statistics.median(r[name][1].seconds for r in rounds)
        start_up = statistics.median(r[name][0].seconds for r in rounds) - _FEW / rate
        peak = max(run.peak_mib for r in rounds for run in r[name])
        ratio = '-'
        if 'pool' in names:
            # Round by round: neighbours in time saw the same machine.
            ratio = f'{statistics.median(a / b for a, b in zip(rates[name], rates["pool"], strict=True)):.2f}'
        spread = f'{min(rates[name]):.1f}..{max(rates[name]):.1f}'
        print(f'{name:16} {rate:8.1f} {spread:>14} {ratio:>7} {start_up:11.1f} {whole:8.1f} {peak:9.0f}')


# The contenders.


def _job(data: pathlib.Path, output_dir: pathlib.Path) -> BuildConfig:
    return BuildConfig(
        SourceFolders(str(data / 'png_images'), str(data / 'png_masks')),
        str(output_dir),
        RecordOptions(label_map.read(str(data / 'labels.csv')), image_size=_SIZE),
    )


def _pairs(config: BuildConfig) -> tuple[pairing.SourcePair, ...]:
    sources = config.sources
    return pairing.match_pairs(pairing.list_files(sources.images), pairing.list_files(sources.masks)).pairs


def run_prepare_dataset(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """The command, as a user gives it."""
    command = [
        *(sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={data}/png_images'),
        *(f'--masks={data}/png_masks', f'--labels={data}/labels.csv', f'--output_dir={output_dir}'),
    ]
    subprocess.run(command, check=True)


def run_pool(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """A bare multiprocessing pool over the same functions: decode, check, resize, encode; nothing is kept."""
    config = _job(data, output_dir)
    with multiprocessing.get_context('spawn').Pool(_PROCESSES) as pool:
        for _ in pool.imap_unordered(_one_pair, [(config, pair) for pair in _pairs(config)], chunksize=8):
            pass


def _in_processes(write: Callable[[_Part], None], config: BuildConfig) -> None:
    """Gives every process an equal part of the pairs, and a writer of its own."""
    pairs = _pairs(config)
    parts = [(config, pairs[index::_PROCESSES], index) for index in range(_PROCESSES)]
    with multiprocessing.get_context('spawn').Pool(_PROCESSES) as pool:
        pool.map(write, parts)


def _serialize(config: BuildConfig, pair: pairing.SourcePair) -> bytes:
    return pair_lib.serialize(config.records, pair, pair_lib.read(config.sources, config.records, pair))


def _one_pair(work: tuple[BuildConfig, pairing.SourcePair]) -> int:
    config, pair = work
    return len(_serialize(config, pair))


def run_script(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """A plain script in one process: the same functions, TensorFlow's writer."""
    import tensorflow as tf

    config = _job(data, output_dir)
    with tf.io.TFRecordWriter(str(output_dir / 'all.tfrecord')) as writer:
        for pair in _pairs(config):
            writer.write(_serialize(config, pair))


def run_webdataset(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """webdataset's ShardWriter, one for each of two processes, over the same functions."""
    _in_processes(_write_tar, _job(data, output_dir))


def _write_tar(part: _Part) -> None:
    import webdataset

    from seg_pipeline.imaging import images

    config, pairs, index = part
    pattern = os.path.join(config.output_dir, f'part{index}-%05d.tar')
    with webdataset.ShardWriter(pattern, maxcount=sharding.PAIRS_PER_SHARD, verbose=0) as writer:
        for pair in pairs:
            prepared = pair_lib.read(config.sources, config.records, pair)
            image, mask = images.encode_png(prepared.image), images.encode_png(prepared.mask)
            writer.write({'__key__': pair.key, 'image.png': image, 'mask.png': mask})


def run_streaming(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """mosaicml-streaming's MDSWriter, one for each of two processes, over the same functions."""
    _in_processes(_write_mds, _job(data, output_dir))


def _write_mds(part: _Part) -> None:
    import streaming

    from seg_pipeline.imaging import images

    config, pairs, index = part
    columns = {'key': 'str', 'image': 'bytes', 'mask': 'bytes'}
    with streaming.MDSWriter(out=os.path.join(config.output_dir, str(index)), columns=columns) as writer:
        for pair in pairs:
            prepared = pair_lib.read(config.sources, config.records, pair)
            image, mask = images.encode_png(prepared.image), images.encode_png(prepared.mask)
            writer.write({'key': pair.key, 'image': image, 'mask': mask})


def run_tfds(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """TFDS's own generator builder, as its documentation has it."""
    from benchmarks import tfds_builder

    config = _job(data, output_dir)
    tfds_builder.Pairs(config, _pairs(config), _SIZE).download_and_prepare()


def run_article(data: pathlib.Path, output_dir: pathlib.Path) -> None:
    """The article's preparation: TensorFlow ops, every pair decoded and resized into a Python list."""
    import tensorflow as tf

    config = _job(data, output_dir)
    images, masks = [], []
    for pair in _pairs(config):
        image = tf.io.decode_png(tf.io.read_file(config.sources.image_path(pair.image)), channels=3)
        mask = tf.io.decode_png(tf.io.read_file(config.sources.mask_path(pair.mask)), channels=1)
        images.append(image)
        masks.append(mask)
    images = [tf.image.resize(image, _SIZE) for image in images]
    masks = [tf.cast(tf.image.resize(mask, _SIZE), tf.uint8) for mask in masks]
    tf.data.Dataset.from_tensor_slices((tf.stack(images), tf.stack(masks)))


CONTENDERS = {
    'prepare_dataset': run_prepare_dataset,
    'pool': run_pool,
    'script': run_script,
    'webdataset': run_webdataset,
    'streaming': run_streaming,
    'tfds': run_tfds,
    'article': run_article,
}

if __name__ == '__main__':
    command_line.run(main)
