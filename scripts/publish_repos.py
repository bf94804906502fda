"""Publishes this tree as two repositories: the library, and the application with the library as its submodule.

The library's repository gets the history of its folder (`git subtree split`). The application's repository gets one
commit for each publication. It is this tree with two changes: the library's folder is a submodule pinned to the
published commit (`.gitmodules` has its path), and files marked `published-as-lfs` in `.gitattributes` are Git LFS
objects. Commits are only added; if nothing changed, nothing is pushed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs from a clone, without installing it

from ai_application.command_line import command
from ai_application.start import start
from ai_library import InputError

BRANCH = "main"
TRAILER = "Published-from"
LFS_MARK, LFS_ATTRIBUTES = "published-as-lfs", "filter=lfs diff=lfs merge=lfs -text"
LFS_FILTER = ("-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true")


@command
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", required=True, metavar="URL_OR_PATH", help="repository of the library")
    parser.add_argument("--application", required=True, metavar="URL_OR_PATH", help="repository of the application")
    arguments = parser.parse_args()
    library, application = Remote(arguments.library), Remote(arguments.application)

    # Both are prepared and checked before either is pushed; the library goes first, since the application points to it.
    name, folder = submodule()
    check_publishable(folder)
    library_tip, application_tip = library.tip(), application.tip()
    published = published_from(application, application_tip) if application_tip else None
    pinned = commit_library(folder, library, library_tip)
    commit = commit_application(name, folder, pinned, library.seen_from(application), application_tip, published)

    if pinned != library_tip:
        library.push(pinned)
    print(f"library      {pinned[:12]} {'was there already:' if pinned == library_tip else 'pushed to'} {library}")
    if commit != application_tip:
        git("lfs", "push", application.url, commit)
        application.push(commit)
    print(f"application  {commit[:12]} {'unchanged:' if commit == application_tip else 'pushed to'} {application}")


def git(*arguments, folder=ROOT):
    """Standard output of a git command. Raises `InputError` with git's own message if it fails."""
    done = run_git(arguments, folder)
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("hint:")]
        raise InputError(f"'git {' '.join(arguments[:2])}' failed: {'; '.join(said) or 'it gave no reason'}")
    return done.stdout.strip()


def succeeds(*arguments):
    return run_git(arguments, ROOT).returncode == 0


def run_git(arguments, folder):
    # If a git hook or alias calls this script, these variables would direct git to another repository.
    local = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in local} | {"LC_ALL": "C"}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )


class Remote:
    """A repository to publish to."""

    def __init__(self, url_or_path):
        path = Path(url_or_path).resolve()
        self._folder = path if path.exists() else None
        self.url = path.as_uri() if self._folder else url_or_path  # git-lfs needs a URL for a folder
        if self.url.startswith("-"):  # git options can run any program
            raise InputError(f"git takes {self.url} for an option: name a URL, or a folder that is there")

    def __str__(self):
        return re.sub(r"^(https?://)[^/@]*@", r"\1", self.url)  # hides a password

    def tip(self):
        """Fetches the published branch and returns its commit; None if the repository is empty."""
        found = (line.split() for line in git("ls-remote", "--heads", self.url).splitlines())
        heads = {name: commit for commit, name in found}
        if heads and f"refs/heads/{BRANCH}" not in heads:
            raise InputError(f"{self} has {', '.join(heads)}, but no branch {BRANCH}: publish to an empty repository")
        if heads:
            git("fetch", "--quiet", "--no-tags", self.url, BRANCH)
        return heads.get(f"refs/heads/{BRANCH}")

    def push(self, commit):
        """Pushes a commit to the branch, only as a fast-forward."""
        git("push", "--quiet", "--no-verify", self.url, f"{commit}:refs/heads/{BRANCH}")
        # HEAD decides what a clone checks out; hosting services set it themselves.
        if self._folder and run_git(("rev-parse", "--verify", "--quiet", "HEAD"), self._folder).returncode:
            git("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}", folder=self._folder)

    def seen_from(self, other):
        """This URL, relative if `other` has the same parent, so that forks and mirrors of both work unchanged."""
        (parent, name), (others, _) = (re.findall(r"^(.*[/:]|)(.+?)/?$", str(remote))[0] for remote in (self, other))
        if parent and parent == others:
            return f"../{name}"
        if self._folder and not other._folder:
            raise InputError(f"{self} is a folder of this machine, which no clone of {other} could reach: name a URL")
        return str(self)


