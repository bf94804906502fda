"""Trains the CNN on generated shapes, evaluates it on shapes it never saw, and saves the model."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs from a clone, without installing it

from ai_library import CNN, InputError, ShapeDataSource, TrainConfig, Trainer, evaluate, save_model
from ai_library.run_directory import RunDirectory
