"""Runs all cells of `main.ipynb` and saves it with the new outputs.

The cells run as if only the library were installed: in an empty folder, and without the application.
"""

import os
import tempfile
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]


def executed():
    """The notebook with the outputs of the current code, without execution times."""
    notebook = nbformat.read(ROOT / "main.ipynb", as_version=4)
    options = {"timeout": 600, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    with tempfile.TemporaryDirectory() as packages, tempfile.TemporaryDirectory() as empty:
        (Path(packages) / "ai_library").symlink_to(ROOT / "ai_library")
        (Path(packages) / "ai_application.py").write_text("raise ModuleNotFoundError('only the library is there')\n")
        paths = [packages, *filter(None, [os.environ.get("PYTHONPATH")])]
        client = nbclient.NotebookClient(notebook, **options, resources={"metadata": {"path": empty}})
        client.execute(env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)})
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), ROOT / "main.ipynb")
