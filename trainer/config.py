"""What a training run is: the recipe, the data it was made from, and the file in the run that holds both."""

import dataclasses
import itertools
import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.dataset import typed_json
from seg_pipeline.imaging import masks, resizing
from seg_pipeline.labels import label_map as label_map_lib
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.records import schemas, writer
from seg_pipeline.storage import atomic

# What a run directory holds.
CONFIG_FILE = 'config.json'
LATEST_DIR = 'checkpoints'
BEST_DIR = 'best'
TENSORBOARD_DIR = 'tensorboard'
EVALUATION_DIR = 'evaluation'

TRAIN_SPLIT = 'train'
VALIDATION_SPLIT = 'validation'
SCHEMA_VERSION = 1
OPTIMIZERS = ('rmsprop', 'sgd', 'adam', 'adamw')
# Values of `Recipe.encoder_weights` that are no file.
IMAGENET_WEIGHTS, NO_WEIGHTS = 'imagenet', 'none'
# The models of a run: the one at its largest validation mean IoU, and the one of its latest checkpoint.
BEST, LATEST = 'best', 'latest'

BATCH_SIZES = (1, 2**20)
MOST = 2**31 - 1  # of what is counted: it fits into every integer that TensorFlow counts with
# What each number of a recipe may be, both ends included.
_RANGES: dict[str, tuple[float, float]] = {
    'batch_size': BATCH_SIZES,
    'epochs': (1, MOST),
    'frozen_epochs': (0, MOST),
    'steps_per_epoch': (0, MOST),
    'seed': (0, 2**32 - 1),  # numpy's, which Keras seeds too
    'learning_rate': (0, 1e6),
    'fine_tune_learning_rate': (0, 1e6),
    'clip_norm': (0, 1e18),  # the square is a float32
    'batch_norm_momentum': (0, 1),
    'cache_budget_mb': (0, MOST),
}

# A finished run may be taken further with more epochs; any other difference would make it another experiment.
_EXTENDABLE = ('epochs',)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides the weights. The defaults are the article's values.

    Attributes:
        encoder: a key of `encoders.ENCODERS`.
        encoder_weights: `IMAGENET_WEIGHTS`, `NO_WEIGHTS`, or the path of a weights file.
        batch_size: images in one step, over all replicas together.
        epochs: length of the whole run, the frozen epochs included.
        frozen_epochs: leading epochs in which the encoder's filters do not change; the rest fine-tune them.
        steps_per_epoch: optimizer steps in an epoch; 0 stands for one pass over the training split.
        seed: of the initial weights, the order of the data and the augmentation.
        augmentation: a key of `augmentation.POLICIES`.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: while the encoder is frozen.
        fine_tune_learning_rate: afterwards; None stands for `learning_rate`.
        clip_norm: largest global norm of the gradient; 0 leaves it as it is.
        batch_norm_momentum: part of its running statistics that a normalization layer, of the encoder too, keeps in a
            step. Validation and prediction use those: with 0.99 they need a few hundred steps to catch up.
        mixed_precision: compute in bfloat16, keep variables and logits in float32.
        cache_budget_mb: memory for decoded images, in MiB. A training split that does not fit is decoded again in every
            pass, and then drawn in another order, which is why this belongs to the recipe.

    Raises:
        UserError: if a number is not in its range, or the encoder is frozen for longer than the run.
    """

    encoder: str = 'densenet121'
    encoder_weights: str = IMAGENET_WEIGHTS
    batch_size: int = 64
    epochs: int = 40
    frozen_epochs: int = 20
    steps_per_epoch: int = 12
    seed: int = 0
    augmentation: str = 'article'
    optimizer: str = 'rmsprop'
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float | None = None
    clip_norm: float = 0.0
    batch_norm_momentum: float = 0.99
    mixed_precision: bool = False
    cache_budget_mb: int = 1024

    @property
    def cache_budget_bytes(self) -> int:
        return self.cache_budget_mb * 2**20

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if self.frozen_epochs > self.epochs:
            raise errors.UserError(f'--frozen_epochs={self.frozen_epochs} is more than --epochs={self.epochs}')


def check_ranges(options: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Checks numbers, which come from flags or from a program that calls the package.

    Args:
        options: a dataclass; None is no number and passes.
        ranges: by the name of an attribute, which is that of its flag: the least and the largest number.

    Raises:
        UserError: if one is outside, or is nan; it names the flag, the value and the range.
    """
    for name, (least, most) in ranges.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:  # so put, nan is in no range
            raise errors.UserError(f'--{name}={value}: wanted a number from {least} to {most}')


