"""The processes, on as many machines, that train one run together, and how they find each other."""

import contextlib
import dataclasses
import faulthandler
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

from seg_pipeline import errors
from seg_pipeline.plurals import counted

VARIABLE = 'TF_CONFIG'  # of the environment; TensorFlow, and what starts jobs on Kubernetes, agree on it
_ADDRESS = re.compile(r'[A-Za-z0-9_.-]+:([0-9]{1,5})|\[[0-9A-Fa-f:.]+\]:([0-9]{1,5})')
_CONNECT_SECONDS = 3.0
_POLL_SECONDS = 0.5


class LostWorkersError(errors.OutsideError):
    """Other workers have ended, or are out of reach, in the midst of a run.

    Threads of TensorFlow in this process still wait for them, so that an orderly end of it may take long or fail.
    """


@dataclasses.dataclass(frozen=True)
class Workers:
    """All workers of a run, and which of them this process is.

    Attributes:
        addresses: host:port of each; the first is the chief, who alone writes into the directory of the run.
        index: of this process.

    Raises:
        UserError: an address is none or occurs twice, or there is no worker of that index.
    """

    addresses: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        for address in self.addresses:
            found = _ADDRESS.fullmatch(address)
            if not found or not 0 < int(found[1] or found[2]) < 2**16:
                raise errors.UserError(f'--workers: {address!r} is no address, such as 10.0.0.1:2222')
            if self.addresses.count(address) > 1:
                raise errors.UserError(f'--workers: {address} occurs twice; each worker has an address of its own')
        if not 0 <= self.index < len(self.addresses):
            raise errors.UserError(
                f'--worker_index={self.index}: wanted 0 to {len(self.addresses) - 1}, '
                f'of {counted(len(self.addresses), "worker")}'
            )

    @classmethod
    def find(cls, addresses: tuple[str, ...], index: int | None) -> 'Workers':
        """What the flags say, or else the variable TF_CONFIG.

        Raises:
            UserError: neither says it, or both do; or as for the class.
        """
        if not addresses:
            if index is not None:
                raise errors.UserError(f'--worker_index={index}: give --workers=HOST:PORT,... too')
            return cls._of_environment()
        if index is None:
            raise errors.UserError('--workers: say which of them this process is, as --worker_index=0')
        given = cls(addresses, index)
        if os.environ.get(VARIABLE, given._as_variable()) != given._as_variable():
            raise errors.UserError(
                f'--workers and the variable {VARIABLE} name different workers: leave out one of them'
            )
        return given

    @classmethod
    def _of_environment(cls) -> 'Workers':
        text = os.environ.get(VARIABLE)
        if text is None:
            raise errors.UserError(
                '--strategy=multi_worker: which workers? Give --workers=HOST:PORT,... and --worker_index=I, '
                f'or set the variable {VARIABLE}'
            )
        try:
            content = json.loads(text)
            cluster, task = content['cluster'], content['task']
            kinds = ('chief', 'worker')
            addresses = [address for kind in kinds for address in cluster.get(kind, ())]
            if set(cluster) - set(kinds) or task['type'] not in cluster:
                raise ValueError('tasks are of the types chief and worker')
            before = len(cluster.get('chief', ())) if task['type'] == 'worker' else 0
            return cls(tuple(map(str, addresses)), before + int(task['index']))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise errors.UserError(
                f'the variable {VARIABLE}={text[:200]}: {error}; wanted such as '
                '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'
            ) from error

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def __str__(self) -> str:
        return f'worker {self.index} of {len(self.addresses)} ({self.addresses[self.index]})'

    def _as_variable(self) -> str:
        task: dict[str, Any] = {'type': 'worker', 'index': self.index}
        return json.dumps({'cluster': {'worker': list(self.addresses)}, 'task': task})

    @contextlib.contextmanager
    def joining(self, timeout: float) -> Iterator[None]:
        """Waits for the other workers, tells TensorFlow of all, and watches over the block, in which TensorFlow joins.

        There TensorFlow waits for the others in C++ and lets neither a signal nor another thread of Python run. So the
        waiting is done here: each worker listens at its address until it has reached the others, or until TensorFlow
        listens there. Should a worker end in the moment between, the block is ended from outside of Python after the
        same time, with exit code 1 and the traceback of the place.

        Args:
            timeout: in seconds.

        Raises:
            OutsideError: not all were there in time, and who was not; or this one cannot listen at its address.
        """
        self._wait(timeout)
        os.environ[VARIABLE] = self._as_variable()
        faulthandler.dump_traceback_later(timeout, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _wait(self, timeout: float) -> None:
        host, port = _split(self.addresses[self.index])
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        try:
            server = socket.create_server(('', port), family=family)
        except OSError as error:
            raise errors.OutsideError(f'{self}: cannot listen there: {error.strerror}') from error
        deadline = time.monotonic() + timeout
        with server:
            while missing := self.unreachable():
                if time.monotonic() > deadline:
                    raise errors.OutsideError(
                        f'{self}: after --join_timeout={timeout:g} seconds not all workers are there; missing: '
                        f'{", ".join(missing)}. Start the same command on each, with its own --worker_index'
                    )
                time.sleep(_POLL_SECONDS)

    def unreachable(self) -> list[str]:
        """Those of the other workers that nobody answers for, described."""
        others = [(number, address) for number, address in enumerate(self.addresses) if number != self.index]
        return [f'worker {number} ({address})' for number, address in others if not _answers(address)]

    def loss(self, error: Exception) -> 'LostWorkersError':
        """What to say where a worker, or the network between them, has failed in the midst of a run."""
        missing = self.unreachable()
        who = f'lost {", ".join(missing)}' if missing else f'lost the others: {" ".join(str(error).split())[:200]}'
        return LostWorkersError(
            f'{self}: {who}; start the same command on each of the workers, it goes on from the last checkpoint'
        )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(':')
    return host.strip('[]'), int(port)


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_split(address), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
