"""One confusion matrix for a split (`evaluator`), and every figure that follows from it (`metrics`)."""
