"""Random releases on one database, beside sqlx: who is let in, and who rolls back what, is as a small model says."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from database_under_test import SQLiteUnderTest, sized, write_folder
from other_tools import sqlx_revert, sqlx_run

from torc_migrations import Migrator, errors, upgrade

NEWEST = 5


class Releases:
    """Releases 1 to 5, each with so many migrations, and a model of what the database has installed and keeps."""

    def __init__(self, tmp_path: Path, random: Random) -> None:
        self.random = random
        self.asks = {version: random.choice((None, random.randint(0, version))) for version in range(1, NEWEST + 1)}
        files = {}
        for version, asks in self.asks.items():
            line = "" if asks is None else f"-- compatible-from: {asks}\n"
            files[f"{version}_t{version}"] = f"{line}CREATE TABLE t{version} (x);\n"
            files[f"{version}_t{version}.rollback"] = f"DROP TABLE t{version};\n"
        self.sources = {
            release: write_folder(
                tmp_path / f"release {release}", {name: text for name, text in files.items() if int(name[0]) <= release}
            )
            for release in range(1, NEWEST + 1)
        }
        self.database = SQLiteUnderTest(tmp_path / "app.db")
        self.installed = 0  # migrations 1 to this one
        self.rows: set[int] = set()  # of the table, whether they count or not

    def kept(self, release: int) -> list[int]:
        """Return the versions that count: installed, with a row, and without a file in the release."""
        return [version for version in sorted(self.rows) if release < version <= self.installed]

    def note(self, first: int, last: int) -> None:
        """Note that we have recorded some migrations."""
        self.rows |= {version for version in range(first, last + 1) if self.asks[version] is not None}

    def start(self, release: int) -> None:
        """Start a release, which upgrades."""
        most = max((self.asks[version] or 0 for version in self.kept(release)), default=0)
        if most > release:
            with pytest.raises(errors.TooOld) as failure:
                upgrade(self.database.path, self.sources[release])
            assert (failure.value.compatible_from, failure.value.newest) == (most, release)
            return
        upgrade(self.database.path, self.sources[release])
        self.note(1, release)  # also what sqlx has applied, which is adopted
        self.installed = max(self.installed, release)

    def roll_back(self, release: int) -> None:
        """Roll back the newest one with the files of a release."""
        migrator = Migrator(self.database.path, self.sources[release])
        unknown = [v for v in range(release + 1, self.installed + 1) if v not in self.kept(release)]
        if unknown:
            with pytest.raises(errors.VersionMissing) as failure:
                migrator.rollback()
            assert failure.value.version == unknown[0]
            return
        assert migrator.rollback().applied == ((self.installed,) if self.installed else ())
        self.note(1, min(release, self.installed))
        # What sqlx has reverted is erased, where the release has its file.
        self.rows -= {self.installed, *range(self.installed + 1, release + 1)}
        self.installed = max(0, self.installed - 1)

    def let_sqlx_run(self, _: int) -> None:
        """Apply the next one with sqlx."""
        if 0 < self.installed < NEWEST:
            self.installed += 1
            sqlx_run(self.database, self.sources[NEWEST], f"{self.installed}_t{self.installed}")

    def let_sqlx_revert(self, _: int) -> None:
        """Revert the newest one with sqlx, which leaves the row."""
        if self.installed:
            sqlx_revert(self.database, self.sources[NEWEST], f"{self.installed}_t{self.installed}")
            self.installed -= 1


@pytest.mark.slow
@pytest.mark.parametrize("group", range(4))
def test_releases_are_let_in_as_the_model_says(tmp_path: Path, group: int) -> None:
    """After each turn of a release or of sqlx the tables, the ledgers and the rows are those of the model."""
    for seed in range(sized(20, 250) * group, sized(20, 250) * (group + 1)):
        random = Random(seed)
        releases = Releases(tmp_path / str(seed), random)
        turns = (releases.start, releases.start, releases.roll_back, releases.let_sqlx_run, releases.let_sqlx_revert)
        for _ in range(10):
            random.choice(turns)(random.randint(1, NEWEST))

            versions = range(1, releases.installed + 1)
            assert set(releases.database.tables()) == {f"t{version}" for version in versions}, seed
            assert set(releases.database.ledgers().sqlx) == set(versions), seed
            if releases.rows:
                rows = releases.database.execute("SELECT version FROM _torc_migrations")
                assert {version for (version,) in rows} == releases.rows, seed
