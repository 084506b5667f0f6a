"""Pairs a second and overhead of prepare_dataset on every engine, beside Beam's own runner.

    python -m benchmarks.engines --data=DIR [--pairs=1000] [--repeats=3]

DIR holds png_images, png_masks and labels.csv. Needs what `python -m tools.engines` needs. The command runs twice on
each engine in each round, on few pairs and on all: the difference gives the rate, what is left of the shorter run the
overhead, from the command's start to the first pair and from the last one to its end. Clusters, of two hosts with one
worker each, are up before: the seconds they took for it stand in a column of their own.
"""

import contextlib
import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence

from absl import flags

from benchmarks import pairs_of
from seg_pipeline import command_line, errors
from tools.engines import flink, hosts, prism, spark

_DATA = flags.DEFINE_string('data', None, 'Folder with png_images, png_masks and labels.csv.', required=True)
_PAIRS = flags.DEFINE_integer('pairs', 1000, 'How many pairs the long runs take.', 50)
_REPEATS = flags.DEFINE_integer('repeats', 3, 'Rounds; the table shows medians.', 1)

_FEW = 20
_ENGINES = {'prism': prism, 'flink': flink, 'spark': spark}


@dataclasses.dataclass(frozen=True)
class _Way:
    """How the command is run on an engine.

    Attributes:
        prefix: of its command line: the host where it starts.
        arguments: its flags.
        environment: variables for it.
        seconds_to_start: of the cluster.
    """

    prefix: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds_to_start: float = 0.0


def main(argv: list[str]) -> None:
    """Measures every engine and prints one table."""
    del argv
    if problem := hosts.why_not():
        raise errors.OutsideError(problem)
    print(f'{_PAIRS.value} pairs to 128x128, medians of {_REPEATS.value} rounds, {os.cpu_count()} cores')
    print(f'{"":24} {"pairs/s":>8} {"min..max":>14} {"/ own":>6} {"overhead s":>11} {"whole s":>8} {"cluster s":>10}')
    own = None
    for name, way in _ways():
        with way as started, tempfile.TemporaryDirectory() as scratch:
            few = pairs_of.link(_DATA.value, pathlib.Path(scratch, 'few'), _FEW)
            many = pairs_of.link(_DATA.value, pathlib.Path(scratch, 'many'), _PAIRS.value)
            rounds = [(_seconds(started, few), _seconds(started, many)) for _ in range(_REPEATS.value)]
        rates = [(_PAIRS.value - _FEW) / (long - short) for short, long in rounds]
        rate = statistics.median(rates)
        own = own or rate
        overhead = statistics.median(short for short, _ in rounds) - _FEW / rate
        whole = statistics.median(long for _, long in rounds)
        spread = f'{min(rates):.1f}..{max(rates):.1f}'
        print(
            f'{name:24} {rate:8.1f} {spread:>14} {rate / own:6.2f} {overhead:11.1f} {whole:8.1f} '
            f'{started.seconds_to_start:10.1f}',
            flush=True,
        )


def _ways() -> Iterator[tuple[str, contextlib.AbstractContextManager[_Way]]]:
    yield "Beam's own runner", contextlib.nullcontext(_Way())
    for name, engine in _ENGINES.items():
        arguments, environment = engine.local()
        yield f'{name}, local', contextlib.nullcontext(_Way((), arguments, environment))
    for name in _ENGINES:
        yield f'{name}, cluster', _cluster(name)


@contextlib.contextmanager
def _cluster(name: str) -> Iterator[_Way]:
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as logs,
        hosts.network(3) as network,
        _ENGINES[name].cluster(network, pathlib.Path(logs)) as cluster,
    ):
        seconds = time.perf_counter() - began
        yield _Way(tuple(cluster.manager.command([])), cluster.arguments, cluster.environment, seconds)


def _seconds(way: _Way, data: pathlib.Path) -> float:
    with tempfile.TemporaryDirectory() as output_dir:
        command: Sequence[str] = [
            *(*way.prefix, sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={data}/png_images'),
            *(f'--masks={data}/png_masks', f'--labels={data}/labels.csv', f'--output_dir={output_dir}'),
            *way.arguments,
        ]
        began = time.perf_counter()
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | dict(way.environment),
        )
        return time.perf_counter() - began


if __name__ == '__main__':
    command_line.run(main)
