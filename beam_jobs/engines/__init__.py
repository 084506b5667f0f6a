"""What runs a pipeline: Beam's runner for this machine, made to end when it should, and engines elsewhere.

`local` is the one, `remote` the others; `worker_errors` finds what a worker raised in what either makes of it.
"""

__all__ = ['local', 'remote', 'worker_errors']
