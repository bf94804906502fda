"""The commands of the application: `scripts/NAME.py` in a clone, `ai-NAME` where it is installed."""
