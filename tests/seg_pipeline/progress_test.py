"""The progress line on a terminal and in a log, and the time that is left."""

import io

import pytest

from seg_pipeline import progress


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


def test_a_terminal_line_is_overwritten_and_a_final_one_stays(clock):
    stream = _Stream(terminal=True)
    line = progress.ProgressLine(stream, clock=clock)
    line.show('a long text')
    line.show('short', final=True)
    line.show('next')
    assert stream.getvalue() == '\ra long text\rshort      \n\rnext'


def test_closing_ends_an_open_terminal_line_once(clock):
    stream = _Stream(terminal=True)
    line = progress.ProgressLine(stream, clock=clock)
    line.close()
    assert stream.getvalue() == ''
    line.show('text')
    line.close()
    line.close()
    assert stream.getvalue() == '\rtext\n'


def test_a_log_gets_complete_lines(clock):
    stream = _Stream(terminal=False)
    line = progress.ProgressLine(stream, clock=clock)
    line.show('epoch 1')
    line.show('epoch 2', final=True)
    line.close()
    assert stream.getvalue() == 'epoch 1\nepoch 2\n'


@pytest.mark.parametrize(
    ('terminal', 'seconds', 'due'), [(True, 0.4, False), (True, 0.6, True), (False, 4, False), (False, 6, True)]
)
def test_a_log_is_not_flooded(clock, terminal, seconds, due):
    line = progress.ProgressLine(_Stream(terminal), log_seconds=5.0, clock=clock)
    for begin in (line.restart, lambda: line.show('text')):
        clock.now += 100
        assert line.is_due()
        begin()
        clock.now += seconds
        assert line.is_due() == due


def test_time_left_counts_what_this_process_did(clock):
    left = progress.TimeLeft(10, done=6, clock=clock)
    assert left.text(6) == '? left'
    clock.now += 2
    assert left.text(7) == '0:06 left'
    clock.now += 3598
    assert left.text(8) == '1:00:00 left'
