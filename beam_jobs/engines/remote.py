"""Runs a job on an engine that is not of this process: Prism, Flink, Spark, Dataflow."""

import contextlib
import functools
import json
import logging
import re
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, StandardOptions, WorkerOptions
from apache_beam.runners.portability import flink_runner
from apache_beam.runners.portability.portable_runner import PipelineResult as PortableResult

from beam_jobs.engines import worker_errors
from seg_pipeline import errors

_REST_SECONDS = 5.0
_JOB_SERVERS = ('PrismJobServer', 'FlinkJarJobServer', 'SparkJarJobServer')  # loggers of what they print
_JOB_NAME = re.compile(r'^Pipeline \S+ failed in state ')


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> str:
    """Builds a pipeline, runs it and waits for its end. Whatever ends the wait, a signal among it, cancels the job.

    Call it on the main thread, where alone signals are handled.

    Returns:
        The state in which it ended, one of Beam's `PipelineState`.

    Raises:
        UserError: a worker raised it, or the options are not enough to start the engine.
        OutsideError: a worker raised it, the engine cannot be started or reached, or it ended the job otherwise.
    """
    name = options.view_as(StandardOptions).runner.rpartition('.')[2]
    with _quiet(options):
        try:
            pipeline = beam.Pipeline(options=options)
            build(pipeline)
            # The runners for Prism, Flink and Spark let SIGINT end the job server, through which the job is cancelled.
            on_interrupt = signal.getsignal(signal.SIGINT)
            result = pipeline.run()
            signal.signal(signal.SIGINT, on_interrupt)
        except (ValueError, ImportError, NotImplementedError) as error:  # an option is missing or wrong, or an extra
            raise errors.UserError(f'--runner={name}: {error}') from error
        except Exception as error:
            raise _outside(name, error) from error
        try:
            return str(result.wait_until_finish())
        except BaseException as error:
            with contextlib.suppress(Exception):  # it may have ended, or be out of reach
                result.cancel()
            with contextlib.suppress(Exception):
                _cancel_on_flink(options, result)
            if not isinstance(error, Exception):
                raise
            raise worker_errors.of_worker(error) or _outside(name, error) from error


def _cancel_on_flink(options: PipelineOptions, result: Any) -> None:
    """Cancels a job on a cluster of Flink: Beam's job server forgets it, and lets the cluster work on."""
    master = flink_runner.FlinkRunner.add_http_scheme(options.view_as(FlinkRunnerOptions).flink_master)
    if not isinstance(result, PortableResult) or master in flink_runner.MAGIC_HOST_NAMES:
        return
    with urllib.request.urlopen(f'{master}/jobs/overview', timeout=_REST_SECONDS) as answer:
        jobs = json.load(answer)['jobs']
    for job in jobs:
        if result._job_id.startswith(f'{job["name"]}_'):
            request = urllib.request.Request(f'{master}/jobs/{job["jid"]}?mode=cancel', method='PATCH')
            urllib.request.urlopen(request, timeout=_REST_SECONDS).close()


@contextlib.contextmanager
def _quiet(options: PipelineOptions) -> Iterator[None]:
    """Shows nothing of what Beam and the engine log, hundreds of lines, unless the user asks for log lines.

    What ends the job arrives as an exception too.
    """
    if options.view_as(WorkerOptions).default_sdk_harness_log_level:
        yield
        return
    _silence_the_end()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)


@functools.cache
def _silence_the_end() -> None:
    """Silences, for good, what says more when the job has ended, or the process does."""
    logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
    for name in _JOB_SERVERS:
        logging.getLogger(name).disabled = True  # Beam itself sets the level of some
    hook = threading.excepthook

    def thread_failed(failure: threading.ExceptHookArgs) -> None:
        # Threads that serve the engine see its end as a broken connection; one that breaks earlier fails the job.
        if not isinstance(failure.exc_value, grpc.RpcError):
            hook(failure)

    threading.excepthook = thread_failed


def _outside(name: str, error: Exception) -> errors.OutsideError:
    """What an engine says, in one line: the first of its text, which goes on with a trace of Java's stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, grpc.FutureTimeoutError):
        lines = ['no job server answers']
    reason = _JOB_NAME.sub('', lines[0]) if lines else type(error).__name__
    return errors.OutsideError(f'{name}: {reason}; --default_sdk_harness_log_level=INFO shows what the engine says')
