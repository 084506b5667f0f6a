"""From shards to batches, with TensorFlow: `pipeline` reads, caches, shuffles and batches; `augmentation` draws."""
