"""Networks, and the weights that they start from or have learned.

`unet` puts a decoder on an encoder of `encoders`, `encoder_weights` finds the pretrained files of an encoder, and
`trained` loads the model of a run.
"""

__all__ = ['encoder_weights', 'encoders', 'trained', 'unet']
