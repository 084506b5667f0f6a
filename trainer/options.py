"""Options that no run stores: how a command is carried out, and what it is asked about a trained model."""

import dataclasses
import re

from seg_pipeline import errors
from trainer import config
from trainer.workers import Workers

_MOST_DEVICES = 256  # each splits the memory and threads of one CPU
FLIP = 'flip'
TTA = ('none', FLIP)  # test-time augmentation
TTA_HELP = 'flip: average the prediction of each image with that of its mirror image; twice the time.'
STRATEGIES = ('auto', 'mirrored', 'one_device')
MULTI_WORKER = 'multi_worker'
STRATEGIES_OF_TRAINING = (*STRATEGIES, MULTI_WORKER)


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """How a run is carried out on this machine. None of it changes the weights beyond rounding.

    Attributes:
        strategy: one of `STRATEGIES`, or of `STRATEGIES_OF_TRAINING` where a run is trained.
        virtual_devices: split the CPU into this many logical devices and mirror over them; 0 does not split it.
        checkpoint_every_steps: save within an epoch too, after every so many steps; 0 saves at the end of epochs alone.
        keep_checkpoints: how many of the latest checkpoints stay.
        deterministic: let TensorFlow take only operations that give the same bits every time; slower. Those that train
            here on a CPU are such anyway.
        steps_per_call: steps in one call of TensorFlow; between calls the run shows its progress, saves, hears signals.
        jit_compile: let XLA compile what the one device of a run does.
        profile_steps: the first and the last step, counted from 1, of which TensorFlow's profile is written; None for
            no profile.
        workers: of multi_worker, host:port of each; empty for what the variable TF_CONFIG says.
        worker_index: which of them this process is, counted from 0; None likewise.
        join_timeout: seconds to wait for the other workers at the start.
    """

    strategy: str = 'auto'
    virtual_devices: int = 0
    checkpoint_every_steps: int = 0
    keep_checkpoints: int = 2
    deterministic: bool = False
    steps_per_call: int = 1
    jit_compile: bool = False
    profile_steps: tuple[int, int] | None = None
    workers: tuple[str, ...] = ()
    worker_index: int | None = None
    join_timeout: float = 300.0

    def __post_init__(self) -> None:
        if self.profile_steps and not 1 <= self.profile_steps[0] <= self.profile_steps[1] <= config.MOST:
            raise errors.UserError(_no_steps(','.join(map(str, self.profile_steps))))
        ranges = {
            'virtual_devices': (0, _MOST_DEVICES),
            'checkpoint_every_steps': (0, config.MOST),
            'keep_checkpoints': (1, config.MOST),
            'steps_per_call': (1, config.MOST),
            'worker_index': (0, config.MOST),
            'join_timeout': (1, config.MOST),
        }
        config.check_ranges(self, ranges)
        if self.strategy == MULTI_WORKER:
            for name in ('virtual_devices', 'jit_compile'):
                if value := getattr(self, name):
                    raise errors.UserError(f'--{name}={value} is for one process, not for --strategy={MULTI_WORKER}')
        elif self.workers or self.worker_index is not None:
            raise errors.UserError(f'--workers and --worker_index are for --strategy={MULTI_WORKER}')

    def find_workers(self) -> Workers | None:
        """The workers of multi_worker; None for another strategy. Raises `UserError` as `Workers.find` does."""
        return Workers.find(self.workers, self.worker_index) if self.strategy == MULTI_WORKER else None


def parse_profile_steps(text: str) -> tuple[int, int]:
    """Parses such as '5,10'. Raises `UserError` where it is no two numbers; `RuntimeOptions` checks them."""
    found = re.fullmatch(r'([0-9]{1,18}),([0-9]{1,18})', text)
    if not found:
        raise errors.UserError(_no_steps(text))
    return int(found[1]), int(found[2])


def _no_steps(text: str) -> str:
    return f'--profile_steps={text}: give the first and the last step, counted from 1, as in --profile_steps=5,10'


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """Which model is evaluated on what.

    Attributes:
        split: name of the split; None for the one that the run was validated on.
        checkpoint: `config.BEST` or `config.LATEST`.
        batch_size: images in one step over all devices. Changes the speed, not the metrics.
        tta: one of `TTA`; `FLIP` averages the prediction of each image with that of its mirror image.
    """

    split: str | None = None
    checkpoint: str = config.BEST
    batch_size: int = 64
    tta: str = 'none'

    def __post_init__(self) -> None:
        config.check_ranges(self, {'batch_size': config.BATCH_SIZES})
        config.check_choices(self, {'tta': TTA})


@dataclasses.dataclass(frozen=True)
class PredictionOptions:
    """Which images are predicted, and what is drawn beside them.

    Attributes:
        masks: directory of ground truths, to be drawn beside the predictions; None for none.
        data_dir: a data set that was prepared from the images: predict those of one split alone; None for all images.
        split: name of that split; None for the one that the run was validated on.
        batch_size: images that are predicted, and held in memory, at a time.
        tta: one of `TTA`; `FLIP` averages the prediction of each image with that of its mirror image.
    """

    masks: str | None = None
    data_dir: str | None = None
    split: str | None = None
    batch_size: int = 16
    tta: str = 'none'

    def __post_init__(self) -> None:
        config.check_ranges(self, {'batch_size': config.BATCH_SIZES})
        config.check_choices(self, {'tta': TTA})


@dataclasses.dataclass(frozen=True)
class AugmentationOptions:
    """Which pairs are shown before and after which augmentation.

    Attributes:
        augmentation: a key of `strengths.OF_POLICY`, or the path of a JSON file, see `strengths.find`.
        pairs: how many; the first ones that a run of this seed sees.
        seed: of the order and of what is drawn, as that of a run.
    """

    augmentation: str = 'strong'
    pairs: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        config.check_ranges(self, {'pairs': (1, 512), 'seed': (0, 2**32 - 1)})
