"""Experiments that only endless data with known truth allows."""
