"""The smallest remote store, in the memory of this process: it tests what all of them share, without a server."""

import io

from seg_pipeline.storage.store import Entry, RemoteStore

objects = {}


class RefusedError(Exception):
    """As the libraries of stores have them."""

    code = 403


class MemoryStore(RemoteStore):
    """Objects by their address."""

    def __init__(self, options):
        self.options = options

    def probe(self, path):
        if '//refused' in path:
            raise RefusedError('permission\ndenied')

    def open(self, path):
        if path not in objects:
            raise FileNotFoundError(path)
        return io.BytesIO(objects[path])

    def put(self, source, path):
        self.probe(path)
        objects[path] = b''.join(iter(lambda: source.read(1 << 20), b''))

    def create(self, path, data):
        self.probe(path)
        return objects.setdefault(path, data) is data

    def exists(self, path):
        return path in objects

    def num_bytes(self, path):
        with self.open(path) as file:
            return len(file.read())

    def delete(self, path):
        objects.pop(path, None)

    def copy(self, source, target):
        with self.open(source) as file:
            self.put(file, target)

    def list(self, prefix):
        self.probe(prefix)
        for path, data in objects.items():
            if path.startswith(prefix):
                yield path, Entry(len(data), 0, path)
