"""Hosts of a small network on this machine: Linux network namespaces, joined by a bridge."""

import contextlib
import dataclasses
import os
import subprocess
from collections.abc import Iterator, Sequence


@dataclasses.dataclass(frozen=True)
class Host:
    """One host. It shares the disk and the processes of the machine, and has a network of its own.

    Attributes:
        name: of its network namespace.
        address: by which other hosts reach it.
        port_name: of its end of the cable, at the bridge.
        bridge: the namespace of the bridge.
    """

    name: str
    address: str
    port_name: str
    bridge: str

    def command(self, command: Sequence[str]) -> list[str]:
        """A command line that runs another one on this host."""
        return ['ip', 'netns', 'exec', self.name, *command]

    def cut_off(self) -> None:
        """Pulls the plug."""
        _ip(['-n', self.bridge, 'link', 'set', self.port_name, 'down'])

    def reconnect(self) -> None:
        """Puts it in again."""
        _ip(['-n', self.bridge, 'link', 'set', self.port_name, 'up'])


def why_not() -> str | None:
    """Why there can be no hosts on this machine, in one line; None if there can."""
    if os.geteuid() != 0:
        return 'network namespaces need root'
    name = f'seg-try-{os.getpid()}'
    try:
        _ip(['netns', 'add', name])
        _ip(['netns', 'del', name])
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        return f'no network namespaces: {said}'
    return None


@contextlib.contextmanager
def network(num_hosts: int) -> Iterator[list[Host]]:
    """Makes hosts that reach each other, and removes them when the `with` block ends."""
    bridge = f'seg-{os.getpid()}-bridge'
    hosts = [
        Host(f'seg-{os.getpid()}-{number}', f'10.77.0.{number + 1}', f'port{number}', bridge)
        for number in range(num_hosts)
    ]
    with contextlib.ExitStack() as stack:
        for name in (bridge, *(host.name for host in hosts)):
            _ip(['netns', 'add', name])
            stack.callback(_ip, ['netns', 'del', name])
            _ip(['-n', name, 'link', 'set', 'lo', 'up'])
        _ip(['-n', bridge, 'link', 'add', 'bridge', 'type', 'bridge'])
        _ip(['-n', bridge, 'link', 'set', 'bridge', 'up'])
        for host in hosts:
            # Both ends are made where they are needed: a device that is moved may meet one of the same name.
            cable = ['link', 'add', host.port_name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.name]
            _ip(['-n', bridge, *cable])
            _ip(['-n', bridge, 'link', 'set', host.port_name, 'master', 'bridge', 'up'])
            _ip(['-n', host.name, 'address', 'add', f'{host.address}/24', 'dev', 'eth0'])
            _ip(['-n', host.name, 'link', 'set', 'eth0', 'up'])
        yield hosts


def _ip(arguments: Sequence[str]) -> None:
    subprocess.run(['ip', *arguments], check=True, capture_output=True, text=True)
