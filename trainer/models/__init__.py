"""Networks, and the weights that they start from or have learned.

`segmenter` puts a decoder of `decoders` on an encoder of `encoders`, among them our own `efficientnet_lite`. How
precisely they compute is in `precision`. `encoder_weights` finds the pretrained files of an encoder, `torch_file` reads
those of torch, `initial_weights` takes those of another run, `random_layers` draws dropout by example, and `trained`
loads the model of a run. `normalization` and `depthwise` compute what Keras's layers do, faster; `flips` averages over
an image and its mirror image.
"""

__all__ = [
    'decoders',
    'depthwise',
    'efficientnet_lite',
    'encoder_weights',
    'encoders',
    'flips',
    'initial_weights',
    'normalization',
    'precision',
    'random_layers',
    'segmenter',
    'torch_file',
    'trained',
]