# Options of prepare_dataset that decide whether records can be read here.
_READABLE = {'schema': schemas.TFDS, 'file_format': writer.TFRECORD}


def read_manifest(data_dir: str) -> manifest_lib.Manifest:
    """Reads the manifest of a local data set. Raises `UserError` if it is on an object store, or no data set."""
    if not storage.has_directories(data_dir):
        raise errors.UserError(f'--data_dir={data_dir}: the trainer reads data sets of this disk; copy it here first')
    return manifest_lib.read(data_dir)


@dataclasses.dataclass(frozen=True)
class Data:
    """The data set a run learns from, as far as the run depends on it.

    Attributes:
        dataset_name: its TFDS name.
        fingerprint: of its inputs and options.
        image_size: (height, width) of its images.
        label_map: its classes.
        resize: how the source images were brought to that size, one of `resizing.MODES`.
        mask_format: of the masks that it was made of, one of `masks.MASK_FORMATS`.
        remapping: how their classes became those of the data set, see `Remapping.to_json`; None if they are.
    """

    dataset_name: str
    fingerprint: str
    image_size: tuple[int, int]
    label_map: label_map_lib.LabelMap
    resize: str = resizing.DEFAULT_MODE
    mask_format: str = masks.MaskReader.mask_format
    remapping: dict[str, Any] | None = None

    @classmethod
    def from_manifest(cls, manifest: manifest_lib.Manifest) -> 'Data':
        """What the manifest says. Raises `UserError` if the records are not of the kind that the trainer reads."""
        for name, wanted in _READABLE.items():
            if (found := manifest.options.get(name, wanted)) != wanted:
                raise errors.UserError(
                    f'data set {manifest.dataset_name} {manifest.config_name} was made with --{name}={found}, for '
                    f'other readers; the trainer reads --{name}={wanted}: prepare the data set again with that'
                )
        height, width = manifest.image_size
        names = ('resize', 'mask_format', 'remapping')
        options = {name: manifest.options[name] for name in names if name in manifest.options}
        return cls(manifest.dataset_name, manifest.fingerprint, (height, width), manifest.label_map, **options)

    @property
    def mask_reader(self) -> masks.MaskReader:
        """Reads masks like those that the data set was made of."""
        found = Remapping.from_json(self.remapping) if self.remapping else None
        return masks.MaskReader(self.label_map, self.mask_format, found)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The content of RUN/config.json: enough to rebuild the model and to see whether a command continues this run."""

    recipe: Recipe
    data: Data

    @property
    def label_map(self) -> label_map_lib.LabelMap:
        return self.data.label_map

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the images that the model takes."""
        return self.data.image_size

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(self.data) | {'label_map': self.data.label_map.to_json()}
        return {'schema_version': SCHEMA_VERSION, 'recipe': dataclasses.asdict(self.recipe), 'data': data}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'RunConfig':
        # Typed, since a person may have edited the file: no number that is not finite, no text where a number belongs.
        data = typed_json.read(Data, content['data'])
        if data.remapping is not None:
            Remapping.from_json(data.remapping)
        labels = label_map_lib.LabelMap.from_json(content['data']['label_map'])
        return cls(typed_json.read(Recipe, content['recipe']), dataclasses.replace(data, label_map=labels))


def read(model_dir: str) -> RunConfig:
    """Reads the configuration of a run.

    Raises:
        UserError: `model_dir` holds no run, or one that this version cannot read.
    """
    path = os.path.join(model_dir, CONFIG_FILE)
    if not os.path.isfile(path):
        raise errors.UserError(f'{model_dir} is no run of trainer.train: it holds no {CONFIG_FILE}')
    try:
        with open(path, 'rb') as file:
            content = typed_json.parse(file.read())
        if content['schema_version'] != SCHEMA_VERSION:
            found = content['schema_version']
            raise errors.UserError(f'{path} has schema_version {found!r}, this program reads {SCHEMA_VERSION}')
        return RunConfig.from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.UserError(f'{path} is damaged ({type(error).__name__}: {error})') from error


