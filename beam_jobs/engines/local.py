"""Beam's own runner for one machine, in processes that end when they should."""

import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import ClassVar

import apache_beam as beam
import cv2
import grpc
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, WorkerOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.transforms import environments

from beam_jobs import worker_dirs
from beam_jobs.engines import worker_errors
from seg_pipeline import errors, trial

_POLL_SECONDS = 0.2
_ORDERLY_END_SECONDS = 5.0  # a worker that has nothing left to do ends in a fraction of this
_NOTICED_SECONDS = 1.0  # from a connection that breaks off to the end of the worker that had it
_WORKER_EXIT = re.compile(r'Worker subprocess exited with return code (-?\d+)')


class LostWorkerError(errors.OutsideError):
    """A worker process ended before its work was done."""


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> str:
    """Builds a pipeline, runs it and waits for its end.

    Returns:
        The state in which it ended, one of Beam's `PipelineState`.

    Raises:
        UserError, OutsideError: a worker raised it.
        LostWorkerError: a worker process was killed; the others are ended too.
    """
    running_mode = options.view_as(DirectOptions).direct_running_mode
    num_threads = cv2.getNumThreads()  # the steps change it, and a worker in memory is this process
    with _Workers() as workers:
        try:
            pipeline = beam.Pipeline(runner=_local_runner(options, workers.directory), options=options)
            build(pipeline)
            return str(pipeline.run().wait_until_finish())
        except Exception as error:
            if interrupt := _interrupt(error):
                raise interrupt from None
            if known := worker_errors.of_worker(error):
                raise known from error
            if loss := workers.wait_for_loss():
                raise LostWorkerError(loss) from error
            raise
        finally:
            cv2.setNumThreads(num_threads)
            options.view_as(DirectOptions).direct_running_mode = running_mode  # they may serve another run


