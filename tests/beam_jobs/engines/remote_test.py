"""Engines beyond Beam's own runner, by its portable runner with the job server that needs no program: `embed`.

Prism, Flink and Spark themselves: tests/engines, by `make test-engines`.
"""

import logging
import os
import signal
import threading

import apache_beam as beam
import pytest
from apache_beam.runners.portability.portable_runner import PipelineResult

from beam_jobs import runners
from seg_pipeline import errors

_EMBED = ('--runner=PortableRunner', '--job_endpoint=embed', '--environment_type=LOOPBACK')


def _run(work, *arguments):
    runners.run(lambda p: p | beam.Create([1, 2]) | beam.Map(work), runners.parse_options([*_EMBED, *arguments]))


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """What is quiet for good in a command is not for the tests that come next."""
    monkeypatch.setattr(logging.getLogger('apache_beam'), 'level', logging.NOTSET)
    monkeypatch.setattr(threading, 'excepthook', threading.excepthook)


def test_a_job_is_run_to_its_end(tmp_path):
    _run(lambda number: (tmp_path / str(number)).touch())
    assert sorted(os.listdir(tmp_path)) == ['1', '2']


@pytest.mark.parametrize('kind', [errors.UserError, errors.OutsideError])
def test_a_known_error_of_a_worker_comes_back_as_what_it_is(kind):
    def fail(_):
        raise kind('x.png: 1 is not 2; mend it')

    with pytest.raises(kind, match=r'^x.png: 1 is not 2; mend it$') as caught:
        _run(fail)
    assert type(caught.value) is kind


def test_another_failure_is_one_line():
    with pytest.raises(errors.OutsideError, match=r'^PortableRunner: .*; --default_sdk_harness_log_level=INFO shows '):
        _run(lambda number: number // 0)


def test_an_engine_that_is_out_of_reach():
    options = ['--runner=PortableRunner', '--job_endpoint=localhost:9', '--job_server_timeout=1']
    with pytest.raises(errors.OutsideError, match=r'^PortableRunner: no job server answers; '):
        runners.run(lambda p: p | beam.Create([1]), runners.parse_options(options))


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--runner=PortableRunner'], '--runner=PortableRunner: You must specify a --job_endpoint'),
        (['--runner=PrismRunner', '--prism_location=/missing'], '--runner=PrismRunner: Unable to parse'),
        (['--runner=DataflowRunner'], '--runner=DataflowRunner: '),
    ],
)
def test_options_that_are_not_enough(options, said):
    with pytest.raises(errors.UserError, match=f'^{said}'):
        runners.run(lambda p: p | beam.Create([1]), runners.parse_options(options))


def test_an_interrupt_cancels_the_job(monkeypatch):
    cancelled = []
    monkeypatch.setattr(PipelineResult, 'cancel', lambda result: cancelled.append(result._job_id))
    interrupt = threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT))
    begun = threading.Event()
    monkeypatch.setattr(PipelineResult, 'wait_until_finish', lambda _: interrupt.start() or begun.wait())
    with pytest.raises(KeyboardInterrupt):
        _run(lambda _: None)
    assert len(cancelled) == 1


@pytest.mark.parametrize(('arguments', 'says'), [((), False), (('--default_sdk_harness_log_level=INFO',), True)])
def test_what_the_engine_logs_is_shown_on_demand(caplog, arguments, says):
    caplog.set_level(logging.INFO)
    _run(lambda _: None, *arguments)
    assert bool(caplog.records) is says
