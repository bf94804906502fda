"""TensorBoard's event files, written so that a killed run can continue them."""

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorboardX.summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue] - made at import
from tensorboardX.utils import figure_to_image

from ..files.atomic import naming

if TYPE_CHECKING:
    import jax
    from matplotlib.figure import Figure


class EventFile:
    """One event file in a folder. TensorBoard shows its rows after those of earlier files.

    It replaces tensorboardX's `SummaryWriter`, which hands rows to a thread: rows may be lost after `flush`, and on a
    full disk the thread dies and the process hangs. Here a row is written when it is added.

    Args:
        folder: The folder; it is created if missing.
        first_step: First step of this file. TensorBoard drops rows of earlier files from this step on.

    Raises:
        InputError: The file cannot be written, now or later.
    """

    def __init__(self, folder: Path, first_step: int):
        self._folder = folder
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Names have the time in seconds. With the step added, files of one name hold the same rows.
            self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{first_step:010}")
        self._write(first_step, session_log=SessionLog(status=SessionLog.START))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Adds one point of a curve."""
        self._write(step, summary=tensorboardX.summary.scalar(tag, value))

    def images(self, tag: str, images: np.ndarray, step: int) -> None:
        """Adds images (n, h, w, c) uint8, as a grid."""
        if images.shape[-1] == 2:  # grey with alpha, which TensorBoard does not support
            images = images[..., [0, 0, 0, 1]]
        self._write(step, summary=tensorboardX.summary.image(tag, images, dataformats="NHWC"))

    def figure(self, tag: str, figure: "Figure", step: int) -> None:
        """Adds a matplotlib figure, and closes it."""
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # about characters missing in the font
            image = figure_to_image(figure)
        self._write(step, summary=tensorboardX.summary.image(tag, image, dataformats="CHW"))

    def histogram(self, tag: str, values: "np.ndarray | jax.Array", step: int) -> None:
        """Adds the histogram of an array's values, with 30 bins of equal width."""
        self._write(step, summary=tensorboardX.summary.histogram(tag, values, bins=30))

    def hparams(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        """Adds a row of TensorBoard's table of runs: settings (strings, numbers or booleans) and final metrics."""
        for summary in tensorboardX.summary.hparams(settings, metrics):
            self._write(step, summary=summary)
        for tag, value in metrics.items():
            self.scalar(tag, value, step)

    def flush(self) -> None:
        """Writes all rows to the disk."""
        with naming(self._folder):
            self._writer.flush()

    def close(self) -> None:
        """Writes out all rows and closes the file."""
        with naming(self._folder):
            self._writer.close()

    def _write(self, step, **content):
        with naming(self._folder):
            self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
