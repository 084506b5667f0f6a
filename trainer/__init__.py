"""The trainer: a U-Net on the data sets that beam_jobs prepares, on every device of the machine.

The functions below do what the commands of the same names do (`python -m trainer.train` and so on), with values instead
of flags:

    import trainer
    from trainer.config import Recipe

    trainer.train('data/clothing_parsing/128x128/1.0.0', 'runs/demo', Recipe(encoder='mobilenet_v2', epochs=30))
    model, run = trainer.load_model('runs/demo')

Importing this package loads no TensorFlow; the functions load it once they have checked what they were given, so that a
mistake is answered at once. Every one of them raises `seg_pipeline.errors.UserError` for a mistake, with one line that
says what to do, also where TensorFlow is not installed.

The commands are modules of the same names as the functions. Nothing imports them: an import of such a module would put
it in the place of the function.
"""

from typing import TYPE_CHECKING

import seg_pipeline  # noqa: F401 (first: while a command imports TensorFlow, Ctrl-C ends it without a traceback)

if TYPE_CHECKING:
    import keras

    from trainer import config, jobs, options, report

__all__ = ['dry_run', 'evaluate', 'export', 'load_model', 'predict', 'show_augmentation', 'train']


def train(
    data_dir: str,
    model_dir: str,
    recipe: 'config.Recipe | None' = None,
    runtime: 'options.RuntimeOptions | None' = None,
    data_options: 'config.DataOptions | None' = None,
) -> 'jobs.TrainingResult':
    """Trains a model, or goes on with a run that was stopped.

    Prints a line of progress. SIGINT and SIGTERM stop the run after the current step, with its state saved.

    Args:
        data_dir: directory of the data set, as prepare_dataset printed it, or of a version of any TFDS data set.
        model_dir: directory of the run, new or to be resumed.
        recipe: all that decides the weights besides the data; None for the article's recipe.
        runtime: how the run is carried out; None for the defaults.
        data_options: what the files of the data set do not tell, such as the size of its images; None for nothing.

    Returns:
        How it ended.

    Raises:
        UserError: no such data set, a damaged shard, a `model_dir` that holds another run, weights that are not to be
            had, or a loss that is no number any more.
    """
    from trainer import jobs

    return jobs.train(data_dir, model_dir, recipe, runtime, data_options)


def dry_run(
    data_dir: str,
    model_dir: str,
    recipe: 'config.Recipe | None' = None,
    runtime: 'options.RuntimeOptions | None' = None,
    data_options: 'config.DataOptions | None' = None,
) -> 'report.dry_run.DryRun':
    """Measures what `train` with the same arguments will need: builds everything, does two steps of each phase.

    Writes nothing anywhere, and downloads no weights. `python -m trainer.train --dry_run` prints the same.

    Args:
        data_dir, model_dir, recipe, runtime, data_options: as of `train`.

    Returns:
        Parameters, seconds and bytes; its `text()` is what the command prints.

    Raises:
        UserError: as `train` does.
    """
    from trainer import jobs

    return jobs.dry_run(data_dir, model_dir, recipe, runtime, data_options)


def evaluate(
    model_dir: str,
    data_dir: str,
    evaluation: 'options.EvaluationOptions | None' = None,
    runtime: 'options.RuntimeOptions | None' = None,
    data_options: 'config.DataOptions | None' = None,
) -> 'jobs.EvaluationResult':
    """Evaluates the model of a run on a split, and writes RUN/evaluation/<split>.json.

    Args:
        model_dir: directory of the run.
        data_dir: directory of the data set, not necessarily the one it was trained on.
        evaluation: which model on which split; None for the best one on the validation split.
        runtime: which devices to use; None for the defaults.
        data_options: what the files of the data set do not tell, where it is not what the run was trained with.

    Returns:
        The metrics, and where they were written.

    Raises:
        UserError: no such run, data set or split, or data of another image size or other classes.
    """
    from trainer import jobs

    return jobs.evaluate(model_dir, data_dir, evaluation, runtime, data_options)


def predict(
    model_dir: str, images: str, output_dir: str, prediction: 'options.PredictionOptions | None' = None
) -> 'jobs.PredictionResult':
    """Predicts the class of every pixel of images, and writes masks, overlays and panels.

    Args:
        model_dir: directory of the run.
        images: a directory of images, or a pattern with wildcards.
        output_dir: where masks/, overlays/ and panels/ go.
        prediction: which of the images, and what is drawn beside them; None for all and nothing.

    Returns:
        How many images there were, and a message for each one that could not be read.

    Raises:
        UserError: no such run, no image, no image of the split, or an `output_dir` that cannot be written.
    """
    from trainer import jobs

    return jobs.predict(model_dir, images, output_dir, prediction)


def export(model_dir: str, file_format: str, output_dir: str) -> None:
    """Writes the best model of a run for programs that do not have this package.

    Args:
        model_dir: directory of the run.
        file_format: one of `trainer.inference.export_formats.FORMATS`.
        output_dir: directory to make; it appears complete or not at all.

    Raises:
        UserError: no such run, a format whose converter is not installed, or an `output_dir` that exists or cannot be
            written.
    """
    from trainer import jobs

    jobs.export(model_dir, file_format, output_dir)


def show_augmentation(
    data_dir: str,
    output_dir: str,
    augmentation: 'options.AugmentationOptions | None' = None,
    data_options: 'config.DataOptions | None' = None,
) -> str:
    """Shows what an augmentation does to the pairs of a data set, before and after, on a page.

    Args:
        data_dir: directory of the data set.
        output_dir: where augmentation.html is written, whole or not at all.
        augmentation: which one, on which pairs; None for `strong` on the first ones of seed 0.
        data_options: as of `train`.

    Returns:
        The path of the page.

    Raises:
        UserError: no such data set or augmentation, or an `output_dir` that cannot be written.
    """
    from trainer import jobs

    return jobs.show_augmentation(data_dir, output_dir, augmentation, data_options)


def load_model(model_dir: str, checkpoint: 'str | None' = None) -> 'tuple[keras.Model, config.RunConfig]':
    """Loads the model of a run.

    Args:
        model_dir: directory of the run.
        checkpoint: `config.BEST`, which None stands for, or `config.LATEST`.

    Returns:
        The model, from uint8 or float images 0..255 (batch, height, width, 3) to float32 logits
        (batch, height, width, num_classes); and the configuration of the run, which knows the image size and the
        classes.

    Raises:
        UserError: no such run, or no checkpoint that can be read.
    """
    from trainer import jobs

    return jobs.load_model(model_dir, checkpoint)
