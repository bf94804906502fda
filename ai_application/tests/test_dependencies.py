"""What pyproject.toml and the locks say: the application brings all that the library needs, and the locks are whole."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-msvc")
WITHOUT_WHEEL = "promise"
"""Its author publishes only the source, which is Python alone and installs everywhere."""


def project(path):
    with open(ROOT / path, "rb") as file:
        return tomllib.load(file)["project"]


def requirements(texts, python):
    """The requirements that hold on a version of Python for Linux, as {name: requirement}."""
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.1"}
    holding = [each for each in map(Requirement, texts) if not each.marker or each.marker.evaluate(environment)]
    return {canonicalize_name(each.name): each for each in holding}


def locked(path, python):
    """The versions of a lock for a version of Python, as {name: version}."""
    lines = re.findall(r"^[a-z0-9].*?(?=\s*(?:\\|#|$))", (ROOT / path).read_text(), re.M)
    return {name: next(iter(each.specifier)).version for name, each in requirements(lines, python).items()}


def librarys_dependencies():
    library = project("ai_library/pyproject.toml")
    extras = library["optional-dependencies"]
    needed = ("export", "fast", "report", "sklearn", "tensorboard")
    return [*library["dependencies"], *itertools.chain.from_iterable(extras[name] for name in needed)]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_application_needs_all_that_the_library_and_its_extras_need_within_their_bounds(python):
    application = requirements(project("pyproject.toml")["dependencies"], python)
    versions = locked("requirements.txt", python)
    for name, needed in requirements(librarys_dependencies(), python).items():
        assert name in application
        assert needed.specifier.contains(versions[name]), f"the lock has {name} {versions[name]}, not {needed}"
        for bound in application[name].specifier:
            held_or_least = bound.operator in ("==", ">=")
            assert not held_or_least or needed.specifier.contains(bound.version), f"{application[name]}, not {needed}"


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_have_the_same_versions_of_all_that_pyproject_needs(python):
    run, develop = locked("requirements.txt", python), locked("requirements-dev.txt", python)
    assert run.items() <= develop.items()
    needed = project("pyproject.toml")
    extras = needed["optional-dependencies"]
    for texts, versions in ((needed["dependencies"], run), (extras["dev"], develop), (extras["docs"], develop)):
        for name, each in requirements(texts, python).items():
            assert each.specifier.contains(versions[name]), f"the lock has {name} {versions[name]}, not {each}"


def test_every_package_that_the_image_installs_has_hashes():
    packages = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements.txt").read_text(), flags=re.M)[1:]
    assert len(packages) > 50
    assert [package for package in packages if "--hash=sha256:" not in package] == []


@pytest.mark.slow
def test_the_lock_has_wheels_for_linux_macos_and_windows_on_every_python(tmp_path):
    def resolve(requirement, *options):
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", *options, "-"]
        # ONNX Runtime, which only tests need there, has builds from macOS 14 on.
        environment = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "14.0"}
        return subprocess.run(command, cwd=ROOT, env=environment, input=requirement, capture_output=True, text=True)

    if (tried := resolve("packaging", "--no-cache")).returncode:
        pytest.skip(f"uv cannot ask an index: {tried.stderr.strip()}")
    lock = (ROOT / "requirements-dev.txt").read_text()
    together = resolve(lock, "--universal", f"--python-version={PYTHONS[0]}")  # no two of them contradict each other
    assert together.returncode == 0, together.stderr

    def resolve_on(platform, python):
        options = [f"--python-platform={platform}", f"--python-version={python}"]
        return resolve(lock, *options, "--no-deps", "--only-binary=:all:", f"--no-binary={WITHOUT_WHEEL}")

    machines = list(itertools.product(PLATFORMS, PYTHONS))
    with ThreadPoolExecutor(len(machines)) as threads:  # nearly all of the time is the index's
        resolved = list(threads.map(resolve_on, *zip(*machines, strict=True)))
    for (platform, python), done in zip(machines, resolved, strict=True):
        assert done.returncode == 0, f"{platform}, Python {python}: {done.stderr}"
        names = set(re.findall(r"^([a-z0-9.-]+)==", done.stdout, re.M))
        assert ("array-record" in names) == ("windows" not in platform)
