"""Serves trained models over HTTP: the Open Inference Protocol, image files, and a page that classifies drawings."""
