"""One picture: check its file, decode it, resize it, hash it, draw it. Bytes and numpy arrays, no TensorFlow.

`rejects` has the reason codes of everything that cannot be read; `formats` checks a file before it is decoded; `images`
and `masks` decode; `resizing` resizes; `perceptual_hash` finds near-duplicates; `visualization` draws masks.
"""
