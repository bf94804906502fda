"""Publishing the current commit as two repositories, with real git and git-lfs, in a home of its own."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ai_application.tests.environments import Environment

ROOT = Path(__file__).resolve().parents[2]
MODELS = ["ai_application/models/mnist.msgpack", "ai_application/models/shapes.msgpack"]


A_FEW = ("test_text.py", "test_atomic.py", "test_metrics.py", "test_public_names.py")


def is_whole_clone():
    state = subprocess.run(["git", "rev-parse", "--is-shallow-repository"], cwd=ROOT, capture_output=True, text=True)
    return state.stdout.strip() == "false"


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("git-lfs"), reason="git-lfs is not installed"),
    pytest.mark.skipif(
        not is_whole_clone(), reason="this is no clone with its whole history ('git fetch --unshallow')"
    ),
    pytest.mark.skipif((ROOT / "ai_library/.git").exists(), reason="the library is a submodule here"),
]


@pytest.fixture(autouse=True, scope="module")
def home(tmp_path_factory):
    """A home whose git has filters for LFS, a name, and trust in submodules from local folders, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        for name in [
            name for name in os.environ if name.startswith("GIT_") or name in ("XDG_CONFIG_HOME", "PYTHONPATH")
        ]:
            patch.delenv(name)
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        settings = {"user.name": "T. Ester", "user.email": "t@example.org", "protocol.file.allow": "always"}
        settings["safe.directory"] = "*"  # this clone may be another user's
        for name, value in settings.items():
            git(Path.home(), "config", "--global", name, value)
        git(Path.home(), "lfs", "install", "--skip-repo")
        yield


def git(folder, *arguments, **environment):
    """Standard output of a git command that succeeds."""
    command, environment = ["git", *map(str, arguments)], {**os.environ, **environment}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


class Publication:
    """A clone of this repository, and the two bare repositories that it is published to."""

    def __init__(self, folder, commits=None):
        """With `commits`, the clone's history is so many: each publication goes through all of it."""
        self.library, self.application, self.source = folder / "lib.git", folder / "app.git", folder / "source"
        for remote in (self.library, self.application):
            git(folder, "init", "--quiet", "--bare", "--initial-branch=master", remote)  # as git's default is
        git(folder, "clone", "--quiet", ROOT, self.source)
        parent = []
        for back in reversed(range(commits or 0)):
            commit = git(self.source, "commit-tree", f"HEAD~{back}^{{tree}}", *parent, "-m", f"Commit -{back}")
            parent = ["-p", commit]
        if parent:
            git(self.source, "reset", "--hard", "--quiet", parent[1])

    def publish(self, **environment):
        """Runs the script; returns its exit status, standard output and standard error."""
        command = ["scripts/publish_repos.py", f"--library={self.library}", f"--application={self.application}"]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.source,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    def commit(self, path, text):
        with open(self.source / path, "a") as file:
            file.write(text)
        git(self.source, "add", "--all")
        git(self.source, "commit", "--quiet", f"--message=Change {path}")

    def log(self, remote, form="%H"):
        return git(remote, "log", f"--format={form}", "main").splitlines()

    def state(self):
        return [git(remote, "for-each-ref") for remote in (self.library, self.application)]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What is published once, for the tests that only look."""
    publication = Publication(tmp_path_factory.mktemp("published"))
    status, _, errors = publication.publish()
    assert status == 0, errors
    return publication


@pytest.fixture(scope="module")
def published_lately(tmp_path_factory):
    """What a short history was published to."""
    publication = Publication(tmp_path_factory.mktemp("lately"), commits=3)
    status, _, errors = publication.publish()
    assert status == 0, errors
    return publication


@pytest.fixture
def publication(published_lately, tmp_path):
    """A copy of it, for the tests that go on from there."""
    shutil.copytree(published_lately.source.parent, tmp_path / "copy", symlinks=True)
    copied = object.__new__(Publication)
    for name in ("library", "application", "source"):
        setattr(copied, name, tmp_path / "copy" / getattr(published_lately, name).name)
    return copied


@pytest.fixture(scope="module")
def clone(published, tmp_path_factory):
    """The published application, as a user clones it."""
    path = tmp_path_factory.mktemp("clone") / "application"
    git(path.parent, "clone", "--quiet", "--recurse-submodules", published.application.as_uri(), path)
    return path


def test_a_clone_has_the_library_at_its_pin_and_the_models_bytes(published, clone):
    assert git(clone, "submodule", "status").split()[:2] == [published.log(published.library)[0], "ai_library"]
    assert git(clone, "lfs", "ls-files", "--name-only").splitlines() == MODELS
    assert git(clone, "config", "--file", ".gitmodules", "submodule.ai_library.url") == "../lib.git"
    here = re.findall(r"^\d+ blob (\w+)\t(.+)$", git(ROOT, "ls-tree", "-r", "HEAD"), re.M)
    committed = {name: digest for digest, name in here if name not in (".gitmodules", ".gitattributes")}
    assert {*MODELS, "README.md", "ai_library/errors.py"} <= committed.keys()
    digests = git(clone, "hash-object", "--no-filters", "--", *committed).splitlines()
    assert dict(zip(committed, digests, strict=True)) == committed


def test_a_clone_runs_its_tests_and_predicts(clone, tmp_path):
    """A few of the library's; those of the container and of publishing skip: they are for this tree."""
    tests = ["ai_library/tests/evaluation/test_metrics.py", "ai_library/tests/test_layers_of_folders.py"]
    tests += ["ai_application/tests/test_container.py", "ai_application/tests/test_publish.py"]
    options = ["-q", "-p", "no:cacheprovider", "--numprocesses=0"]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    predict = [sys.executable, "scripts/predict.py", f"--output={tmp_path}"]
    subprocess.run(predict, cwd=clone, check=True, capture_output=True)
    assert (tmp_path / "metrics.json").exists()


