"""The job that the tests run on every engine, and what it makes."""

import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from seg_pipeline.dataset import manifest
from tests import fake_data

# They hold the command, the machine and the time.
_OF_THE_RUN = (manifest.CARD_FILE, manifest.PROVENANCE_FILE)


@dataclasses.dataclass(frozen=True)
class Source:
    """Pairs to make a data set of.

    Attributes:
        directory: has images and masks.
        flags: that it is prepared with.
        labels: its label table; None for labels.csv in the directory.
    """

    directory: str | os.PathLike[str]
    flags: tuple[str, ...]
    labels: str | None = None

    def command(self, output_dir: str | os.PathLike[str], *arguments: str) -> list[str]:
        """The command that prepares it."""
        return [
            *(sys.executable, '-m', 'beam_jobs.prepare_dataset'),
            *(f'--images={self.directory}/images', f'--masks={self.directory}/masks'),
            *(f'--labels={self.labels or f"{self.directory}/labels.csv"}', f'--output_dir={output_dir}'),
            *self.flags,
            *arguments,
        ]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900, env=os.environ | dict(environment or {})
    )


def directory_of(done: subprocess.CompletedProcess[str]) -> str:
    """The directory that a successful command printed last."""
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Traceback' not in done.stderr
    return done.stdout.splitlines()[-1]


def digests(dataset_dir: str | os.PathLike[str]) -> dict[str, str]:
    """The SHA-256 of every file of a data set but the card and the provenance, and of the manifest without theirs."""
    root = pathlib.Path(dataset_dir)
    files = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob('*') if path.is_file()}
    content = json.loads(files.pop(manifest.FILE_NAME))
    del content['manifest_sha256']
    for name in _OF_THE_RUN:
        del files[name], content['files'][name]
    files[manifest.FILE_NAME] = json.dumps(content, sort_keys=True).encode()
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def write_source(directory: pathlib.Path, num_pairs: int, size: tuple[int, int], *flags: str) -> Source:
    """Makes the pairs, or takes the first ones of ENGINES_DATA, a folder with png_images and png_masks."""
    given = os.environ.get('ENGINES_DATA')
    if not given:
        fake_data.write_pairs(directory, num_pairs, size)
        return Source(directory, flags)
    for kind in ('images', 'masks'):
        (directory / kind).mkdir(parents=True)
        for path in sorted(pathlib.Path(given, f'png_{kind}').rglob('*.png'))[:num_pairs]:
            (directory / kind / path.name).symlink_to(path)
    (directory / 'labels.csv').write_bytes(pathlib.Path(given, 'labels.csv').read_bytes())
    return Source(directory, flags)
