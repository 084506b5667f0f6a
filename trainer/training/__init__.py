"""The training loop and its parts.

`loop` runs the epochs, `steps` is the exact distributed step, `losses`, `optimizers` and `schedules` (the phases of a
run) say how it learns, `checkpoints` holds the state of a run and saves it, `history` is its table of epochs, and
`stop_signal` turns a signal into a request to stop.
"""

__all__ = ['checkpoints', 'history', 'loop', 'losses', 'optimizers', 'schedules', 'steps', 'stop_signal']
