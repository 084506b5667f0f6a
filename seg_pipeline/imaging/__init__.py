"""One image or mask: check its file, decode it, resize it, hash it, draw it. Works on bytes and numpy arrays.

Modules:
    rejects: the reason codes of files and pairs that cannot be used.
    formats: detects the format of a file and checks that it is complete, before it is decoded.
    images: reads, decodes and encodes images.
    masks: reads and decodes masks of class ids.
    resizing: resizes images and masks, and maps predictions back to the original size.
    perceptual_hash: hashes images and finds near-duplicates.
    visualization: draws masks, overlays and panels.
"""

__all__ = ['formats', 'images', 'masks', 'perceptual_hash', 'rejects', 'resizing', 'visualization']
