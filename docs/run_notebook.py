"""Runs all cells of `main.ipynb` and saves it with the new outputs."""

from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).resolve().parents[1]


def executed():
    """The notebook with the outputs of the current code, without execution times."""
    notebook = nbformat.read(ROOT / "main.ipynb", as_version=4)
    options = {"timeout": 600, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    nbclient.NotebookClient(notebook, **options, resources={"metadata": {"path": str(ROOT)}}).execute()
    notebook.metadata.language_info = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), ROOT / "main.ipynb")
