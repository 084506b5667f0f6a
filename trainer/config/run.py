"""RUN/config.json: the recipe and the data of a run, and what makes another run of it."""

import dataclasses
import itertools
import json
import os
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import typed_json
from seg_pipeline.input.strengths import Strengths
from seg_pipeline.labels import label_map as label_map_lib
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.plurals import counted
from seg_pipeline.storage import atomic
from trainer.config.data import Data
from trainer.config.directories import CONFIG_FILE, LOCK_FILE, check_output_dir
from trainer.config.recipe import FLOAT32, Recipe

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The content of RUN/config.json: enough to rebuild the model and to see whether a command continues this run.

    Attributes:
        recipe: everything besides the data that decides the weights.
        data: what the run learns from.
        strengths: what `recipe.augmentation` stands for: of two runs they are compared, where both have them, and not
            the names. A file may be renamed or altered, and a later version may give `strong` other numbers.
    """

    recipe: Recipe
    data: Data
    strengths: Strengths | None = None

    @property
    def label_map(self) -> label_map_lib.LabelMap:
        return self.data.label_map

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the images that the model takes."""
        return self.data.image_size

    def to_json(self) -> dict[str, Any]:
        data = dataclasses.asdict(self.data) | {'label_map': self.data.label_map.to_json()}
        content = {'schema_version': SCHEMA_VERSION, 'recipe': dataclasses.asdict(self.recipe), 'data': data}
        return content | ({'strengths': dataclasses.asdict(self.strengths)} if self.strengths else {})

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> 'RunConfig':
        # Typed, since a person may have edited the file: no number that is not finite, no text where a number belongs.
        data = typed_json.read(Data, content['data'])
        if data.remapping is not None:
            Remapping.from_json(data.remapping)
        labels = label_map_lib.LabelMap.from_json(content['data']['label_map'])
        strengths = typed_json.read(Strengths, content['strengths']) if 'strengths' in content else None
        return cls(
            typed_json.read(Recipe, _current(content['recipe'])), dataclasses.replace(data, label_map=labels), strengths
        )


def _current(recipe: Any) -> Any:
    """A recipe as it is written now: earlier versions had a switch, mixed_precision, for bfloat16."""
    if not isinstance(recipe, dict):
        return recipe  # and is refused
    names = {False: FLOAT32, True: 'bfloat16'}
    if isinstance(switch := recipe.get('mixed_precision'), bool) and 'precision' not in recipe:
        recipe = {name: value for name, value in recipe.items() if name != 'mixed_precision'}
        recipe['precision'] = names[switch]
    return recipe


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


def check_continues(model_dir: str, wanted: RunConfig) -> bool:
    """Tells whether `model_dir` holds a run that `wanted` would continue.

    Returns:
        True where it does, False where `model_dir` is absent or empty.

    Raises:
        UserError: it holds the run of another recipe or other data (named with both values), or files of no run.
    """
    check_output_dir('model_dir', model_dir)
    if not os.path.exists(os.path.join(model_dir, CONFIG_FILE)):
        if os.path.isdir(model_dir) and set(os.listdir(model_dir)) - {LOCK_FILE}:
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
            f'{data_dir} has {counted(len(names), "class", "classes")}, {model_dir} was trained on '
            f'{len(trained_names)}; class {i} is {_name(names, i)} there and {_name(trained_names, i)} here'
        )


def _size(image_size: tuple[int, int]) -> str:
    return '{}x{}'.format(*image_size)


def _name(names: tuple[str, ...], i: int) -> str:
    return repr(names[i]) if i < len(names) else 'absent'


def _differences(found: RunConfig, wanted: RunConfig) -> list[str]:
    """Lists 'option: value there, value here' for all that must be equal and is not."""
    # A finished run may be taken further with more epochs, unless its learning rate has fallen towards their end. Any
    # other difference would make it another experiment.
    extendable = ('epochs',) if found.recipe.schedule == wanted.recipe.schedule == 'constant' else ()
    options = [(f'--{field.name}', field.name) for field in dataclasses.fields(Recipe) if field.name not in extendable]
    of_data = [(f'data {field.name}', field.name) for field in dataclasses.fields(Data)]
    values = [(label, getattr(found.recipe, name), getattr(wanted.recipe, name)) for label, name in options]
    if found.strengths and wanted.strengths:
        names = [field.name for field in dataclasses.fields(Strengths)]
        values = [row for row in values if row[0] != '--augmentation']
        values += [
            (f'--augmentation: {name}', getattr(found.strengths, name), getattr(wanted.strengths, name))
            for name in names
        ]
    values += [(label, getattr(found.data, name), getattr(wanted.data, name)) for label, name in of_data]
    return [f'{label} is {_short(old)} there and {_short(new)} here' for label, old, new in values if old != new]


def _short(value: object) -> str:
    text = str(value)
    if isinstance(value, label_map_lib.LabelMap):
        text = f'a table of {counted(value.num_classes, "class", "classes")}'
    return text if len(text) <= 80 else text[:77] + '...'
