"""Seconds and peak memory of a command and all processes that descend from it, seen from outside (Linux)."""

import dataclasses
import os
import pathlib
import subprocess
import time
from collections.abc import Sequence

_POLL_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a command: seconds from start to end, and the peak of its largest process in MiB."""

    seconds: float
    peak_mib: float


def measure(command: Sequence[str]) -> Run:
    """Runs a command without its output.

    The peak is the largest VmHWM of any of its processes, as the kernel keeps it, asked for every 20 ms.

    Raises:
        RuntimeError: if the command fails.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, *(_peak_mib(pid) for pid in _family(process.pid)), 0.0)
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f'{command} ended with exit code {process.returncode}')
    return Run(seconds, peak)


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: list[str] = []
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            children += pathlib.Path(f'/proc/{pid}/task/{thread}/children').read_text().split()
    except OSError:  # it has ended
        return [pid]
    return [pid, *(member for child in children for member in _family(int(child)))]


def _peak_mib(pid: int) -> float:
    try:
        for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    except OSError:
        pass  # it has ended
    return 0.0