def submodule():
    """Name and path of the library's submodule in `.gitmodules`."""
    found = run_git(("config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"), ROOT)
    entries = found.stdout.splitlines()
    if len(entries) != 1:
        raise InputError(f".gitmodules has the paths of {len(entries)} submodules: it needs one, the library's")
    key, folder = entries[0].split(maxsplit=1)
    return key.removeprefix("submodule.").removesuffix(".path"), folder


def check_publishable(folder):
    """Raises `InputError` unless everything to publish is committed here and git-lfs is installed."""
    entry = git("ls-tree", "HEAD", folder).split()
    if not entry:
        raise InputError(f".gitmodules names {folder}, which is not among the committed files: mend the path")
    if entry[1] == "commit":
        raise InputError(f"{folder} is a submodule here: publish from the repository that holds its files")
    if git("status", "--porcelain"):
        raise InputError("the working tree has changes that are not committed: commit or remove them ('git status')")
    if git("rev-parse", "--is-shallow-repository") == "true":
        raise InputError("this clone lacks the older history: run 'git fetch --unshallow'")
    if not succeeds("lfs", "version"):
        raise InputError("git-lfs is not installed: on Debian run 'apt-get install git-lfs'")


def published_from(remote, tip):
    """The commit here that `tip` was published from. Raises `InputError` if it is not an ancestor of HEAD."""
    trailer = git("log", "-1", f"--format=%(trailers:key={TRAILER},valueonly)", tip).splitlines()
    if not trailer or not re.fullmatch("[0-9a-f]{7,64}", trailer[0]):  # other values might be read as options by git
        raise InputError(
            f"{remote} has moved on: its commit {tip[:12]} is not from here. Bring its change here, and say so "
            f"there by 'git commit --allow-empty -m \"Brought over\" --trailer {TRAILER}={git('rev-parse', 'HEAD')}'"
        )
    if not succeeds("merge-base", "--is-ancestor", trailer[0], "HEAD"):
        raise InputError(
            f"{remote} was published from {trailer[0][:12]}, which is not in this branch: 'git pull' first"
        )
    return trailer[0]


def commit_library(folder, library, tip):
    """The commit to push to the library's branch.

    It is the last commit of the folder's own history. If the branch has commits of others, which were brought over
    since, it is a merge.
    """
    split = git("subtree", "split", f"--prefix={folder}")
    if tip is None or succeeds("merge-base", "--is-ancestor", tip, split):
        return split
    published_from(library, tip)
    if succeeds("merge-base", "--is-ancestor", split, tip):
        return tip
    message = f"Merge what was brought over\n\n{TRAILER}: {git('rev-parse', 'HEAD')}"
    return git("commit-tree", f"{split}^{{tree}}", "-p", split, "-p", tip, "-m", message)


def commit_application(name, folder, pinned, library_url, tip, published):
    """The commit to push to the application's branch: a new one on top of `tip`, or `tip` if nothing changed."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, "tree")
        git("worktree", "add", "--quiet", "--detach", str(tree), "HEAD")  # this repository's settings apply in it
        try:
            shutil.rmtree(tree / folder)
            mark_for_lfs(tree / ".gitattributes")
            git("config", "--file", ".gitmodules", f"submodule.{name}.url", library_url, folder=tree)
            git("read-tree", "--empty", folder=tree)  # otherwise files whose attributes alone changed are not converted
            git(*LFS_FILTER, "add", "--all", "--force", folder=tree)
            git("update-index", "--add", "--cacheinfo", f"160000,{pinned},{folder}", folder=tree)
            content = git("write-tree", folder=tree)
        finally:
            git("worktree", "remove", "--force", str(tree))
    if tip and content == git("rev-parse", f"{tip}^{{tree}}"):
        return tip
    head = git("rev-parse", "HEAD")
    changes = git("log", "--format=- %s", f"{published}..HEAD") if published else "- The first publication"
    message = f"Publish {head[:12]}\n\n{changes}\n\n{TRAILER}: {head}"
    return git("commit-tree", content, *(["-p", tip] if tip else []), "-m", message)


def mark_for_lfs(attributes):
    """Replaces the marks in a `.gitattributes` by LFS attributes, and removes comments, which describe this tree."""
    lines = [line for line in attributes.read_text().splitlines() if not line.startswith("#")]
    lines = [f"{line.split()[0]} {LFS_ATTRIBUTES}" if LFS_MARK in line.split()[1:] else line for line in lines]
    attributes.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(start(lambda: main))