def _interrupt(error: BaseException) -> KeyboardInterrupt | None:
    """The interrupt that a failure comes from: without worker processes Beam wraps it as an error of a step."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause


class _Workers:
    """Watches the worker processes of the local runner while the `with` block runs.

    Beam's runner learns of the end of a process in a thread, which ends with a traceback, while the job waits for what
    the other workers still have to do, which may be hours. Here the first lost worker ends all of them.

    Attributes:
        directory: workers live as long as it does.
    """

    def __init__(self) -> None:
        # Not by `mkdtemp`: a signal can come when the directory is there and its name has not been returned.
        self.directory = os.path.join(tempfile.gettempdir(), f'{worker_dirs.PREFIX}{uuid.uuid4().hex}')
        self._loss: str | None = None
        self._lock: int | None = None
        self._has_loss = threading.Event()

    def __enter__(self) -> '_Workers':
        self._hook, self._tempdir = threading.excepthook, tempfile.tempdir
        try:
            worker_dirs.remove_abandoned(os.path.dirname(self.directory))
            self._lock = worker_dirs.make(self.directory)
            threading.excepthook = self._thread_failed
            # A pipeline makes a directory for itself, which it removes at the end of its run: a signal may come before.
            tempfile.tempdir = self.directory
            _EndingWorkerHandler.when_lost[self.directory] = self._lost
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()
        # Until they have ended, they write: into the work directory, and what is temporary into their own.
        deadline = time.monotonic() + _ORDERLY_END_SECONDS
        threads = _EndingWorkerHandler.threads.pop(self.directory, [])
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            worker_dirs.kill_processes(self.directory)
        self._end_all()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        threading.excepthook, tempfile.tempdir = self._hook, self._tempdir
        _EndingWorkerHandler.when_lost.pop(self.directory, None)

    def wait_for_loss(self) -> str | None:
        """What happened to the first worker that was lost, if one was.

        Call it when the job failed: the process of a worker may end a moment after that.
        """
        self._has_loss.wait(_NOTICED_SECONDS if _EndingWorkerHandler.threads.get(self.directory) else 0)
        return self._loss

    def _end_all(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        if found := _WORKER_EXIT.match(str(failure.exc_value)):
            self._lost(int(found[1]))
        elif not isinstance(failure.exc_value, grpc.RpcError):  # a connection to a worker that ended
            self._hook(failure)

    def _lost(self, code: int) -> None:
        self._loss = self._loss or _describe_exit(code)
        self._has_loss.set()
        self._end_all()


@worker_handlers.WorkerHandler.register_environment(python_urns.SUBPROCESS_SDK, bytes)
class _EndingWorkerHandler(worker_handlers.SubprocessSdkWorkerHandler):
    """Beam's handler of a worker process, which never leaves the job waiting for a worker.

    Beam's own does so twice. If a worker ends before its work is done, every request that waits for its answer waits
    for ever: here they fail. And if a job fails while a worker is still starting, Beam closes a connection that is not
    there yet (`ControlConnection.close` sends nothing in that state). The worker connects to it afterwards and waits
    for ever, and the job for the end of its process: here the process is told to end.

    Attributes:
        threads: those that wait for the worker processes, by the directory that the processes watch.
        when_lost: by the same directory, what is called with the exit code of a worker that ended too early.
    """

    threads: ClassVar[dict[str, list[threading.Thread]]] = {}
    when_lost: ClassVar[dict[str, Callable[[int], None]]] = {}

    @property
    def _directory(self) -> str:
        return shlex.split(self._worker_command_line.decode())[-1]

    def start_worker(self) -> None:
        super().start_worker()
        self.threads.setdefault(self._directory, []).append(self.worker_thread)
        threading.Thread(target=self._fail_requests_at_the_end, daemon=True).start()

    def _fail_requests_at_the_end(self) -> None:
        self.worker_thread.join()
        connection = self.control_conn
        time.sleep(_POLL_SECONDS)  # at an orderly end the connection is done a moment after the process
        while connection._state != worker_handlers.BeamFnControlServicer.DONE_STATE:
            # Of another code Beam tells, but 0 is for it an orderly end, even if a decoder has ended the process so.
            if told := self.when_lost.get(self._directory):
                told(0)
            with contextlib.suppress(RuntimeError):  # a request came in meanwhile: it fails in the next round
                connection.abort(RuntimeError('the worker process has ended'))
            time.sleep(_POLL_SECONDS)

    def stop_worker(self) -> None:
        # Beam calls this while it handles what ended the job: whoever interrupts it does not wait for a bundle's end.
        if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            self.worker_thread.join(_ORDERLY_END_SECONDS)
        if self.worker_thread.is_alive():
            shutil.rmtree(self._directory, ignore_errors=True)
            self.worker_thread.join(_ORDERLY_END_SECONDS)
        if self.worker_thread.is_alive():  # Beam would wait for it, however long that takes
            worker_dirs.kill_processes(self._directory)
        super().stop_worker()


def _describe_exit(code: int) -> str:
    if code == -signal.SIGPROF:
        return f'a worker process was ended because one pair took it more than {trial.TIME_LIMIT:g} seconds'
    if code < 0:
        reason = ' (was memory short?)' if -code == signal.SIGKILL else ''
        return f'a worker process was killed by signal {-code}{reason}'
    return f'a worker process ended with exit code {code}'


def _local_runner(options: PipelineOptions, directory: str) -> fn_runner.FnApiRunner:
    """Beam's runner for one machine, as its DirectRunner starts it.

    Not by DirectRunner itself, which would try to download Prism, another engine, first. With the provision info,
    without which workers get no options (log level, credentials), and with worker processes of our own module.
    """
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = fn_runner.ExtendedProvisionInfo(beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded))
    direct = options.view_as(DirectOptions)
    environment = None
    if direct.direct_running_mode == 'multi_processing':
        # exec: the process that Beam starts, a shell, becomes the worker, and inherits the signals that are ignored.
        command = "trap '' HUP INT TERM; exec " + shlex.join((sys.executable, '-m', 'beam_jobs.worker', directory))
        environment = environments.SubprocessSDKEnvironment.from_command_string(command)
        direct.direct_running_mode = 'in_memory'  # the one mode in which the runner keeps a given environment
    if not options.view_as(WorkerOptions).default_sdk_harness_log_level:
        # Everything that ends the job arrives as an exception too; what else Beam logs here is about Beam.
        logging.getLogger('apache_beam').setLevel(logging.CRITICAL)
    return fn_runner.FnApiRunner(default_environment=environment, provision_info=provision)
