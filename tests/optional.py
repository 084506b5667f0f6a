"""What some tests need beside the packages of the lock, and how to have it. `conftest` sums up what was left out.

A test skips with `optional.X.reason`, in a mark or a call, so that the summary can group the skips and a run that must
leave nothing out (`--fail-on-skips`) can tell them from others.
"""

import dataclasses
import importlib.util
import os
import pathlib
import shutil
import subprocess

import pytest

_PREFIX = 'needs '


@dataclasses.dataclass(frozen=True)
class Requirement:
    """Something that a machine may lack.

    Attributes:
        name: what it is.
        how: how to have it.
        is_met: whether it is there.
    """

    name: str
    how: str
    is_met: bool

    @property
    def reason(self) -> str:
        """The reason of a skip."""
        return f'{_PREFIX}{self.name} ({self.how})'

    @property
    def mark(self) -> pytest.MarkDecorator:
        """Skips a test where it is missing."""
        return pytest.mark.skipif(not self.is_met, reason=self.reason)

    def skip_module(self) -> None:
        """Skips the module that is being imported where it is missing."""
        if not self.is_met:
            pytest.skip(self.reason, allow_module_level=True)


def _has(*modules: str) -> bool:
    try:
        return all(importlib.util.find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # of a parent package
        return False


def _may_have_hosts() -> bool:
    return os.geteuid() == 0 and subprocess.run(['unshare', '--net', 'true'], check=False).returncode == 0


CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
PUBLISHED_DIR = pathlib.Path(os.environ.get('CLOTHING_PARSING_DIR', pathlib.Path(__file__).parents[2] / 'shared/ccp'))

BROWSER = Requirement(
    'a browser',
    'apt-get install chromium chromium-driver',
    CHROMIUM is not None and shutil.which('chromedriver') is not None and _has('selenium'),
)
HDFS = Requirement(
    'a running HDFS', 'tests/hdfs_server.sh DIR make test', 'HDFS_NAMENODE' in os.environ and _has('hdfs')
)
GCS = Requirement(
    "Google's client and an emulator of its storage",
    '.venv/bin/python -m pip install --requirement .ci/gcp.lock',
    _has('google.cloud.storage', 'gcp_storage_emulator.server'),
)
PUBLISHED = Requirement(
    'the published photos',
    'their directory in CLOTHING_PARSING_DIR',
    PUBLISHED_DIR.is_dir(),
)
CLUSTERS = Requirement(
    'network namespaces, Java and Maven',
    'run as root, apt-get install iproute2 openjdk-17-jre-headless maven',
    all(shutil.which(program) for program in ('ip', 'java', 'mvn')) and _may_have_hosts(),
)
GO = Requirement('Go', 'https://go.dev/dl', shutil.which('go') is not None)
MOUNTS = Requirement('the right to mount', 'run as root', os.geteuid() == 0)

# What may be left out where nothing else may be: the reason of a skip, or its beginning, and why.
ALLOWED_SKIPS = {
    PUBLISHED.reason: 'the photos are not part of the repository',
    MOUNTS.reason: 'a container may forbid it even to root',
    CLUSTERS.reason: 'a container may forbid it even to root',
    GO.reason: 'that of Debian 12 is too old to build Prism',
    'Not a test.': "of TensorFlow's own test class, which tfds.testing brings along",
}


def summary(reasons: list[str]) -> str:
    """One line for the end of a run: how many tests need what, and how to have it; empty if nothing was left out."""
    needed = [reason.removeprefix(_PREFIX) for reason in reasons if reason.startswith(_PREFIX)]
    counts = {text: needed.count(text) for text in dict.fromkeys(needed)}
    parts = [f'{number} {"needs" if number == 1 else "need"} {text}' for text, number in counts.items()]
    return f'left out: {"; ".join(parts)}' if parts else ''


def not_allowed(reasons: list[str]) -> list[str]:
    """The reasons of skips that no entry of `ALLOWED_SKIPS` covers."""
    return [reason for reason in reasons if not reason.startswith(tuple(ALLOWED_SKIPS))]
