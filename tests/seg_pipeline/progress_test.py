"""The bar on a terminal, the lines in a log, and the time that is left."""

import io

import pytest

from seg_pipeline import progress
from tests import terminal


class _Stream(io.StringIO):
    encoding = 'ascii'  # The bar has blocks of other signs elsewhere.

    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal

    def lines(self):
        return terminal.screen(self.getvalue())


class _Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return _Clock()


def _bar(line):
    """The texts to the left and to the right of the bar, and what part of it is filled."""
    left, bar, right = line.split('|')
    return left, round(len(bar.rstrip()) / len(bar), 1), right.strip()


def test_a_terminal_has_one_bar_that_is_drawn_in_its_place(clock):
    stream = _Stream(terminal=True)
    with progress.Progress(10, 'images', stream=stream, clock=clock) as shown:
        assert _bar(stream.lines()[-1])[:2] == ('0/10 images    0%', 0.0)
        for done, seconds in ((1, 0.3), (2, 0.3), (5, 0.4)):
            clock.now += seconds
            shown.update(done)
        (line,) = stream.lines()
        assert _bar(line) == ('2/10 images   20%', 0.2, '0:02 left  3.3 images/s')  # at 5 it was not due again
    assert _bar(stream.lines()[0]) == ('5/10 images   50%', 0.5, '0:01 left  5.0 images/s')
    assert stream.lines()[1:] == ['']


def test_a_line_that_stays_is_above_the_bar(clock, capsys):
    stream = _Stream(terminal=True)
    with progress.Progress(10, 'images', stream=stream, clock=clock) as shown:
        clock.now += 2
        shown.show(4, place='epoch 1', note='loss 0.5', rate=7.0, stays=True)
        shown.print('and another', stream)
        shown.print('to stdout')
    lines = stream.lines()
    assert lines[:2] == ['epoch 1  loss 0.5  7.0 images/s  0:03 left', 'and another']
    assert _bar(lines[2]) == ('epoch 1   40%', 0.4, '0:03 left  7.0 images/s  loss 0.5')
    assert lines[3:] == ['']
    assert capsys.readouterr().out == 'to stdout\n'


def test_a_bar_ends_its_line_however_the_block_ends(clock):
    stream = _Stream(terminal=True)
    with pytest.raises(KeyboardInterrupt), progress.Progress(3, 'images', stream=stream, clock=clock):
        raise KeyboardInterrupt
    stream.write('interrupted')
    assert stream.lines()[1:] == ['interrupted']


def test_a_signal_while_the_bar_begins_leaves_no_half_line(clock, monkeypatch):
    def interrupted(total, done, place, stream):
        stream.write('0/3 images')
        raise KeyboardInterrupt

    stream = _Stream(terminal=True)
    monkeypatch.setattr(progress, '_make_bar', interrupted)
    with pytest.raises(KeyboardInterrupt), progress.Progress(3, 'images', stream=stream, clock=clock):
        pass
    progress.end_lines()
    progress.end_lines()
    assert stream.getvalue() == '0/3 images\n'


def test_a_terminal_that_has_hung_up_is_no_error(clock):
    stream = _Stream(terminal=True)
    with progress.Progress(3, 'images', stream=stream, clock=clock):
        stream.close()


def test_a_log_gets_complete_lines_now_and_then(clock):
    stream = _Stream(terminal=False)
    with progress.Progress(10, 'images', stream=stream, log_seconds=5.0, clock=clock) as shown:
        for done in range(1, 10):
            clock.now += 2
            shown.update(done)
        shown.show(10, place='epoch 1', note='loss 0.5', rate=7.0, stays=True)
        shown.print('a problem', stream)
    assert stream.getvalue() == (
        '3/10 images  0.5 images/s  0:14 left\n'
        '6/10 images  0.5 images/s  0:08 left\n'
        '9/10 images  0.5 images/s  0:02 left\n'
        'epoch 1  loss 0.5  7.0 images/s  0:00 left\n'
        'a problem\n'
    )


@pytest.mark.parametrize('on_terminal', [False, True])
@pytest.mark.parametrize(('total', 'done'), [(0, 0), (0, 3), (4, 9)])
def test_a_total_that_is_wrong_is_no_error(clock, recwarn, on_terminal, total, done):
    stream = _Stream(on_terminal)
    with progress.Progress(total, 'records', stream=stream, clock=clock) as shown:
        clock.now += 100
        shown.update(done)
    assert len(recwarn) == 0
    assert f'{done}/{total} records' in stream.getvalue() or (on_terminal and total == 0)


@pytest.mark.parametrize(
    ('terminal', 'seconds', 'due'), [(True, 0.4, False), (True, 0.6, True), (False, 4, False), (False, 6, True)]
)
def test_a_log_is_not_flooded(clock, terminal, seconds, due):
    shown = progress.Progress(5, 'images', stream=_Stream(terminal), log_seconds=5.0, clock=clock)
    for begin in (shown.__enter__, lambda: shown.show(1)):
        clock.now += 100
        assert shown.is_due()
        begin()
        clock.now += seconds
        assert shown.is_due() == due


def test_time_left_counts_what_this_process_did(clock):
    shown = progress.Progress(10, 'images', done=6, stream=_Stream(terminal=False), clock=clock)
    assert shown.time_left() is None
    clock.now += 2
    shown.update(7)
    assert shown.time_left() == 6
    assert [progress.duration(seconds) for seconds in (6, 65, 3600)] == ['0:06', '1:05', '1:00:00']