def test_the_library_installs_from_its_repository_and_passes_its_tests_alone(published, tmp_path):
    """In a clone of another name than the package's. A few of them: the same files run here as well."""
    environment = Environment(tmp_path / "installed", f"git+{published.library.as_uri()}")
    code = "import ai_library, importlib.util; print(ai_library.__file__, importlib.util.find_spec('ai_application'))"
    place, application = environment.run("python", "-c", code, folder=tmp_path).split()
    assert place.startswith(str(tmp_path / "installed"))
    assert application == "None"

    git(tmp_path, "clone", "--quiet", published.library.as_uri(), tmp_path / "lib")
    editable = Environment(tmp_path / "editable", "--editable", tmp_path / "lib")
    options = ["-q", "-p", "no:cacheprovider", "--numprocesses=0", "-m", "not slow"]
    # All are collected: nothing that a module of tests imports is missing.
    told = editable.run("python", "-m", "pytest", *options, "-k", " or ".join(A_FEW), folder=tmp_path / "lib")
    passed, left_out = re.search(r"(\d+) passed, (\d+) deselected", told).groups()
    assert int(passed) > 30
    assert int(left_out) > 1000
    assert "skipped" not in told
    assert git(tmp_path / "lib", "status", "--porcelain") == ""


def test_a_clone_without_lfs_objects_is_told_what_it_lacks(published, tmp_path):
    uri = published.application.as_uri()
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", uri, tmp_path / "bare", GIT_LFS_SKIP_SMUDGE="1")
    done = subprocess.run(
        [sys.executable, "scripts/predict.py", f"--output={tmp_path / 'out'}"],
        cwd=tmp_path / "bare",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "shapes.msgpack is a Git LFS pointer, not a model: run 'git lfs pull'" in done.stderr


def test_the_library_keeps_its_history(published):
    # Without merges, of which both leave out some, and with the commits of branches that a merge made needless.
    log = ("log", "--no-merges", "--full-history", "--format=%s%n%an%n%ad")
    here = git(published.source, *log, "--", "ai_library")
    assert git(published.library, *log, "main") == here


def test_nothing_changed_nothing_pushed(publication):
    before = publication.state()
    status, output, errors = publication.publish()
    assert status == 0, errors
    assert "was there already" in output
    assert "unchanged" in output
    assert publication.state() == before


def test_a_change_adds_one_commit_on_top(publication):
    library, application = publication.log(publication.library), publication.log(publication.application)
    publication.commit("README.md", "\nMore.\n")
    assert publication.publish()[0] == 0
    assert publication.log(publication.library) == library
    assert publication.log(publication.application)[1:] == application

    publication.commit("ai_library/errors.py", "\n# More.\n")
    publication.commit(MODELS[0], "another model")
    assert publication.publish()[0] == 0
    assert publication.log(publication.library)[1:] == library
    assert publication.log(publication.application)[2:] == application
    assert f"- Change {MODELS[0]}" in publication.log(publication.application, "%B")[2:4]
    git(publication.source.parent, "clone", "--recurse-submodules", publication.application.as_uri(), "again")
    again = publication.source.parent / "again"
    for name in ("README.md", "ai_library/errors.py", MODELS[0]):
        assert (again / name).read_bytes() == (publication.source / name).read_bytes()


def refused(publication, message, **environment):
    before = publication.state()
    status, _, errors = publication.publish(**environment)
    assert status == 1
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert publication.state() == before
    return errors


def test_a_changed_working_tree_is_refused(publication):
    (publication.source / "new.txt").write_text("new")
    refused(publication, "changes that are not committed")


def test_a_missing_git_lfs_is_refused(publication, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "sed", "sh", "dirname", "basename", "env"):
        (tools / name).symlink_to(shutil.which(name))
    refused(publication, "git-lfs is not installed: on Debian run 'apt-get install git-lfs'", PATH=str(tools))


def commit_elsewhere(publication, remote, folder):
    """Someone else's commit on a published repository; returns their clone."""
    git(folder, "clone", "--quiet", getattr(publication, remote).as_uri(), folder / "theirs")
    (folder / "theirs/theirs.txt").write_text("theirs")
    git(folder / "theirs", "add", "theirs.txt")
    git(folder / "theirs", "commit", "--quiet", "--message=Theirs")
    git(folder / "theirs", "push", "--quiet")
    return folder / "theirs"


@pytest.mark.parametrize(("remote", "folder"), [("library", "ai_library"), ("application", ".")])
def test_a_remote_that_has_moved_on_is_refused_until_its_change_is_here(publication, tmp_path, remote, folder):
    theirs = commit_elsewhere(publication, remote, tmp_path)
    publication.commit("ai_library/errors.py", "\n# Ours.\n")
    message = refused(publication, f"{getattr(publication, remote).as_uri()} has moved on")
    shutil.copy(theirs / "theirs.txt", publication.source / folder)
    publication.commit(f"{folder}/theirs.txt", "")
    git(theirs, *shlex.split(re.search(r"'git (commit [^']+)'", message)[1]))
    git(theirs, "push", "--quiet")
    for _ in range(2):
        publication.commit("ai_library/errors.py", "\n# More.\n")
        status, _, errors = publication.publish()
        assert status == 0, errors
    before = publication.state()
    assert publication.publish()[0] == 0
    assert publication.state() == before
    assert {"Theirs", "Brought over"} <= set(publication.log(getattr(publication, remote), "%s"))
    assert "Change ai_library/errors.py" in publication.log(publication.library, "%s")
    assert git(getattr(publication, remote), "show", "main:theirs.txt") == "theirs"
    assert git(publication.library, "show", "main:errors.py").endswith("# Ours.\n\n# More.\n\n# More.")


def test_a_remote_with_other_branches_only_is_refused(publication, tmp_path):
    git(tmp_path, "clone", "--quiet", "--bare", ROOT, tmp_path / "other.git")
    git(tmp_path / "other.git", "branch", "trunk", "HEAD")  # this clone may be on no branch
    git(tmp_path / "other.git", "symbolic-ref", "HEAD", "refs/heads/trunk")
    for branch in git(tmp_path / "other.git", "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines():
        if branch != "trunk":
            git(tmp_path / "other.git", "branch", "-D", branch)
    publication.application = tmp_path / "other.git"
    refused(publication, "has refs/heads/trunk, but no branch main")


def test_it_runs_from_a_hook_and_with_the_settings_of_its_own_repository(publication):
    """A hook sets GIT_DIR; the name of the author stands in the repository only; its own hooks are not called."""
    git(Path.home(), "config", "--global", "--unset", "user.name")
    try:
        git(publication.source, "config", "user.name", "L. Ocal")
        publication.commit("README.md", "\nMore.\n")
        hook = publication.source / ".git/hooks/pre-commit"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        before = git(publication.source, "show-ref"), git(publication.source, "config", "--local", "--list")
        status, _, errors = publication.publish(GIT_DIR=str(publication.source / ".git"))
        assert status == 0, errors
        assert publication.log(publication.application, "%an")[0] == "L. Ocal"
        assert (git(publication.source, "show-ref"), git(publication.source, "config", "--local", "--list")) == before
        assert git(publication.source, "status", "--porcelain") == ""
        assert len(git(publication.source, "worktree", "list").splitlines()) == 1
    finally:
        git(Path.home(), "config", "--global", "user.name", "T. Ester")


@pytest.mark.parametrize(
    ("library", "application", "submodule"),
    [
        ("https://host/team/lib.git", "https://host/team/app.git", "../lib.git"),
        ("git@host:lib.git", "git@host:app.git", "../lib.git"),
        ("git@host:team/lib", "git@other:team/app", "git@host:team/lib"),
        ("https://name:secret@host/a/lib/", "https://host/b/app", "https://host/a/lib/"),
    ],
)
def test_the_submodules_url_is_relative_where_the_parent_is_the_same(library, application, submodule):
    script = runpy.run_path(str(ROOT / "scripts/publish_repos.py"))
    assert script["Remote"](library).seen_from(script["Remote"](application)) == submodule


def test_a_remote_that_was_published_from_a_later_commit_is_refused(publication):
    publication.commit("README.md", "\nMore.\n")
    assert publication.publish()[0] == 0
    git(publication.source, "reset", "--hard", "--quiet", "HEAD~1")
    refused(publication, "which is not in this branch: 'git pull' first")


def test_a_remote_out_of_reach_is_refused(publication):
    shutil.rmtree(publication.application)
    status, _, errors = publication.publish()
    assert status == 1
    assert errors.startswith("error: 'git ls-remote")


def test_a_published_application_is_not_published_from(clone, published):
    arguments = [f"--library={published.library}", f"--application={published.application}"]
    done = subprocess.run(
        [sys.executable, "scripts/publish_repos.py", *arguments], cwd=clone, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ai_library is a submodule here" in done.stderr
