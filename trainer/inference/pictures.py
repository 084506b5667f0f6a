"""From images to pictures of what a model sees in them: ids, overlays, and both beside the ground truth."""

import os
from collections.abc import Iterator, Sequence
from concurrent import futures

import numpy as np
import tensorflow as tf

from seg_pipeline import progress
from seg_pipeline.imaging import images, resizing, visualization
from seg_pipeline.imaging import masks as masks_lib
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.storage import atomic
from trainer import config
from trainer.inference import photos, predictor

ROWS_PER_PANEL = 4
_MASKS, _OVERLAYS, _PANELS = 'masks', 'overlays', 'panels'
# Of the images that are in memory together. A pixel takes about 30 bytes while its image is predicted.
_MOST_PIXELS = 30_000_000


def predict(
    files: Sequence[photos.ImageFile],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    output_dir: str,
    batch_size: int,
) -> list[str]:
    """Predicts images and writes their pictures. Holds a batch of them at a time, and of large ones a smaller batch.

    Args:
        files: the images.
        predictor: the model.
        run: the configuration that it was trained with.
        output_dir: where masks/NAME.png and overlays/NAME.png of each image go, and panels/NUMBER.png of four. What
            killed commands have left half-written there is removed.
        batch_size: images in one call of the model; fewer, if they have more than 30 million pixels together.

    Returns:
        A message for each image that was left out because it, or its ground truth, cannot be read.

    Raises:
        OSError: a picture cannot be written.
    """
    failures: list[str] = []
    shown = progress.Progress(len(files), 'images')
    # OpenCV, zlib and TensorFlow release Python's global lock, so threads are enough to use all cores.
    with shown, futures.ThreadPoolExecutor() as pool:
        writer = _PictureWriter(output_dir, run.label_map)
        writer.remove_abandoned()
        for done, result in enumerate(_predictions(files, predictor, run, batch_size, writer, pool), start=1):
            if isinstance(result, RejectError):
                failures.append(str(result))
            else:
                writer.add_to_panel(result)
            shown.update(done)
        writer.finish()
    return failures


def _predictions(
    files: Sequence[photos.ImageFile],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    batch_size: int,
    writer: '_PictureWriter',
    pool: futures.Executor,
) -> Iterator[visualization.PanelRow | RejectError]:
    """Predicts every image, writes its own pictures, and yields its row of a panel, or why it has none."""
    reader = run.data.mask_reader

    def finish(loaded: photos.LoadedImage, logits: tf.Tensor) -> visualization.PanelRow:
        mask = _mask(loaded, logits, predictor, run)
        row = visualization.PanelRow(loaded.name, loaded.image, mask, loaded.ground_truth)
        writer.write(row)
        return row.reduced()

    for part in photos.batches(files, batch_size, _MOST_PIXELS):
        loaded = list(pool.map(lambda file: _try_to_load(file, reader), part))
        yield from (result for result in loaded if isinstance(result, RejectError))
        good = [result for result in loaded if isinstance(result, photos.LoadedImage)]
        if good:
            small = [resizing.resize_image(each.image, run.image_size, run.data.resize) for each in good]
            logits = predictor.logits(np.stack(small))
            yield from list(pool.map(finish, good, logits))
        # Or they would stay in memory while the next ones are read.
        del loaded, good


def _mask(
    loaded: photos.LoadedImage, logits: tf.Tensor, predictor: predictor.Predictor, run: config.RunConfig
) -> np.ndarray:
    """The ids of every pixel of an image, (H, W) uint8; the ignored id where a crop has cut it off."""
    height, width = loaded.image.shape[:2]
    geometry = resizing.geometry((height, width), run.image_size, run.data.resize)
    # The inverse of the way in: the border of a letterbox is cut off the logits (`target`), what is left is enlarged to
    # the part of the image that the model saw (`source`), and that part is put in its place.
    visible = predictor.ids(logits[geometry.target.slices], geometry.source.size)
    return geometry.restore(visible, run.label_map.ignore_id)


def _try_to_load(file: photos.ImageFile, reader: masks_lib.MaskReader) -> photos.LoadedImage | RejectError:
    try:
        return photos.load(file, reader)
    except RejectError as error:
        return error


class _PictureWriter:
    """Writes the pictures of images, and panels of several."""

    def __init__(self, output_dir: str, label_map: LabelMap) -> None:
        self._output_dir, self._label_map = output_dir, label_map
        self._page: list[visualization.PanelRow] = []
        self._num_pages = 0

    def remove_abandoned(self) -> None:
        """Removes the temporary files that killed commands have left."""
        for folder in (_MASKS, _OVERLAYS, _PANELS):
            for directory, _, _ in os.walk(os.path.join(self._output_dir, folder)):
                atomic.remove_abandoned(directory, pattern=atomic.TEMPORARY_NAME)

    def write(self, row: visualization.PanelRow) -> None:
        """Writes the pictures of one image; several threads may do so at a time."""
        self._write(f'{_MASKS}/{row.title}.png', row.prediction)
        self._write(f'{_OVERLAYS}/{row.title}.png', visualization.overlay(row.image, row.prediction, self._label_map))

    def add_to_panel(self, row: visualization.PanelRow) -> None:
        """Takes a row into the next panel, and writes that when it is full."""
        self._page.append(row)
        if len(self._page) == ROWS_PER_PANEL:
            self._write_page()

    def finish(self) -> None:
        """Writes what does not fill a panel."""
        if self._page:
            self._write_page()

    def _write_page(self) -> None:
        self._num_pages += 1
        self._write(f'{_PANELS}/{self._num_pages:04d}.png', visualization.panels(self._page, self._label_map))
        self._page = []

    def _write(self, name: str, picture: np.ndarray) -> None:
        atomic.write(f'{self._output_dir}/{name}', images.encode_png(picture))
