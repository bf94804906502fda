"""Publishes this tree as two repositories: the library, and the application with the library as its submodule.

The library's repository gets the history of its folder (`git subtree split`). The application's gets one commit for
each publication: this tree, where the library's folder is a submodule pinned to the published commit (`.gitmodules`
says where) and the files marked `published-as-lfs` (`.gitattributes`) are Git LFS objects. Only commits are added;
where nothing changed, nothing is pushed.
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs from a clone, without installing it

from ai_library import InputError
from ai_library.command_line import exit_status

BRANCH = "main"
TRAILER = "Published-from"
LFS_MARK, LFS_ATTRIBUTES = "published-as-lfs", "filter=lfs diff=lfs merge=lfs -text"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, metavar="URL_OR_PATH", help="repository of the library")
    parser.add_argument("--application", required=True, metavar="URL_OR_PATH", help="repository of the application")
    arguments = parser.parse_args()
    library, application = Remote(arguments.library), Remote(arguments.application)

    source = Repository(ROOT)
    folder = submodule_folder(source)
    check_publishable(source, folder)
    split = source.git("subtree", "split", f"--prefix={folder}")
    with tempfile.TemporaryDirectory() as place:
        # Both are prepared and checked before either is pushed, the library first: the application points to it.
        library_is_new = check_library(source, library, split)
        commit = prepare_application(source, Repository(place), folder, split, library, application)
        if library_is_new:
            source.git("push", "--quiet", library.url, f"{split}:refs/heads/{BRANCH}")
        print(f"library      {split[:12]} {'pushed to' if library_is_new else 'is already in'} {library.url}")
        if commit:
            Repository(place).git("push", "--quiet", application.url, f"{commit}:refs/heads/{BRANCH}")
            print(f"application  {commit[:12]} pushed to {application.url}")
        else:
            print(f"application  nothing changed in {application.url}")


class Repository:
    """A git repository on this machine."""

    def __init__(self, path):
        self.path = Path(path)

    def git(self, *arguments, **environment):
        """Standard output of a git command. Raises `InputError` with git's own words where it fails."""
        done = self._run(arguments, environment)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["it gave no message"]
            reasons = [line for line in said if line.startswith(("fatal:", "error:"))]
            raise InputError(f"'git {' '.join(arguments[:2])}' failed: {(reasons or said)[0]}")
        return done.stdout.decode(errors="replace").strip()

    def succeeds(self, *arguments):
        """Whether a git command ends with status 0."""
        return self._run(arguments, {}).returncode == 0

    def tree(self):
        """The files of the current commit, as a tar file."""
        return tarfile.open(fileobj=io.BytesIO(self._run(("archive", "HEAD"), {}).stdout))

    def _run(self, arguments, environment):
        return subprocess.run(
            ["git", *arguments], cwd=self.path, capture_output=True, env={**os.environ, **environment}
        )


class Remote:
    """A repository to publish to; a folder is addressed as git-lfs wants it."""

    def __init__(self, url_or_path):
        path = Path(url_or_path)
        self.url = path.resolve().as_uri() if path.exists() else url_or_path

    def tip(self, source):
        """The commit that the published branch is at; None where there is none yet."""
        found = source.git("ls-remote", self.url, f"refs/heads/{BRANCH}", GIT_TERMINAL_PROMPT="0")
        return found.split()[0] if found else None

    def seen_from(self, other):
        """This URL, relative where `other` has the same parent: forks and mirrors of both then work unchanged."""
        (parent, _, name), (others, _, _) = (remote.url.rstrip("/").rpartition("/") for remote in (self, other))
        return f"../{name}" if parent == others else self.url


def submodule_folder(source):
    """Where `.gitmodules` wants the library."""
    lines = source.git("config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$").splitlines()
    if len(lines) != 1:
        raise InputError(f".gitmodules names {len(lines)} submodules: it needs one, the library")
    return lines[0].split(maxsplit=1)[1]


