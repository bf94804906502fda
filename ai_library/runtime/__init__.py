"""Processes, devices, cores and memory."""
