"""Draws the pictures of the documentation: the data's way, the folders, and one pair's way through them.

    python tools/draw_architecture.py [OUTPUT_DIR]

writes overview.svg, rooms.svg and one_pair.svg, by default to docs/images. Each picture has a background of its own and
both a light and a dark form, between which the browser's preference decides, so that it can be read on any page.
"""

import pathlib
import sys
from typing import NamedTuple
from xml.sax.saxutils import escape

_DIRECTORY = pathlib.Path(__file__).resolve().parents[1] / 'docs' / 'images'
_WIDTH = 720
_MARGIN = 16
_LINE = 19  # between the base lines of two lines of text

_STYLE = """
text { font: 14px system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1f2328; }
.name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-weight: 600; }
.note { font-size: 13px; fill: #57606a; }
.page { fill: #ffffff; stroke: #d0d7de; }
.frame { fill: #f6f8fa; stroke: #d0d7de; }
.room { fill: #ffffff; stroke: #8c959f; }
.driver { fill: #ddf4ff; stroke: #54aeff; }
.worker { fill: #dafbe1; stroke: #4ac26b; }
.tensorflow { fill: #fff8c5; stroke: #d4a72c; }
.arrow { fill: none; stroke: #57606a; stroke-width: 1.5; }
.head { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9ea7b3; }
  .page { fill: #0d1117; stroke: #30363d; }
  .frame { fill: #161b22; stroke: #30363d; }
  .room { fill: #0d1117; stroke: #6e7681; }
  .driver { fill: #0c2d6b; stroke: #388bfd; }
  .worker { fill: #033a16; stroke: #2ea043; }
  .tensorflow { fill: #4b2900; stroke: #bb8009; }
  .arrow { stroke: #9ea7b3; }
  .head { fill: #9ea7b3; }
}
"""


class Room(NamedTuple):
    """A folder: its name, the colour of its box, and what it is for."""

    name: str
    kind: str
    note: str


BEAM_JOBS = (
    'prepare_dataset: the command',
    'pipeline: the job, as a function',
    'transforms: its steps',
    'runners, worker: its engines',
)
TRAINER = (
    Room('trainer', 'tensorflow', 'commands, recipes, devices'),
    Room('models', 'tensorflow', 'decoders, encoders, their weights'),
    Room('training', 'tensorflow', 'loop, steps, checkpoints'),
    Room('evaluation', 'tensorflow', 'metrics from one confusion matrix'),
    Room('inference', 'tensorflow', 'predictions, exports'),
    Room('report', 'tensorflow', 'the curves of a run'),
    Room('config', 'tensorflow', 'what a run is: recipe, data, directory'),
)
SEG_PIPELINE = (
    Room('synthetic', 'room', 'draws pairs to try everything with'),
    Room('clothing_parsing', 'room', 'the registered TFDS builder'),
    Room('building', 'room', 'from pairs to a published data set: pair, shard, publish, repair'),
    Room('cross_check', 'room', 'stored masks against their files, read by another library'),
    Room('card', 'room', 'the data set card, one HTML page'),
    Room('input', 'tensorflow', 'from shards to batches: pipeline, augmentation'),
    Room('dataset', 'room', 'what a data set says of itself: manifest, record index, statistics'),
    Room('large_plans', 'room', 'the same plans of millions of pairs, on the disk and in arrays'),
    Room('planning', 'room', 'pairs, groups, splits, shards; decided before anything is decoded'),
    Room('records', 'room', 'the bytes: TFRecord, ArrayRecord, tf.train.Example'),
    Room('imaging', 'room', 'one picture: check, decode, resize, hash'),
    Room('labels', 'room', 'the table of classes, and remappings of it'),
    Room('storage', 'room', 'one Store protocol: local, S3, Google Cloud Storage, HDFS'),
)


class Step(NamedTuple):
    """A step of a pair's way: where it happens, the colour of its box, what happens, and what leaves it."""

    name: str
    kind: str
    note: str
    result: str


