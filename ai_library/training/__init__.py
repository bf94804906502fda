"""Steps, runs, checkpoints and curves."""
