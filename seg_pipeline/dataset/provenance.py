"""Where a data set comes from: the command and the software that made it.

`provenance.json` is no part of the fingerprint: the same data set may be made by another command, on another machine.
"""

import dataclasses
import importlib.metadata
import os
import platform
import shlex
from collections.abc import Mapping

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest, typed_json

_PACKAGES = ('seg-pipeline', 'apache-beam', 'tensorflow-datasets', 'numpy', 'opencv-python-headless', 'pillow')
# The flags of prepare_dataset that take a path, and those that take several as `name:path,name:path`.
_PATH_FLAGS = frozenset(('images', 'masks', 'labels', 'remap', 'output_dir'))
_PATHS_FLAGS = frozenset(('split_files',))


@dataclasses.dataclass(frozen=True)
class Provenance:
    """The contents of `provenance.json`.

    Attributes:
        command: what to type to make the data set again; empty if not known.
        versions: of Python and of the packages, by name.
    """

    command: str = ''
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def here(cls, command: str = '') -> 'Provenance':
        """The provenance of what this process makes."""
        return cls(command, {'python': platform.python_version(), **_package_versions()})

    @property
    def shown_command(self) -> str:
        """The command for people: of each path only its last part, as `--images=.../photos`.

        The card is passed on, and a path says whose disk and which user it was. `provenance.json` has the command as it
        was typed. A function of that command alone, so that a repair makes the same card again.
        """
        try:
            return shlex.join(_shorten(part) for part in shlex.split(self.command))
        except ValueError:  # a program gave it, and it is no command line
            return ''

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return manifest.canonical_json({'command': self.command, 'versions': dict(self.versions)})


def _shorten(argument: str) -> str:
    flag, equals, value = argument.partition('=')
    name = flag.lstrip('-')
    if name in _PATH_FLAGS:
        return f'{flag}{equals}{_last_part(value)}'
    if name in _PATHS_FLAGS:
        lists = (part.partition(':') for part in value.split(','))
        return f'{flag}{equals}' + ','.join(f'{split}{colon}{_last_part(path)}' for split, colon, path in lists)
    return argument


def _last_part(path: str) -> str:
    whole = path.rstrip('/')
    return f'.../{os.path.basename(whole)}' if '/' in whole else whole or path


def _package_versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a checkout, or with another build of OpenCV
            continue
    return found


def read(dataset_dir: str) -> Provenance:
    """Reads the provenance of a data set.

    Raises:
        UserError: if it is missing or damaged.
    """
    path = os.path.join(dataset_dir, manifest.PROVENANCE_FILE)
    try:
        return parse(storage.read_bytes(path))
    except (OSError, ValueError) as error:
        raise errors.UserError(f'{path}: damaged: {error}') from error


def parse(data: bytes) -> Provenance:
    """The inverse of `to_bytes`. Raises `ValueError` if the text is anything else."""
    result = typed_json.read(Provenance, typed_json.parse(data))
    if result.to_bytes() != data:
        raise ValueError('a member is missing, or it is written in another way')
    return result
