"""Everything besides the data that decides the weights of a run."""

import dataclasses

from seg_pipeline import errors
from trainer.config.loss_terms import CLASS_WEIGHTS, NO_CLASS_WEIGHTS, check_loss
from trainer.config.ranges import BATCH_SIZES, MOST, check_choices, check_ranges

DECODERS = ('pix2pix', 'unet', 'fpn', 'deeplabv3plus')
OPTIMIZERS = ('rmsprop', 'sgd', 'adam', 'adamw')
WITH_MOMENTUM = ('rmsprop', 'sgd')  # Of the others it is a part, with a value of its own.
SCHEDULES = ('constant', 'cosine', 'polynomial')
ENCODER_BATCH_NORM = ('auto', 'kept', 'trained')
FLOAT32, FLOAT16 = 'float32', 'float16'
PRECISIONS = (FLOAT32, 'bfloat16', FLOAT16)
# Values of `Recipe.encoder_weights` that are no file.
IMAGENET_WEIGHTS, NO_WEIGHTS = 'imagenet', 'none'

# What each number of a recipe may be, both ends included.
_RANGES: dict[str, tuple[float, float]] = {
    'input_scale': (0.25, 8),
    'batch_size': BATCH_SIZES,
    'epochs': (1, MOST),
    'frozen_epochs': (0, MOST),
    'steps_per_epoch': (0, MOST),
    'seed': (0, 2**32 - 1),  # numpy's, which Keras seeds too
    'learning_rate': (0, 1e6),
    'fine_tune_learning_rate': (0, 1e6),
    'label_smoothing': (0, 1),
    'focal_gamma': (0, 100),
    'tversky_alpha': (0, 1),
    'hard_pixel_share': (1e-6, 1),
    'warmup_steps': (0, MOST),
    'weight_decay': (0, 1e6),
    'momentum': (0, 1),
    'encoder_learning_rate_scale': (0, 1e6),
    'repeat_factor_threshold': (0, 1),
    'ema_decay': (0, 1),
    'accumulation_steps': BATCH_SIZES,
    'early_stopping_epochs': (0, MOST),
    'clip_norm': (0, 1e18),  # the square is a float32
    'batch_norm_momentum': (0, 1),
    'cache_budget_mb': (0, MOST),
}
# What each choice of a recipe may be.
_CHOICES: dict[str, tuple[str, ...]] = {
    'class_weights': CLASS_WEIGHTS,
    'optimizer': OPTIMIZERS,
    'schedule': SCHEDULES,
    'encoder_batch_norm': ENCODER_BATCH_NORM,
    'precision': PRECISIONS,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides the weights. The defaults are the article's values.

    Attributes:
        encoder: a key of `encoders.ENCODERS`.
        decoder: one of `DECODERS`.
        encoder_weights: `IMAGENET_WEIGHTS`, `NO_WEIGHTS`, or the path of a weights file.
        init_from: a run, or an exported SavedModel, whose weights the whole network starts from, in place of
            `encoder_weights`; None for none.
        input_scale: the network works on images enlarged so many times, in its first layer, to the nearest multiples of
            32; for small images and an encoder that has learned on larger ones.
        batch_size: images in one step, over all replicas together.
        epochs: length of the whole run, the frozen epochs included.
        frozen_epochs: leading epochs in which the encoder's filters do not change; the rest fine-tune them.
        steps_per_epoch: optimizer steps in an epoch; 0 stands for one pass over the training split.
        seed: of the initial weights, the order of the data and the augmentation.
        augmentation: a key of `strengths.OF_POLICY`, or the path of a JSON file, see `strengths.find`.
        repeat_factor_threshold: draw photos more often that have a class which less than this share of the photos has,
            see `rare_classes`; 0: draw each once in every pass.
        loss: what is minimized, see `objective.Objective`: names of `LOSSES`, with weights: `cross_entropy:1,dice:0.5`.
        class_weights: one of `CLASS_WEIGHTS`: how much a pixel of each class counts in cross_entropy and focal, by the
            frequencies in statistics.json, scaled to a mean of 1 over the pixels of the training split.
        label_smoothing: part of the target of cross_entropy that is spread evenly over all classes.
        focal_gamma: exponent of focal.
        tversky_alpha: of tversky: weight of what is falsely positive, from 0 to 1; the rest is that of what is falsely
            negative.
        hard_pixel_share: part of the pixels of each image, those of the largest loss, that cross_entropy and focal
            count.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: while the encoder is frozen.
        fine_tune_learning_rate: afterwards; None stands for `learning_rate`.
        schedule: one of `SCHEDULES`: how the learning rate falls within each of the two phases, see `schedules`.
        warmup_steps: steps at the start of each phase in which the learning rate rises from near 0.
        momentum: of an optimizer of `WITH_MOMENTUM`.
        weight_decay: part of each kernel that a step takes off it, in units of the learning rate, as AdamW does; biases
            and the variables of normalization layers keep all. None stands for 0.004 with adamw and for 0 otherwise.
        encoder_learning_rate_scale: the encoder learns at the learning rate times this.
        ema_decay: validation and prediction use a moving average of the weights with this decay, see `averaging`; 0:
            the weights themselves.
        accumulation_steps: parts that a step takes its batch in, one after the other, to save memory.
        early_stopping_epochs: end the run when its mean IoU was best so many epochs ago, the frozen ones not counted;
            0: do not.
        clip_norm: largest global norm of the gradient; 0 leaves it as it is.
        batch_norm_momentum: part of its running statistics that a normalization layer, of the encoder too, keeps in a
            step. Validation and prediction use those: with 0.99 they need a few hundred steps to catch up.
        encoder_batch_norm: one of `ENCODER_BATCH_NORM`: whether the encoder's normalization keeps the statistics and
            weights that it begins with, or takes the statistics of each batch and is trained, in the frozen epochs too.
            'auto' keeps those of a pre-trained encoder and trains fresh ones.
        precision: one of `PRECISIONS`, to compute in; variables and logits stay float32. float16 has a loss scale, see
            `models.precision`.
        cache_budget_mb: memory for decoded images, in MiB. A training split that does not fit is decoded again in every
            pass, and then drawn in another order, which is why this belongs to the recipe.

    Raises:
        UserError: if a number is not in its range, or two options contradict each other.
    """

    encoder: str = 'densenet121'
    decoder: str = DECODERS[0]
    encoder_weights: str = IMAGENET_WEIGHTS
    init_from: str | None = None
    input_scale: float = 1.0
    batch_size: int = 64
    epochs: int = 40
    frozen_epochs: int = 20
    steps_per_epoch: int = 12
    seed: int = 0
    augmentation: str = 'article'
    repeat_factor_threshold: float = 0.0
    loss: str = 'cross_entropy'
    class_weights: str = NO_CLASS_WEIGHTS
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    tversky_alpha: float = 0.3
    hard_pixel_share: float = 1.0
    optimizer: str = 'rmsprop'
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float | None = None
    schedule: str = 'constant'
    warmup_steps: int = 0
    momentum: float = 0.0
    weight_decay: float | None = None
    encoder_learning_rate_scale: float = 1.0
    ema_decay: float = 0.0
    accumulation_steps: int = 1
    early_stopping_epochs: int = 0
    clip_norm: float = 0.0
    batch_norm_momentum: float = 0.99
    encoder_batch_norm: str = ENCODER_BATCH_NORM[0]
    precision: str = FLOAT32
    cache_budget_mb: int = 1024

    @property
    def cache_budget_bytes(self) -> int:
        return self.cache_budget_mb * 2**20

    @property
    def has_pretrained_encoder(self) -> bool:
        """Whether the encoder starts from weights, and statistics of normalization, that were learned."""
        return self.init_from is not None or self.encoder_weights != NO_WEIGHTS

    @property
    def trains_encoder_batch_norm(self) -> bool:
        """Whether the encoder's normalization takes the statistics of each batch, and learns."""
        return self.encoder_batch_norm == 'trained' or (
            self.encoder_batch_norm == 'auto' and not self.has_pretrained_encoder
        )

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        check_choices(self, _CHOICES)
        check_loss(
            self.loss,
            class_weights=self.class_weights,
            label_smoothing=self.label_smoothing,
            hard_pixel_share=self.hard_pixel_share,
        )
        if self.frozen_epochs > self.epochs:
            raise errors.UserError(f'--frozen_epochs={self.frozen_epochs} is more than --epochs={self.epochs}')
        if self.batch_size % self.accumulation_steps:
            raise errors.UserError(
                f'--batch_size={self.batch_size} has no --accumulation_steps={self.accumulation_steps} equal parts'
            )
        if self.momentum and self.optimizer not in WITH_MOMENTUM:
            raise errors.UserError(
                f'--momentum={self.momentum} is for --optimizer={" or ".join(WITH_MOMENTUM)}, not {self.optimizer}'
            )
