"""The version of an image, from git: the commit's tag, or the distance to the last tag.

======================================  =================================
state of the work tree                  version
======================================  =================================
commit has the tag 1.2.0                ``1.2.0``
3 commits after it                      ``1.2.0.dev3-g1a2b3c4``
the same with uncommitted changes       ``1.2.0.dev3-g1a2b3c4-t5d6e7f8``
no tag at all, 12 commits               ``0.dev12-g1a2b3c4``
no git                                  ``0-t5d6e7f8``
======================================  =================================

Only changes to the image's files count. The last part is the hash of these files, so two
different images never share a tag. An image with the code of projects has the commit of the first
project and always the hash, because flexpack is in it too. An image's tag must not contain a plus
sign, which Python's own version numbers would have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from launcher.image.context import Context, find_context_files, is_in_context
from launcher.image.tools import ToolError, run_tool

_TIMEOUT_SEC = 60.0
HASH_LENGTH = 7
_TAG_LENGTH = 128


@dataclass(frozen=True, kw_only=True)
class GitState:
    """Git's facts about a work tree.

    Attributes:
        commit: full hash of HEAD.
        tag: the last tag before HEAD, or None.
        distance: commits since that tag, or all commits.
        tree: hash of the image's files, or None if they are the commit's.
    """

    commit: str
    tag: str | None
    distance: int
    tree: str | None

    @property
    def revision(self) -> str:
        """The commit, with the hash of the files if they differ from the commit's."""
        return f"{self.commit}-t{self.tree[:HASH_LENGTH]}" if self.tree else self.commit


def build_version(state: GitState) -> str:
    """Return the version of a work tree, as an image tag."""
    if state.tag and not state.distance and state.tree is None:
        return legal_tag(state.tag)
    version = f"{state.tag or '0'}.dev{state.distance}-g{state.commit[:HASH_LENGTH]}"
    if state.tree:
        version += f"-t{state.tree[:HASH_LENGTH]}"
    return legal_tag(version)


def legal_tag(text: str) -> str:
    """Return ``text`` with everything replaced that an image tag may not hold.

    https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
    """
    tag = re.sub(r"[^\w.-]", "-", text, flags=re.ASCII)
    return re.sub(r"^[.-]+", "", tag)[:_TAG_LENGTH]


def read_git_state(root: Path, context: Context, *, is_whole: bool = True) -> GitState | None:
    """Query git about a work tree; return None without a repository or a commit.

    Args:
        context: the files of the image.
        is_whole: whether all of them are in this work tree.
    """
    try:
        commit = _git(root, "rev-parse", "HEAD")
    except ToolError:
        return None
    try:
        # "1.2.0-3-g1a2b3c4": the tag itself may hold hyphens.
        described = _git(root, "describe", "--tags", "--long", "--abbrev=7", "HEAD")
        tag, distance, _ = described.rsplit("-", 2)
    except ToolError:
        tag, distance = "", _git(root, "rev-list", "--count", "HEAD")
    is_changed = not is_whole or _is_changed(root)
    tree = context.hash if is_changed else None
    return GitState(commit=commit, tag=tag or None, distance=int(distance), tree=tree)


def _is_changed(root: Path) -> bool:
    """Return whether the image's files differ from the commit's."""
    files = {path.as_posix() for path in find_context_files(root)}
    tracked = _list(root, "ls-files", "-z")
    differing = _list(root, "diff", "--name-only", "--relative", "-z", "HEAD", "--", ".")
    gone = {path for path in differing if not (root / path).exists() and is_in_context(root, path)}
    return bool(files - tracked or files & differing or gone)


def _list(root: Path, *arguments: str) -> set[str]:
    return set(filter(None, _git(root, *arguments).split("\0")))


def _git(root: Path, *arguments: str) -> str:
    return run_tool(["git", "-C", str(root), *arguments], timeout_sec=_TIMEOUT_SEC).strip()
