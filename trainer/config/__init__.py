"""What a training run is: the recipe, the data it is made from, and the directory and file that hold both."""

from trainer.config.data import TRAIN_SPLIT, VALIDATION_SPLIT, Data, read_manifest
from trainer.config.directories import (
    BEST,
    BEST_DIR,
    CONFIG_FILE,
    EVALUATION_DIR,
    LATEST,
    LATEST_DIR,
    LOCK_FILE,
    TENSORBOARD_DIR,
    check_output_dir,
    checkpoint_path,
    has_checkpoint,
    saved_steps,
)
from trainer.config.loss_terms import CLASS_WEIGHTS, LOSSES, NO_CLASS_WEIGHTS, PIXEL_LOSSES, REGION_LOSSES, parse_loss
from trainer.config.ranges import BATCH_SIZES, MOST, check_ranges
from trainer.config.recipe import (
    DECODERS,
    ENCODER_BATCH_NORM,
    IMAGENET_WEIGHTS,
    NO_WEIGHTS,
    OPTIMIZERS,
    SCHEDULES,
    Recipe,
)
from trainer.config.run import RunConfig, check_continues, check_data_fits, read, write

__all__ = [
    'BATCH_SIZES',
    'BEST',
    'BEST_DIR',
    'CLASS_WEIGHTS',
    'CONFIG_FILE',
    'DECODERS',
    'ENCODER_BATCH_NORM',
    'EVALUATION_DIR',
    'IMAGENET_WEIGHTS',
    'LATEST',
    'LATEST_DIR',
    'LOCK_FILE',
    'LOSSES',
    'MOST',
    'NO_CLASS_WEIGHTS',
    'NO_WEIGHTS',
    'OPTIMIZERS',
    'PIXEL_LOSSES',
    'REGION_LOSSES',
    'SCHEDULES',
    'TENSORBOARD_DIR',
    'TRAIN_SPLIT',
    'VALIDATION_SPLIT',
    'Data',
    'Recipe',
    'RunConfig',
    'check_continues',
    'check_data_fits',
    'check_output_dir',
    'check_ranges',
    'checkpoint_path',
    'has_checkpoint',
    'parse_loss',
    'read',
    'read_manifest',
    'saved_steps',
    'write',
]
