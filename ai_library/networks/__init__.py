"""Networks, trained classifiers, and the model file."""
