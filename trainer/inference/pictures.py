"""From images to pictures of what a model sees in them: ids, overlays, and both beside the ground truth."""

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


def predict(
    files: Sequence[photos.ImageFile],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    output_dir: str,
    batch_size: int,
) -> list[str]:
    """Predicts images and writes their pictures. Never holds more than a batch and a panel of them.

    Args:
        files: the images.
        predictor: the model.
        run: the configuration that it was trained with.
        output_dir: where masks/NAME.png and overlays/NAME.png of each image go, and panels/NUMBER.png of four.
        batch_size: images in one call of the model.

    Returns:
        A message for each image that was left out because it, or its ground truth, cannot be read.

    Raises:
        OSError: a picture cannot be written.
    """
    failures: list[str] = []
    shown = progress.Progress(len(files), 'images')
    # OpenCV, zlib and TensorFlow release Python's global lock, so threads are enough to use all cores.
    with shown, futures.ThreadPoolExecutor() as pool:
        writer = _PictureWriter(output_dir, run.label_map, pool)
        for done, result in enumerate(_predictions(files, predictor, run, batch_size, pool), start=1):
            if isinstance(result, RejectError):
                failures.append(str(result))
            else:
                writer.add(result)
            shown.update(done)
        writer.finish()
    return failures


def _predictions(
    files: Sequence[photos.ImageFile],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    batch_size: int,
    pool: futures.Executor,
) -> Iterator[visualization.PanelRow | RejectError]:
    """Yields every image with its prediction, or why it has none."""
    reader = run.data.mask_reader
    for start in range(0, len(files), batch_size):
        loaded = list(pool.map(lambda file: _try_to_load(file, reader), files[start : start + batch_size]))
        yield from (result for result in loaded if isinstance(result, RejectError))
        good = [result for result in loaded if isinstance(result, photos.LoadedImage)]
        if not good:
            continue
        small = [resizing.resize_image(each.image, run.image_size, run.data.resize) for each in good]
        logits = predictor.logits(np.stack(small))
        masks = pool.map(lambda each, scores: _mask(each, scores, predictor, run), good, logits)
        for each, mask in zip(good, masks, strict=True):
            yield visualization.PanelRow(each.name, each.image, mask, each.ground_truth)


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
    """Writes the pictures of one image after the other."""

    def __init__(self, output_dir: str, label_map: LabelMap, pool: futures.Executor) -> None:
        self._output_dir, self._label_map, self._pool = output_dir, label_map, pool
        self._page: list[visualization.PanelRow] = []
        self._num_pages = 0

    def add(self, row: visualization.PanelRow) -> None:
        self._page.append(row)
        if len(self._page) == ROWS_PER_PANEL:
            self._write_page()

    def finish(self) -> None:
        """Writes what does not fill a panel."""
        if self._page:
            self._write_page()

    def _write_page(self) -> None:
        self._num_pages += 1
        for _ in self._pool.map(self._write_image, self._page):
            pass  # Taking the results raises here what was raised in a thread.
        self._write(f'panels/{self._num_pages:04d}.png', visualization.panels(self._page, self._label_map))
        self._page = []

    def _write_image(self, row: visualization.PanelRow) -> None:
        self._write(f'masks/{row.title}.png', row.prediction)
        self._write(f'overlays/{row.title}.png', visualization.overlay(row.image, row.prediction, self._label_map))

    def _write(self, name: str, picture: np.ndarray) -> None:
        atomic.write(f'{self._output_dir}/{name}', images.encode_png(picture))