def check_publishable(source, folder):
    """Raises `InputError` unless all that is published is committed here, and the tools are there."""
    if source.git("ls-tree", "HEAD", folder).split()[1] == "commit":
        raise InputError(f"{folder} is a submodule here: publish from the repository that holds its files")
    if source.git("status", "--porcelain"):
        raise InputError("the working tree has changes that are not committed: commit or remove them ('git status')")
    if source.git("rev-parse", "--is-shallow-repository") == "true":
        raise InputError("this clone lacks the older history: run 'git fetch --unshallow'")
    if not shutil.which("git-lfs"):
        raise InputError("git-lfs is not installed: on Debian run 'apt-get install git-lfs'")
    if not (Path(source.git("--exec-path")) / "git-subtree").exists():
        raise InputError("git-subtree is not installed: it is part of git's contributed commands")


def check_library(source, library, split):
    """Whether `split` has to be pushed. Raises `InputError` where the remote holds commits that it does not."""
    tip = library.tip(source)
    if tip is not None and not source.succeeds("merge-base", "--is-ancestor", tip, split):
        raise InputError(
            f"{library.url} has moved on to {tip[:12]}, which is not from here: bring its commits here by "
            f"'git subtree pull --prefix=ai_library {library.url} {BRANCH}'"
        )
    return tip != split


def prepare_application(source, target, folder, split, library, application):
    """Commits the application's tree on top of what is published; returns the commit, or None if nothing changed."""
    target.git("init", "--quiet", f"--initial-branch={BRANCH}")
    target.git("lfs", "install", "--local")
    tip = application.tip(source)
    published = None
    if tip is not None:
        target.git("fetch", "--quiet", application.url, BRANCH)
        published = check_application(source, target, application, tip)
        target.git("update-ref", f"refs/heads/{BRANCH}", tip)

    with source.tree() as archive:
        archive.extractall(target.path, filter="data")
    shutil.rmtree(target.path / folder)
    mark_for_lfs(target.path / ".gitattributes")
    target.git("config", "--file", ".gitmodules", f"submodule.{folder}.url", library.seen_from(application))
    target.git("add", "--all", "--force")
    target.git("update-index", "--add", "--cacheinfo", f"160000,{split},{folder}")
    if tip is not None and target.succeeds("diff", "--cached", "--quiet", tip):
        return None
    head = source.git("rev-parse", "HEAD")
    changes = source.git("log", "--format=- %s", *([f"{published}..{head}"] if published else ["-1"]))
    message = f"Publish {head[:12]}\n\n{changes}\n\n{TRAILER}: {head}"
    target.git("commit", "--quiet", f"--message={message}")
    return target.git("rev-parse", "HEAD")


def check_application(source, target, application, tip):
    """The commit of this repository that was published last. Raises `InputError` where it is not below the current."""
    found = re.search(rf"^{TRAILER}: ([0-9a-f]{{40,64}})$", target.git("log", "-1", "--format=%B", tip), re.MULTILINE)
    if not found:
        raise InputError(
            f"{application.url} has moved on: its commit {tip[:12]} was not made by this script. Bring its change "
            f"here, then put its branch {BRANCH} back to the last commit that says '{TRAILER}'"
        )
    if not source.succeeds("merge-base", "--is-ancestor", found[1], "HEAD"):
        raise InputError(
            f"{application.url} was published from {found[1][:12]}, which this branch does not contain: "
            "merge it first ('git pull')"
        )
    return found[1]


def mark_for_lfs(attributes):
    """Gives the marked files of a `.gitattributes` the attributes of Git LFS."""
    lines = [
        f"{line.split()[0]} {LFS_ATTRIBUTES}" if LFS_MARK in line.split()[1:] and not line.startswith("#") else line
        for line in attributes.read_text().splitlines()
        if not line.startswith("#")  # they speak of this tree
    ]
    attributes.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(exit_status(main))
