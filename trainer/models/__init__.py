"""Networks, and the weights that they start from or have learned.

`unet` puts a decoder on an encoder of `encoders`, among them our own `efficientnet_lite`. `encoder_weights` finds the
pretrained files of an encoder, `torch_file` reads those of torch, and `trained` loads the model of a run.
"""

__all__ = ['efficientnet_lite', 'encoder_weights', 'encoders', 'torch_file', 'trained', 'unet']
