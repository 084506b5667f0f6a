"""A split of small shards whose every pixel holds the number of its example."""

import numpy as np

from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.imaging import images
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.records import example_proto, tfrecord

SIZE = (6, 4)
SHARD_SIZES = (3, 5, 2)
NUM_EXAMPLES = sum(SHARD_SIZES)
LABELS = LabelMap.default(tuple(f'class_{i}' for i in range(NUM_EXAMPLES)), ignore_id=200)


def write(directory, encoding='png') -> DatasetSplit:
    """Writes the split 'train': example i is an image of value 20 i and a mask of id i."""
    shards, number = [], 0
    for index, size in enumerate(SHARD_SIZES):
        name = f'x-train.tfrecord-{index:05d}-of-{len(SHARD_SIZES):05d}'
        with open(directory / name, 'wb') as file:
            writer = tfrecord.FrameWriter(file)
            for _ in range(size):
                writer.write(serialized(number, encoding))
                number += 1
        shards.append(manifest.Shard(name, 'train', size, writer.num_bytes, writer.payload_bytes, writer.sha256))
    made = manifest.Manifest('x', '6x4', '1.0.0', '', {'image_size': list(SIZE)}, {}, 2, LABELS, tuple(shards), {})
    return DatasetSplit(str(directory), made, 'train')


def serialized(number, encoding, size=SIZE) -> bytes:
    image, mask = np.full((*size, 3), 20 * number, np.uint8), np.full(size, number, np.uint8)
    return example_proto.serialize(
        {
            'image': images.encode_image(image, encoding),
            'segmentation_mask': images.encode_png(mask),
            'file_name': b'x.png',
            'original_height': size[0],
            'original_width': size[1],
        }
    )


def damage_second_shard(split: DatasetSplit, damage: str) -> str:
    """Damages a shard in one way, and returns its path."""
    path = split.shard_paths[1]
    with open(path, 'rb') as file:
        content = bytearray(file.read())
    if damage == 'bit':
        content[len(content) // 2] ^= 1
    if damage == 'cut':
        del content[-7:]
    if damage == 'short':
        del content[-(tfrecord.FRAME_BYTES + len(serialized(7, 'png'))) :]
    with open(path, 'wb') as file:
        file.write(content)
    return path
