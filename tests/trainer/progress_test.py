"""The progress line on a terminal and in a file."""

import io

import pytest

from trainer import progress


class _Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


class _Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return _Clock()


def test_a_terminal_line_is_overwritten_and_the_last_one_stays(clock):
    stream = _Stream(terminal=True)
    line = progress.ProgressLine(10, stream=stream, clock=clock)
    clock.now += 4
    line.show('a long text', 4)
    clock.now += 1
    line.show('short', 5, final=True)
    assert stream.getvalue() == '\ra long text  0:06 left\rshort  0:05 left      \n'


def test_a_file_gets_whole_lines(clock):
    stream = _Stream(terminal=False)
    line = progress.ProgressLine(10, stream=stream, clock=clock)
    clock.now += 3600
    line.show('epoch 1', 2)
    assert stream.getvalue() == 'epoch 1  4:00:00 left\n'


@pytest.mark.parametrize(
    ('terminal', 'seconds', 'due'), [(True, 0.4, False), (True, 0.6, True), (False, 20, False), (False, 31, True)]
)
def test_a_file_is_not_flooded(clock, terminal, seconds, due):
    line = progress.ProgressLine(10, stream=_Stream(terminal), clock=clock)
    clock.now += seconds
    assert line.is_due() == due


def test_time_left_counts_from_where_the_process_began(clock):
    stream = _Stream(terminal=False)
    line = progress.ProgressLine(10, stream=stream, clock=clock)
    clock.now += 50
    line.begin(6)
    line.show('nothing done', 6)
    clock.now += 2
    line.show('one step', 7)
    assert stream.getvalue().splitlines() == ['nothing done  ? left', 'one step  0:06 left']
