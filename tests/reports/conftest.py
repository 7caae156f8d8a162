"""What the tests of the report share: Chromium, and two programs in JavaScript that look at a page."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from reports.browser import CHROMIUM, Browser, chromium

NO_CHROMIUM = "there is no Chromium here: apt-get install --no-install-recommends chromium"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium of this process of the tests."""
    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="session")
def axe() -> str:
    """The program of axe-core, which checks a page against WCAG; it has the licence MPL-2.0."""
    return _script("axe-core", "4.14.1", "package/axe.min.js")


@pytest.fixture(scope="session")
def mermaid() -> str:
    """The program of Mermaid, which draws its diagrams; it has the licence MIT."""
    return _script("mermaid", "11.17.2", "package/dist/mermaid.min.js")


def _script(package: str, version: str, member: str) -> str:
    """Return a file of a package of npm, which is kept in the user's cache directory."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torc_migrations" / "npm"
    kept = cache / f"{package}-{version}.js"
    if not kept.exists():
        if shutil.which("npm") is None:
            pytest.skip(f"{package} is not here: install npm, or put {Path(member).name} of {version} into {kept}")
        with tempfile.TemporaryDirectory() as directory:
            words = ["npm", "pack", "--silent", "--pack-destination", directory, f"{package}@{version}"]
            done = subprocess.run(words, cwd=directory, capture_output=True, check=False, timeout=300)
            if done.returncode != 0:
                pytest.skip(f"npm cannot download {package} here, or put {Path(member).name} of {version} into {kept}")
            (packed,) = Path(directory).glob("*.tgz")
            with tarfile.open(packed) as archive:
                file = archive.extractfile(member)
                assert file is not None
                cache.mkdir(parents=True, exist_ok=True)
                new = kept.with_suffix(f".{os.getpid()}")
                new.write_bytes(file.read())
                new.replace(kept)
    return kept.read_text()
