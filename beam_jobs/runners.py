"""Which engine runs the job on this machine."""

import contextlib
import io
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
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import apache_beam as beam
import cv2
import grpc
from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions, WorkerOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner, worker_handlers
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.transforms import environments

from beam_jobs import beam_options, worker_dirs
from seg_pipeline import errors, trial

_MOST_WORKERS = 1024
_POLL_SECONDS = 0.2
_ORDERLY_END_SECONDS = 5.0  # a worker that has nothing left to do ends in a fraction of this
_NOTICED_SECONDS = 1.0  # from a connection that breaks off to the end of the worker that had it
_WORKER_EXIT = re.compile(r'Worker subprocess exited with return code (-?\d+)')
_KNOWN_ERROR = re.compile(r'(UserError|OutsideError): (.*?)(?: \[while running|\n|$)')


class LostWorkerError(errors.OutsideError):
    """A worker process ended before its work was done."""


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


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> None:
    """Builds a pipeline, runs it and waits for its end.

    Raises:
        UserError: if a worker met a mistake of the user.
        OutsideError: if a worker met an outside fault, such as a full disk.
        LostWorkerError: if a worker process of this machine was killed; the others are ended too.
        RuntimeError: if the job failed otherwise.
    """
    running_mode = options.view_as(DirectOptions).direct_running_mode
    num_threads = cv2.getNumThreads()  # the steps change it, and a worker in memory is this process
    with _Workers() as workers:
        try:
            runner = _local_runner(options, workers.directory) if is_local(options) else None
            pipeline = beam.Pipeline(runner=runner, options=options)
            build(pipeline)
            state = pipeline.run().wait_until_finish()
        except Exception as error:
            if interrupt := _interrupt(error):
                raise interrupt from None
            # Engines carry a worker's exception as text, with its traceback, and append the step that it comes from.
            if found := _KNOWN_ERROR.findall(f'{type(error).__name__}: {error}'):
                kind, message = found[-1]
                raise getattr(errors, kind)(message) from error
            if loss := workers.wait_for_loss():
                raise LostWorkerError(loss) from error
            raise
        finally:
            cv2.setNumThreads(num_threads)
            options.view_as(DirectOptions).direct_running_mode = running_mode  # they may serve another run
    if state != 'DONE':
        raise RuntimeError(f'the job ended as {state}')


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
