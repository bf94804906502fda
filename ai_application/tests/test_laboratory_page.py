"""The examples of the laboratory's page run as they are printed there, with small networks where they name no size."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/laboratory.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PRINTED = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)
NUMBER = re.compile(r"\d[\d,]*\.?\d*")


def numbers(text):
    return [float(each.replace(",", "")) for each in NUMBER.findall(text)]


@pytest.mark.slow
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.splitlines()[0].rpartition(" ")[2])
def test_an_example_runs(code, small_networks, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(code, "docs/laboratory.md", "exec"), {})
    out = capsys.readouterr().out
    assert out
    for text in [shown for each, shown in PRINTED if each == code]:
        # Another processor rounds otherwise, and may take a few of the 1,000 images for another class.
        assert NUMBER.sub("#", out).split() == NUMBER.sub("#", text).split()
        assert numbers(out) == pytest.approx(numbers(text), rel=0.02)


def test_what_the_picture_shows_is_printed_on_the_page():
    assert ["psychometric(" in code for code, _ in PRINTED] == [True]
    levels = re.search(r"CONTRASTS = (\[.*?\])", (ROOT / "docs/pictures.py").read_text(encoding="utf-8"))[1]
    assert levels in PRINTED[0][0]
