"""Evaluation: how good a classifier is, and how certain that is."""
