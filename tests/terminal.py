"""Real commands on a terminal, and what a person would see there."""

import os
import pty
import select
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def start(*arguments, **options):
    """Starts `python -m ...` with stdout and stderr on a new terminal; returns the process and our end of it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', *map(str, arguments)], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, **options
    )
    os.close(theirs)
    return process, ours


def read(process, ours, until=None, seconds=120):
    """All that the command writes, to its end or to the text `until`."""
    found, deadline = b'', time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                found += os.read(ours, 1 << 16)
            except OSError:  # the last process that had the terminal open has ended
                process.wait()
                return found.decode()
        if until is not None and until in found.decode(errors='replace'):
            return found.decode(errors='replace')
    raise AssertionError(found.decode(errors='replace'))


def screen(text):
    """The lines that stand on a terminal which got a text: what follows a carriage return overwrites the line."""
    lines = []
    for line in text.replace('\r\n', '\n').split('\n'):
        shown = ''
        for part in line.split('\r'):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines
