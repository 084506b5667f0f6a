"""The training loop and its parts: the exact distributed step, losses, schedules, checkpoints, history, stop signal."""
