"""How good a model is: one confusion matrix for a split, and every metric that follows from it.

`evaluator` runs a model over a split, `confusion` counts pixels on the devices, `metrics` derives the numbers without
TensorFlow, `formatting` lays them out as JSON values and as a table; `confusion_picture` draws the matrix, `panels` a
few photos with what a model sees in them.
"""

__all__ = ['confusion', 'confusion_picture', 'evaluator', 'formatting', 'metrics', 'panels']
