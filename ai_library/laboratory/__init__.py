"""Experiments on generated data, whose factors are known and whose supply is unlimited, and studies over seeds."""