PREPARATION = (
    Step('beam_jobs.prepare_dataset', 'driver', 'flags become a JobConfig', 'JobConfig, with its BuildConfig'),
    Step('beam_jobs.pipeline', 'driver', 'run(config) -> Outcome', 'paths'),
    Step('planning', 'driver', 'pairing, splits, sharding: a plan', 'SourcePair: two paths and a key'),
    Step('beam_jobs.transforms', 'worker', 'WriteShards: one shard plan to each worker', 'a shard plan'),
    Step('building.shard, building.pair', 'worker', 'imaging: read, check, decode, remap, resize',
         'PreparedPair: two arrays'),
    Step('records', 'worker', 'encode, frame, append', 'bytes in a shard'),
    Step('dataset', 'worker', 'record index, statistics, manifest', 'RecordEntry: a line of records.jsonl'),
    Step('building.publish', 'driver', 'metadata, card, one rename', 'complete or absent'),
)  # fmt: skip
TRAINING = (
    Step('input.pipeline', 'tensorflow', 'read, parse, decode, cache, shuffle, batch', 'uint8 image and mask'),
    Step('input.augmentation', 'tensorflow', 'one draw for image and mask', 'a batch'),
    Step('trainer.training.steps', 'tensorflow', 'sums over valid pixels of all devices', 'gradients, weights'),
    Step('trainer.evaluation.metrics', 'tensorflow', 'one confusion matrix', 'figures of an epoch'),
    Step('trainer.training.checkpoints', 'tensorflow', 'the last write of an epoch', 'a state to resume from'),
    Step('trainer.report', 'tensorflow', 'the course of the run', ''),
)


class Picture:
    """Collects the elements of one SVG."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._elements: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        self._elements.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>')

    def text(self, x: float, y: float, content: str, kind: str = '', anchor: str = 'start') -> None:
        self._elements.append(f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(content)}</text>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through points with an arrow head at its end."""
        path = ' L'.join(f'{x},{y}' for x, y in points)
        self._elements.append(f'<path class="arrow" marker-end="url(#head)" d="M{path}"/>')

    def labelled_box(self, x: float, y: float, width: float, kind: str, lines: tuple[str, ...]) -> float:
        """A box with a name and notes below it, centred; returns its height."""
        height = _LINE * len(lines) + 16
        self.box(x, y, width, height, kind)
        for i, line in enumerate(lines):
            self.text(x + width / 2, y + _LINE * (i + 1) + 2, line, 'note' if i else 'name', 'middle')
        return height

    def to_svg(self, height: float) -> str:
        body = '\n'.join(self._elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
            f'viewBox="0 0 {_WIDTH} {height}" role="img">\n<title>{escape(self._title)}</title>\n'
            f'<style>{_STYLE}</style>\n'
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path class="head" d="M0,0 L8,4 L0,8 z"/></marker></defs>\n'
            f'<rect class="page" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>\n{body}\n</svg>\n'
        )


def overview() -> str:
    """The data's way: pairs, data set, run, and the commands between them."""
    picture = Picture('From pairs to a data set, from the data set to a model')
    left, middle, right, width = _MARGIN, 260, 504, 200
    picture.labelled_box(left, 24, width, 'room', ('your pairs', 'images, masks, label table'))
    picture.labelled_box(middle, 24, width, 'room', ('data set', 'TFRecord shards, manifest,', 'TFDS metadata, card'))
    picture.labelled_box(right, 24, width, 'room', ('run', 'checkpoints, best model,', 'history, evaluation'))
    picture.arrow((left + width, 60), (middle - 2, 60))
    picture.arrow((middle + width, 60), (right - 2, 60))
    picture.box(_MARGIN, 214, _WIDTH - 2 * _MARGIN, 56, 'frame')
    picture.text(_WIDTH / 2, 237, 'seg_pipeline', 'name', 'middle')
    picture.text(_WIDTH / 2, 257, 'the library; verify, synthetic, and the builder for tfds.load', 'note', 'middle')
    for center, kind, name, commands in (
        ((left + width + middle) / 2, 'driver', 'beam_jobs', 'prepare_dataset'),
        ((middle + width + right) / 2, 'tensorflow', 'trainer', 'train, evaluate, predict, export'),
    ):
        height = picture.labelled_box(center - 115, 130, 230, kind, (name, commands))
        picture.arrow((center, 130), (center, 63))
        picture.arrow((center, 130 + height), (center, 212))
        picture.text(center + 10, 203, 'imports', 'note')
    return picture.to_svg(288)


