"""Exports a trained classifier, with its preprocessing and probabilities, for other software."""
