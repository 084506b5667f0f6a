"""Signals as a request to stop."""

import os
import signal

import pytest

from trainer.training import stop_signal


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_noted_and_does_not_interrupt(number, code):
    before = signal.getsignal(number)
    with stop_signal.Interruption() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert (stop.signal, stop.exit_code) == (number, code)
    assert signal.getsignal(number) == before


@pytest.fixture
def usual_interrupt():
    """What Python does with an interrupt, unless a shell started the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures('usual_interrupt')
def test_the_second_interrupt_has_its_usual_effect():
    with stop_signal.Interruption() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested
