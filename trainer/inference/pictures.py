"""From photos to pictures of what a model sees in them: ids, overlays, and both beside the ground truth."""

from collections.abc import Iterator, Sequence
from concurrent import futures

import numpy as np
import tensorflow as tf

from seg_pipeline.imaging import images, resizing, visualization
from seg_pipeline.imaging import masks as masks_lib
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.storage import atomic
from trainer import config, progress
from trainer.inference import photos, predictor

ROWS_PER_PANEL = 4


def predict(
    found: Sequence[photos.Photo],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    output_dir: str,
    batch_size: int,
) -> list[str]:
    """Predicts photos and writes their pictures. Never holds more than a batch and a panel of them.

    Args:
        found: the photos.
        predictor: the model.
        run: the configuration that it was trained with.
        output_dir: where masks/NAME.png and overlays/NAME.png of each photo go, and panels/NUMBER.png of four.
        batch_size: photos in one call of the model.

    Returns:
        A message for each photo that was left out because it, or its ground truth, cannot be read.

    Raises:
        OSError: a picture cannot be written.
    """
    failures: list[str] = []
    line = progress.ProgressLine(len(found))
    with futures.ThreadPoolExecutor() as pool:
        pictures = _Pictures(output_dir, run.label_map, pool)
        for done, result in enumerate(_predictions(found, predictor, run, batch_size, pool), start=1):
            if isinstance(result, images.RejectError):
                failures.append(str(result))
            else:
                pictures.add(result)
            if line.is_due():
                line.show(f'{done}/{len(found)} photos', done)
        pictures.finish()
    return failures


def _predictions(
    found: Sequence[photos.Photo],
    predictor: predictor.Predictor,
    run: config.RunConfig,
    batch_size: int,
    pool: futures.Executor,
) -> Iterator[visualization.Row | images.RejectError]:
    """Yields every photo with its prediction, or why it has none. OpenCV and TensorFlow leave the threads to run."""
    reader = run.data.mask_reader
    for start in range(0, len(found), batch_size):
        loaded = list(pool.map(lambda photo: _try_to_load(photo, reader), found[start : start + batch_size]))
        yield from (result for result in loaded if isinstance(result, images.RejectError))
        good = [result for result in loaded if isinstance(result, photos.Loaded)]
        if not good:
            continue
        small = [resizing.resize_image(photo.image, run.image_size, run.data.resize) for photo in good]
        logits = predictor.logits(np.stack(small))
        masks = pool.map(lambda photo, scores: _mask(photo, scores, predictor, run), good, logits)
        for photo, mask in zip(good, masks, strict=True):
            yield visualization.Row(photo.name, photo.image, mask, photo.ground_truth)


def _mask(photo: photos.Loaded, logits: tf.Tensor, predictor: predictor.Predictor, run: config.RunConfig) -> np.ndarray:
    """The ids of every pixel of a photo, (H, W) uint8; the ignored id where a crop has cut it off."""
    height, width = photo.image.shape[:2]
    geometry = resizing.geometry((height, width), run.image_size, run.data.resize)
    visible = predictor.ids(logits[geometry.target.slices], geometry.source.size)
    return geometry.restore(visible, run.label_map.ignore_id)


def _try_to_load(photo: photos.Photo, reader: masks_lib.MaskReader) -> photos.Loaded | images.RejectError:
    try:
        return photos.load(photo, reader)
    except images.RejectError as error:
        return error


class _Pictures:
    """Writes the pictures of one photo after the other."""

    def __init__(self, output_dir: str, label_map: LabelMap, pool: futures.Executor) -> None:
        self._output_dir, self._label_map, self._pool = output_dir, label_map, pool
        self._page: list[visualization.Row] = []
        self._num_pages = 0

    def add(self, row: visualization.Row) -> None:
        self._page.append(row)
        if len(self._page) == ROWS_PER_PANEL:
            self._write_page()

    def finish(self) -> None:
        """Writes what does not fill a panel."""
        if self._page:
            self._write_page()

    def _write_page(self) -> None:
        self._num_pages += 1
        list(self._pool.map(self._write_photo, self._page))
        self._write(f'panels/{self._num_pages:04d}.png', visualization.panels(self._page, self._label_map))
        self._page = []

    def _write_photo(self, row: visualization.Row) -> None:
        self._write(f'masks/{row.title}.png', row.prediction)
        self._write(f'overlays/{row.title}.png', visualization.overlay(row.image, row.prediction, self._label_map))

    def _write(self, name: str, picture: np.ndarray) -> None:
        atomic.write(f'{self._output_dir}/{name}', images.encode_png(picture))
