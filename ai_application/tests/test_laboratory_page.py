"""The examples of the laboratory's page run as they are printed there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/laboratory.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.splitlines()[0].rpartition(" ")[2])
def test_an_example_runs(code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(code, "docs/laboratory.md", "exec"), {})
    assert capsys.readouterr().out
