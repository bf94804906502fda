"""A trained classifier as a file that other software runs, preprocessing and probabilities included."""
