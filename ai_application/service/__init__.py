"""Trained models behind HTTP: the Open Inference Protocol, image files, and the page that classifies drawings."""
