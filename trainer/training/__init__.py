"""The training loop and its parts.

`loop` runs the epochs, `steps` is the exact distributed step, `objective` with its `losses` and `class_weights`,
`optimizers` and `schedules` (the phases of a run) say how it learns, `averaging` keeps a moving average of the weights,
`checkpoints` holds the state of a run and saves it, `history` is its table of epochs, `summaries` are for TensorBoard,
`run_lock` lets one process at a time into a run, and `stop_signal` turns a signal into a request to stop.
"""

__all__ = [
    'averaging',
    'checkpoints',
    'class_weights',
    'history',
    'loop',
    'losses',
    'objective',
    'optimizers',
    'run_lock',
    'schedules',
    'steps',
    'stop_signal',
    'summaries',
]
