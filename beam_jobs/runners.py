"""Which engine runs the job."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from beam_jobs import beam_options
from beam_jobs.engines import local, remote
from seg_pipeline import errors

_MOST_WORKERS = 1024


def parse_options(arguments: Sequence[str]) -> PipelineOptions:
    """Parses Beam's options; on this machine's own runner, an unknown flag, or one without effect, is a mistake.

    If the user says nothing about it, the local runner uses every core, in processes. Another runner may know flags
    that Beam does not: a warning names them, since they may be misspelled ones.

    Raises:
        UserError: if a flag is unknown, has no effect, or has a value that Beam cannot take.
    """
    options = _parse(arguments)
    standard = options.view_as(StandardOptions)
    standard.runner = beam_options.runner_name(standard.runner)
    if is_local(options):
        beam_options.check_local(arguments)
        # Not by comparison with the defaults: one worker in memory is Beam's default, and may be what the user wants.
        given = {argument.lstrip('-').partition('=')[0] for argument in arguments}
        direct = options.view_as(DirectOptions)
        if not 0 <= direct.direct_num_workers <= _MOST_WORKERS:
            raise errors.UserError(
                f'--direct_num_workers={direct.direct_num_workers}: wanted 0, for every core, to {_MOST_WORKERS}'
            )
        if 'direct_num_workers' not in given:
            direct.direct_num_workers = 0
        direct.direct_num_workers = direct.direct_num_workers or os.cpu_count() or 1
        if 'direct_running_mode' not in given:
            direct.direct_running_mode = 'in_memory' if direct.direct_num_workers == 1 else 'multi_processing'
    elif unknown := beam_options.unknown(arguments):
        flags = ', '.join(argument.partition('=')[0] for argument in unknown if argument.startswith('-')) or unknown[0]
        print(f'warning: {flags}: neither this command nor Beam has it: left to {standard.runner}', file=sys.stderr)
    return options


def _parse(arguments: Sequence[str]) -> PipelineOptions:
    said = io.StringIO()
    try:
        # argparse prints its usage, a hundred lines, and ends the process; Beam logs that it discards what it does not
        # know, where this command says more.
        with contextlib.redirect_stderr(said), _quiet(pipeline_options.__name__):
            options = PipelineOptions(list(arguments))
            options.get_all_options()
            return options
    except (SystemExit, ValueError, TypeError) as error:
        if isinstance(error, SystemExit):
            problem = said.getvalue().rpartition(': error: ')[2].strip()
        else:  # without the values: a secret key may be one
            problem = f'{", ".join(argument.partition("=")[0] for argument in arguments)}: {error}'
        raise errors.UserError(problem) from error


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Shows no warning of a module meanwhile."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def is_local(options: PipelineOptions) -> bool:
    """Whether the job runs on this machine, by Beam's own runner."""
    return beam_options.runner_name(options.view_as(StandardOptions).runner) in beam_options.LOCAL_RUNNERS


def num_workers(options: PipelineOptions) -> int | None:
    """How many workers there are; None where another engine decides it."""
    return int(options.view_as(DirectOptions).direct_num_workers) if is_local(options) else None


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> None:
    """Builds a pipeline, runs it and waits for its end.

    Raises:
        UserError: if a worker met a mistake of the user.
        OutsideError: if a worker met an outside fault, such as a full disk, or another engine failed.
        LostWorkerError: if a worker process of this machine was killed; the others are ended too.
        RuntimeError: if the job failed otherwise.
    """
    state = local.run(build, options) if is_local(options) else remote.run(build, options)
    if state != 'DONE':
        raise RuntimeError(f'the job ended as {state}')
