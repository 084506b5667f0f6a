"""Where a data set comes from: the command and the software that made it.

`provenance.json` is no part of the fingerprint: the same data set may be made by another command, on another machine.
"""

import dataclasses
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest

_PACKAGES = ('seg-pipeline', 'apache-beam', 'tensorflow-datasets', 'numpy', 'opencv-python-headless', 'pillow')


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

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return manifest.canonical_json({'command': self.command, 'versions': dict(self.versions)})


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
        value = json.loads(storage.read_bytes(path))
        return Provenance(str(value['command']), {str(name): str(v) for name, v in value['versions'].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UserError(f'{path}: damaged: {error}') from error
