"""Images a second of the input pipeline, beside the tf.data of the article, from the same shards.

python -m benchmarks.input_pipeline --data_dir=DATASET_DIR [flags]

Each contender runs in a process of its own. "first" is the first epoch: reading, decoding, tracing and filling caches
included; "later" is the median of those after it. The article's own decoding of full-size PNG files is not part of
this: it gets the decoded arrays of the split, and its seconds for that are those of this project.
"""

import dataclasses
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from absl import flags

from seg_pipeline import command_line
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.dataset.dataset_split import DatasetSplit
from trainer import tensorflow_setup

_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Data set: the directory that prepare_dataset printed.', required=True
)
_SPLIT = flags.DEFINE_string('split', 'train', 'Split to read.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 64, 'Images in a batch.', 1)
_EPOCHS = flags.DEFINE_integer(
    'epochs', 4, 'Epochs, the first included. The article sees each pair once for each op.', 2
)
_CONTENDER = flags.DEFINE_string(
    'contender', None, 'Run this one alone, in this process, and print its result as JSON.'
)

_SHUFFLE_BUFFER = 1000
_MIB_PER_RSS_UNIT = 2**-20 if sys.platform == 'darwin' else 2**-10

# An endless stream of batches and how many images are an epoch of it.
_Source = tuple[Iterator[Any], int]


@dataclasses.dataclass(frozen=True)
class Result:
    """What one contender did.

    Attributes:
        images_an_epoch: images in an epoch.
        seconds_to_first_batch: from nothing, TensorFlow loaded.
        first: images a second of the first epoch.
        later: the same of the median of the following ones.
        peak_rss_mib: of the whole process.
    """

    images_an_epoch: int
    seconds_to_first_batch: float
    first: float
    later: float
    peak_rss_mib: float


def main(argv: list[str]) -> None:
    """Measures every contender and prints one table."""
    del argv
    tensorflow_setup.start_tensorflow()
    if _CONTENDER.value:
        print(json.dumps(dataclasses.asdict(_measure(CONTENDERS[_CONTENDER.value]))))
        return
    manifest = manifest_lib.read(_DATA_DIR.value)
    size = '{}x{}'.format(*manifest.image_size)
    print(f'{manifest.num_records(_SPLIT.value)} images of {size}, batch {_BATCH_SIZE.value}, {os.cpu_count()} cores')
    print(f'{"images/s":38} {"first":>8} {"later":>8} {"epoch":>7} {"1st batch s":>12} {"peak MiB":>9}')
    for name in CONTENDERS:
        result = _measure_apart(name)
        print(
            f'{name:38} {result.first:8.0f} {result.later:8.0f} {result.images_an_epoch:7} '
            f'{result.seconds_to_first_batch:12.2f} {result.peak_rss_mib:9.0f}',
            flush=True,
        )


def _measure_apart(name: str) -> Result:
    """Runs one contender in a fresh process."""
    command = [sys.executable, '-m', 'benchmarks.input_pipeline', *sys.argv[1:], f'--contender={name}']
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def _measure(start: Callable[[], _Source]) -> Result:
    import tensorflow as tf

    tf.zeros(1)  # Starts the runtime.
    marks = [time.perf_counter()]
    batches, images_an_epoch = start()
    next(batches)
    to_first_batch = time.perf_counter() - marks[0]
    batches_an_epoch = max(2, round(images_an_epoch / _BATCH_SIZE.value))
    for epoch in range(_EPOCHS.value):
        for _ in itertools.islice(batches, batches_an_epoch - (epoch == 0)):
            pass
        marks.append(time.perf_counter())
    rates = [batches_an_epoch * _BATCH_SIZE.value / (b - a) for a, b in itertools.pairwise(marks)]
    return Result(
        images_an_epoch=images_an_epoch,
        seconds_to_first_batch=to_first_batch,
        first=rates[0],
        later=statistics.median(rates[1:]),
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MIB_PER_RSS_UNIT,
    )


def _own(policy: str, cache_budget_bytes: int) -> _Source:
    from seg_pipeline.input import augmentation, pipeline

    split = DatasetSplit.read(_DATA_DIR.value, _SPLIT.value)
    batches = pipeline.train_batches(
        split,
        batch_size=_BATCH_SIZE.value,
        global_batch_size=_BATCH_SIZE.value,
        seed=0,
        start_step=0,
        policy=augmentation.POLICIES[policy],
        cache_budget_bytes=cache_budget_bytes,
        shuffle_buffer=_SHUFFLE_BUFFER,
    )
    return iter(batches), split.num_records


def _article(augmented: bool) -> _Source:
    """The article's pipeline: float images in memory, one more copy of the data set for each op, all of it cached."""
    import tensorflow as tf

    from seg_pipeline.input import decoding

    images, masks = decoding.load_split(DatasetSplit.read(_DATA_DIR.value, _SPLIT.value))
    original = tf.data.Dataset.from_tensor_slices((tf.image.convert_image_dtype(images, tf.float32), masks))
    dataset = original
    for op in _article_ops() if augmented else ():
        dataset = dataset.concatenate(original.map(op))
    images_an_epoch = len(dataset)
    dataset = dataset.cache().shuffle(_SHUFFLE_BUFFER).batch(_BATCH_SIZE.value).repeat()
    return iter(dataset.prefetch(tf.data.AUTOTUNE)), images_an_epoch


def _article_ops() -> list[Callable[[Any, Any], tuple[Any, Any]]]:
    import tensorflow as tf

    def crop(picture: Any) -> Any:
        return tf.image.resize(tf.image.central_crop(picture, 0.7), picture.shape[:2])

    return [
        lambda image, mask: (tf.image.adjust_brightness(image, 0.1), mask),
        lambda image, mask: (tf.image.adjust_gamma(image, 0.1), mask),
        lambda image, mask: (tf.image.adjust_hue(image, -0.1), mask),
        lambda image, mask: (crop(image), tf.cast(crop(mask), tf.uint8)),
        lambda image, mask: (tf.image.flip_left_right(image), tf.image.flip_left_right(mask)),
        lambda image, mask: (tf.image.flip_up_down(image), tf.image.flip_up_down(mask)),
        lambda image, mask: (tf.image.rot90(image), tf.image.rot90(mask)),
    ]


_MEMORY, _NO_MEMORY = 2**40, 0
CONTENDERS: dict[str, Callable[[], _Source]] = {
    'seg_pipeline, in memory': lambda: _own('none', _MEMORY),
    'seg_pipeline, in memory, augmented': lambda: _own('article', _MEMORY),
    'seg_pipeline, streamed': lambda: _own('none', _NO_MEMORY),
    'seg_pipeline, streamed, augmented': lambda: _own('article', _NO_MEMORY),
    "the article's tf.data": lambda: _article(augmented=False),
    "the article's tf.data, augmented": lambda: _article(augmented=True),
}


if __name__ == '__main__':
    command_line.run(main)
