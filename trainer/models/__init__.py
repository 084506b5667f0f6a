"""Networks, and the weights that they start from or have learned.

`segmenter` puts a decoder of `decoders` on an encoder of `encoders`, among them our own `efficientnet_lite`. How
precisely they compute is in `precision`. `encoder_weights` finds the pretrained files of an encoder, `torch_file` reads
those of torch, `initial_weights` takes those of another run, `random_layers` draws dropout by example, and `trained`
loads the model of a run.
"""

__all__ = [
    'decoders',
    'efficientnet_lite',
    'encoder_weights',
    'encoders',
    'initial_weights',
    'precision',
    'random_layers',
    'segmenter',
    'torch_file',
    'trained',
]
