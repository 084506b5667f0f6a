"""Networks: `unet` puts a decoder on an encoder of `encoders`; `encoder_weights` finds the pre-trained files."""
