"""Training: steps, runs, checkpoints and curves."""
