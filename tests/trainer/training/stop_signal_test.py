"""Signals as a request to stop."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from trainer.training import stop_signal


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_does_not_interrupt(number):
    before = signal.getsignal(number)
    with stop_signal.StopSignal() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.signal == number
    assert signal.getsignal(number) == before


@pytest.fixture
def usual_interrupt():
    """What Python does with an interrupt, unless a shell started the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('usual_interrupt')
def test_the_second_interrupt_has_its_usual_effect():
    with stop_signal.StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested


def test_outside_of_the_main_thread_no_handler_is_changed():
    before, stops = signal.getsignal(signal.SIGTERM), []

    def work():
        with stop_signal.StopSignal() as stop:
            stops.append(stop.requested)
            assert signal.getsignal(signal.SIGTERM) == before

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stops == [False]
    assert signal.getsignal(signal.SIGTERM) == before


_COMMAND = """
import os, signal, time
from seg_pipeline import command_line
from trainer.training import stop_signal

def main(argv):
    with stop_signal.StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.5)  # a long step
        print(stop.requested)

command_line.run(main)
"""


def test_in_a_command_a_signal_interrupts_no_step_that_takes_long():
    done = subprocess.run([sys.executable, '-c', _COMMAND], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'True\n'), done.stderr
