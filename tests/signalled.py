"""Real commands that are stopped by a signal at a chosen moment."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

WORDS = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'terminated', signal.SIGHUP: 'hung up'}


@dataclasses.dataclass
class Ended:
    """How a command ended: its exit code and the lines of stderr that are no progress."""

    code: int
    said: list[str]


class Place:
    """Where commands run: `out` for what they make, `temporary` for what they must remove."""

    def __init__(self, root):
        self.out, self.temporary = root / 'out', root / 'temporary'
        self.temporary.mkdir()

    def start(self, *arguments):
        environment = {**os.environ, 'TMPDIR': str(self.temporary)}
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        return subprocess.Popen([sys.executable, '-m', *arguments], start_new_session=True, env=environment, **pipes)

    def end(self, process):
        _, error = process.communicate(timeout=120)
        noise = ('pairs/s', 'continuing: ', 'images  ', 'apitools')
        return Ended(process.returncode, [line for line in error.splitlines() if not any(n in line for n in noise)])

    def stop(self, process, moment, number, kill=os.kill):
        """Sends a signal at a moment, checks that nothing is left, and returns how the command ended."""
        deadline = time.monotonic() + 120
        while not moment():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        sent = time.monotonic()
        kill(process.pid, number)
        ended = self.end(process)
        assert time.monotonic() - sent < 30
        # One that was just being started notices the end of the command when it runs.
        deadline = time.monotonic() + 10
        while self.processes(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert os.listdir(self.temporary) == []
        assert self.unfinished() == []
        return ended

    def processes(self, session):
        """Those of a session that still run."""
        found = []
        for path in pathlib.Path('/proc').glob('[0-9]*/stat'):
            with contextlib.suppress(OSError):
                state, _, _, its = path.read_text().rpartition(')')[2].split()[:4]
                found += [path.parent.name] if int(its) == session and state != 'Z' else []
        return found

    def unfinished(self):
        """What a command makes for itself alone."""
        parts = ('.tmp', '.outcome', '.probe')
        found = [
            p
            for p in self.out.parent.rglob('*')
            if p.name.endswith(parts) or p.name.startswith(('publish-', '.repair-'))
        ]
        return [str(path) for path in found]

    def appears(self, pattern):
        """Whether a file or directory of that pattern is there that is not there now."""
        before = set(self.out.parent.glob(pattern))
        return lambda: any(path not in before for path in self.out.parent.glob(pattern))

    def opens(self, process, part):
        """Whether a process has a file open whose path has that part."""

        def is_open():
            for path in pathlib.Path(f'/proc/{process.pid}/fd').glob('*'):
                with contextlib.suppress(OSError):
                    if part in os.readlink(path):
                        return True
            return False

        return is_open
