"""TensorBoard's event files, written so that a killed run can go on in them."""

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
    """One event file in a folder, in which TensorBoard finds the rows of earlier ones up to a step.

    tensorboardX's own `SummaryWriter` hands rows to a thread: they may be lost when `flush` has returned, and where the
    disk is full the thread dies and the process waits for it. Here a row is written when it is added.

    Args:
        folder: It is made where it does not exist.
        first_step: Where this file goes on: rows of earlier files with this step or a later one are dropped.

    Raises `InputError` where the file can't be written, then or later.
    """

    def __init__(self, folder: Path, first_step: int):
        self._folder = folder
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # Its name has the time in seconds. With the step, too, two of one name only have the same rows to lose.
            self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{first_step:010}")
        self._write(first_step, session_log=SessionLog(status=SessionLog.START))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """One point of a curve."""
        self._write(step, summary=tensorboardX.summary.scalar(tag, value))

    def images(self, tag: str, images: np.ndarray, step: int) -> None:
        """Images (n, h, w, c) uint8, as a grid."""
        if images.shape[-1] == 2:  # grey with transparency, for which TensorBoard has no form
            images = images[..., [0, 0, 0, 1]]
        self._write(step, summary=tensorboardX.summary.image(tag, images, dataformats="NHWC"))

    def figure(self, tag: str, figure: "Figure", step: int) -> None:
        """A matplotlib figure, which is closed."""
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of letters that the font has not
            image = figure_to_image(figure)
        self._write(step, summary=tensorboardX.summary.image(tag, image, dataformats="CHW"))

    def histogram(self, tag: str, values: "np.ndarray | jax.Array", step: int) -> None:
        """The distribution of an array's values, in 30 equally wide bins."""
        self._write(step, summary=tensorboardX.summary.histogram(tag, values, bins=30))

    def hparams(self, settings: dict[str, Any], metrics: dict[str, float], step: int) -> None:
        """A row for TensorBoard's table of runs: settings, each a text, a number or a bool, and the final metrics."""
        for summary in tensorboardX.summary.hparams(settings, metrics):
            self._write(step, summary=summary)
        for tag, value in metrics.items():
            self.scalar(tag, value, step)

    def flush(self) -> None:
        """Leaves all rows on the disk."""
        with naming(self._folder):
            self._writer.flush()

    def close(self) -> None:
        """Writes out all rows and closes the file."""
        with naming(self._folder):
            self._writer.close()

    def _write(self, step, **content):
        with naming(self._folder):
            self._writer.write_event(Event(wall_time=time.time(), step=step, **content))