def rooms() -> str:
    """The folders, from top to bottom in the order in which they may import each other."""
    picture = Picture('The folders: each imports only folders that are further down')
    split = 262  # between the boxes of beam_jobs and trainer
    height = 24 * len(TRAINER) + 22
    picture.box(_MARGIN, 16, split - _MARGIN, height, 'driver')
    picture.text(_MARGIN + 14, 42, 'beam_jobs', 'name')
    for i, line in enumerate(BEAM_JOBS):
        picture.text(_MARGIN + 14, 66 + _LINE * i, line, 'note')
    x = split + _MARGIN
    picture.box(x, 16, _WIDTH - _MARGIN - x, height, 'tensorflow')
    for i, room in enumerate(TRAINER):
        picture.text(x + (14 if i == 0 else 30), 42 + 24 * i, room.name, 'name')
        picture.text(x + 144, 42 + 24 * i, room.note, 'note')
    top = 16 + height
    for center in ((_MARGIN + split) / 2, (x + _WIDTH - _MARGIN) / 2):
        picture.arrow((center, top), (center, top + 32))
        picture.text(center + 10, top + 21, 'imports', 'note')
    top += 34
    bottom = top + 42 + 38 * len(SEG_PIPELINE)
    picture.box(_MARGIN, top, _WIDTH - 2 * _MARGIN, bottom - top, 'frame')
    picture.text(_MARGIN + 14, top + 25, 'seg_pipeline', 'name')
    picture.text(_MARGIN + 128, top + 25, 'a folder imports only folders below it', 'note')
    for i, room in enumerate(SEG_PIPELINE):
        y = top + 38 + 38 * i
        picture.box(2 * _MARGIN, y, _WIDTH - 4 * _MARGIN, 32, room.kind)
        picture.text(2 * _MARGIN + 14, y + 21, room.name, 'name')
        picture.text(2 * _MARGIN + 170, y + 21, room.note, 'note')
    picture.box(_MARGIN, bottom + 14, 18, 18, 'tensorflow')
    picture.text(_MARGIN + 26, bottom + 28, 'loads TensorFlow; nothing that a Beam worker runs does', 'note')
    return picture.to_svg(bottom + 46)


def one_pair() -> str:
    """One pair's way, from the command that prepares it to the report of a run."""
    picture = Picture("One pair's way, from its files to the report of a training run")
    width = (_WIDTH - 3 * _MARGIN) / 2
    bottoms = []
    for x, title, steps in ((_MARGIN, 'prepare', PREPARATION), (2 * _MARGIN + width, 'train', TRAINING)):
        picture.text(x, 34, title, 'name')
        y = 46.0
        for step in steps:
            height = picture.labelled_box(x, y, width, step.kind, (step.name, step.note))
            if step.result:
                picture.arrow((x + 40, y + height), (x + 40, y + height + 26))
                picture.text(x + 54, y + height + 18, step.result, 'note')
            y += height + 28
        bottoms.append(y)
    # The result of the left column is what the right one begins with.
    picture.labelled_box(_MARGIN, bottoms[0], width, 'room', ('the data set directory',))
    middle = 1.5 * _MARGIN + width
    picture.arrow((_MARGIN + width, bottoms[0] + 17), (middle, bottoms[0] + 17), (middle, 73), (middle + 8, 73))
    y = bottoms[0] + 62
    for x, kind, line in (
        (_MARGIN, 'driver', 'once for a data set'),
        (_MARGIN + 190, 'worker', 'in workers, for each pair or shard'),
        (_MARGIN + 462, 'tensorflow', 'in TensorFlow, in each epoch'),
    ):
        picture.box(x, y - 14, 18, 18, kind)
        picture.text(x + 26, y, line, 'note')
    return picture.to_svg(y + 20)


def main(arguments: list[str]) -> None:
    """Writes the pictures."""
    directory = pathlib.Path(arguments[1]) if len(arguments) > 1 else _DIRECTORY
    for name, draw in (('overview', overview), ('rooms', rooms), ('one_pair', one_pair)):
        (directory / f'{name}.svg').write_text(draw(), encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv)
