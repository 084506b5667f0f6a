"""A cluster that is up."""

import dataclasses
import subprocess
from collections.abc import Mapping

from tools.engines.hosts import Host


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster, and how to submit a job to it.

    Attributes:
        engine: its name.
        arguments: flags of `beam_jobs.prepare_dataset`.
        manager: the host where the command is to be started.
        hosts: those that do the work.
        workers: the engine's process on each of them.
        pools: Beam's worker pool on each of them.
        environment: variables for the command.
    """

    engine: str
    arguments: tuple[str, ...]
    manager: Host
    hosts: tuple[Host, ...]
    workers: tuple[subprocess.Popen[bytes], ...]
    pools: tuple[subprocess.Popen[bytes], ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
