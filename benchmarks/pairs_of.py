"""The pairs that a benchmark works on."""

import pathlib
import shutil

from seg_pipeline.planning import pairing


def link(data: str, directory: pathlib.Path, count: int) -> pathlib.Path:
    """Links the first pairs of a folder of png_images, png_masks and labels.csv into another one of that layout."""
    source = pathlib.Path(data)
    for name in ('png_images', 'png_masks'):
        for path in pairing.list_files(str(source / name))[:count]:
            target = directory / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((source / name / path).resolve())
    shutil.copy(source / 'labels.csv', directory)
    return directory
