"""A trained model in use: on images of any size, and exported for other programs.

`photos` finds and reads the images, `predictor` is the arithmetic around the model, `pictures` writes what it predicts;
`exporters` writes the model itself in one of `export_formats`.
"""

__all__ = ['export_formats', 'exporters', 'photos', 'pictures', 'predictor']
