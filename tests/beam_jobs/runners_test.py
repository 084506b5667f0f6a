import contextlib
import os
import shlex
import signal
import threading
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner

from beam_jobs import runners
from beam_jobs.engines import local
from seg_pipeline import errors


def _direct(*arguments):
    options = runners.parse_options(arguments).view_as(DirectOptions)
    return options.direct_num_workers, options.direct_running_mode


def test_every_core_by_default():
    expected = 'multi_processing' if os.cpu_count() > 1 else 'in_memory'
    for arguments in ((), ('--runner=DirectRunner',), ('--runner=FnApiRunner',)):
        assert _direct(*arguments) == (os.cpu_count(), expected)


def test_what_the_user_says_counts():
    assert _direct('--direct_num_workers=1') == (1, 'in_memory')
    assert _direct('--direct_num_workers=3', '--direct_running_mode=multi_threading') == (3, 'multi_threading')


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['--direct_num_worker=3'], '--direct_num_worker=3'),
        (['--direct_num_workers=1', 'stray'], 'stray'),
        (['-x', '1'], '-x'),
        (['--', 'more'], '--'),
        (['--runner=FnApiRunner', '--foo'], '--foo'),
    ],
)
def test_unknown_flags(arguments, named, caplog, capsys):
    with pytest.raises(errors.UserError, match=f'^unknown flag {named}: '):
        runners.parse_options(arguments)
    assert (caplog.messages, capsys.readouterr().err) == ([], '')  # the error says it all


def test_flags_that_an_engine_may_know(caplog, capsys):
    """Engines bring flags that are known only after they started."""
    arguments = ['--runner=FlinkRunner', '--some_flag_of_flink=secret', '--other', '1', '--flink_version=1.19']
    assert not runners.is_local(runners.parse_options(arguments))
    said = capsys.readouterr().err
    assert said == (
        'warning: --some_flag_of_flink, --other: neither this command nor Beam has it: left to FlinkRunner\n'
    )
    assert caplog.messages == []


@pytest.mark.parametrize('kind', [errors.UserError, errors.OutsideError])
@pytest.mark.parametrize('mode', ['in_memory', 'multi_processing'])
def test_a_known_error_of_a_worker_comes_back_as_what_it_is(kind, mode):
    def fail(_):
        try:
            raise OSError(28, 'No space left on device')
        except OSError as error:
            raise kind('x.png: 1 is not 2; mend it') from error

    options = runners.parse_options(['--direct_num_workers=1', f'--direct_running_mode={mode}'])
    with pytest.raises(kind, match=r'^x.png: 1 is not 2; mend it$') as caught:
        runners.run(lambda p: p | beam.Create([1]) | beam.Map(fail), options)
    assert type(caught.value) is kind


def test_other_failures_stay_failures():
    with pytest.raises(ZeroDivisionError):
        runners.run(
            lambda p: p | beam.Create([1]) | beam.Map(lambda x: x // 0),
            runners.parse_options(['--direct_num_workers=1']),
        )


def test_a_lost_worker_ends_the_job_at_once_and_the_other_workers_too(tmp_path):
    """The worker that comes first dies of its first element; the other one would be at it for five minutes."""

    def work(_):
        (tmp_path / str(os.getpid())).touch()
        with contextlib.suppress(FileExistsError):
            (tmp_path / 'victim').touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1)

    options = runners.parse_options(['--direct_num_workers=2', '--direct_running_mode=multi_processing'])
    with pytest.raises(local.LostWorkerError, match=r'^a worker process was killed by signal 9'):
        runners.run(lambda p: p | beam.Create(range(600)) | beam.Reshuffle() | beam.Map(work), options)
    assert time.time() - (tmp_path / 'victim').stat().st_mtime < 60  # half a second where nothing else runs
    (tmp_path / 'victim').unlink()
    deadline = time.monotonic() + 60
    while any(os.path.exists(f'/proc/{pid}') for pid in os.listdir(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_options_serve_several_runs():
    options = runners.parse_options(['--direct_num_workers=2', '--direct_running_mode=multi_processing'])
    with pytest.raises(errors.UserError):
        runners.run(lambda p: p | beam.Create([1]) | beam.Map(_fail), options)
    assert options.view_as(DirectOptions).direct_running_mode == 'multi_processing'


def _fail(_):
    raise errors.UserError('x')


_LATE_WORKER = """
import os, runpy, sys, time
time.sleep(5)
sys.path.insert(0, os.getcwd())
runpy.run_module('beam_jobs.worker', run_name='__main__')
"""


def test_a_job_that_failed_does_not_wait_for_a_worker_that_is_still_starting(monkeypatch, tmp_path):
    """That one connects when its connection has been closed, and would wait for ever for something to do."""
    late = tmp_path / 'late.py'
    late.write_text(_LATE_WORKER)
    started, raised = [], []
    start = local._EndingWorkerHandler.start_worker

    def start_the_second_late(handler):
        started.append(handler)
        if len(started) == 2:
            line = handler._worker_command_line.decode().replace('-m beam_jobs.worker', shlex.quote(str(late)))
            handler._worker_command_line = line.encode()
        start(handler)

    def fail(_):  # not of this module, which the late worker may not find
        raise errors.UserError('x')

    def run():
        options = runners.parse_options(['--direct_num_workers=2', '--direct_running_mode=multi_processing'])
        try:
            runners.run(lambda p: p | beam.Create([1]) | beam.Map(fail), options)
        except errors.UserError as error:
            raised.append(str(error))

    monkeypatch.setattr(local._EndingWorkerHandler, 'start_worker', start_the_second_late)
    monkeypatch.setattr(local, '_ORDERLY_END_SECONDS', 0.5)
    # Beam gives bundles to workers in turn, by a count over all jobs of the process. The first goes to the first worker
    # (nearly always: the threads that count race), fails at once, and ends the job.
    monkeypatch.setattr(fn_runner.BundleManager, '_uid_counter', 1)
    job = threading.Thread(target=run, daemon=True)
    job.start()
    job.join(60)
    assert not job.is_alive()
    assert raised == ['x']
    assert len(started) == 2
    assert not any(handler.worker_thread.is_alive() for handler in started)