def write(model_dir: str, config: RunConfig) -> None:
    """Writes RUN/config.json by an atomic write. Raises `UserError` where that is impossible."""
    text = json.dumps(config.to_json(), indent=2, ensure_ascii=False) + '\n'
    with storage.writing(model_dir):
        atomic.write(os.path.join(model_dir, CONFIG_FILE), text.encode())


def check_output_dir(flag: str, path: str) -> None:
    """Makes sure that a directory of this disk can be of that name, before anything is computed for it.

    Args:
        flag: the name of the flag, for messages.
        path: what it says.

    Raises:
        UserError: if it is an address of a store, a file, or no name that the file system takes.
    """
    if not storage.has_directories(path):
        raise errors.UserError(f'--{flag}={path}: the trainer writes on this disk; copy it from there')
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.UserError(f'--{flag}={path}: cannot be a directory: {error.strerror}') from error
    if not is_directory:
        raise errors.UserError(f'--{flag}={path} is a file; choose a directory')


def has_checkpoint(model_dir: str) -> bool:
    """Tells whether a run has saved its state at least once."""
    # TensorFlow's index of the checkpoints in a directory, written by tf.train.CheckpointManager.
    return os.path.isfile(os.path.join(model_dir, LATEST_DIR, 'checkpoint'))


def check_continues(model_dir: str, wanted: RunConfig) -> bool:
    """Tells whether `model_dir` holds a run that `wanted` would continue.

    Returns:
        True where it does, False where `model_dir` is absent or empty.

    Raises:
        UserError: it holds the run of another recipe or other data (named with both values), or files of no run.
    """
    check_output_dir('model_dir', model_dir)
    if not os.path.exists(os.path.join(model_dir, CONFIG_FILE)):
        if os.path.isdir(model_dir) and os.listdir(model_dir):
            raise errors.UserError(f'--model_dir={model_dir} is not empty and holds no run; choose another directory')
        return False
    differences = _differences(read(model_dir), wanted)
    if differences:
        raise errors.UserError(
            f'{model_dir} holds a run of another recipe: {"; ".join(differences)}. '
            'Give the same options to resume it, or another --model_dir'
        )
    return True


def check_data_fits(model_dir: str, run: RunConfig, data_dir: str, data: Data) -> None:
    """Checks that a data set, not necessarily the one it was trained on, can be given to the model of a run.

    Raises:
        UserError: it has images of another size or other classes.
    """
    if data.image_size != run.image_size:
        raise errors.UserError(
            f'{data_dir} holds images of {_size(data.image_size)} pixels, '
            f'{model_dir} was trained on {_size(run.image_size)}'
        )
    names, trained_names = data.label_map.names, run.label_map.names
    if names != trained_names:
        pairs = itertools.zip_longest(names, trained_names)
        i = next(i for i, (name, trained_name) in enumerate(pairs) if name != trained_name)
        raise errors.UserError(
            f'{data_dir} has {len(names)} classes, {model_dir} was trained on {len(trained_names)}; '
            f'class {i} is {_name(names, i)} there and {_name(trained_names, i)} here'
        )


def _size(image_size: tuple[int, int]) -> str:
    return '{}x{}'.format(*image_size)


def _name(names: tuple[str, ...], i: int) -> str:
    return repr(names[i]) if i < len(names) else 'absent'


def _differences(found: RunConfig, wanted: RunConfig) -> list[str]:
    """Lists 'option: value there, value here' for all that must be equal and is not."""
    options = [(f'--{field.name}', field.name) for field in dataclasses.fields(Recipe) if field.name not in _EXTENDABLE]
    of_data = [(f'data {field.name}', field.name) for field in dataclasses.fields(Data)]
    values = [(label, getattr(found.recipe, name), getattr(wanted.recipe, name)) for label, name in options]
    values += [(label, getattr(found.data, name), getattr(wanted.data, name)) for label, name in of_data]
    return [f'{label} is {_short(old)} there and {_short(new)} here' for label, old, new in values if old != new]


def _short(value: object) -> str:
    text = f'a table of {value.num_classes} classes' if isinstance(value, label_map_lib.LabelMap) else str(value)
    return text if len(text) <= 80 else text[:77] + '...'
