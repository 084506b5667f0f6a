"""One image or mask: check its file, decode it, resize it, hash it, draw it. Works on bytes and numpy arrays.

Modules:
    rejects: the reason codes of files and pairs that cannot be used.
    formats: detects the format of a file and checks that it is complete, before it is decoded.
    images: reads, decodes and encodes images.
    masks: reads masks, and gives their values a meaning: class ids.
    stored_values: decodes a mask file to the values that are stored in it.
    exif: how a picture is turned.
    bmp: the headers of a BMP, and the indices of its palette.
    tiff_tags: what the tags of a TIFF say of its pixels.
    mat: reads the mask of a MATLAB file.
    resizing: resizes images and masks, and maps predictions back to the original size.
    perceptual_hash: hashes images and finds near-duplicates.
    visualization: draws masks, overlays and panels.
"""

__all__ = [
    'bmp',
    'exif',
    'formats',
    'images',
    'masks',
    'mat',
    'perceptual_hash',
    'rejects',
    'resizing',
    'stored_values',
    'tiff_tags',
    'visualization',
]
