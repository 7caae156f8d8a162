"""Record the queries of an application: their times, plans and scans."""

from __future__ import annotations

from torc_migrations.indexes.recording import Query as Query
from torc_migrations.indexes.watch import OTHERS as OTHERS
from torc_migrations.indexes.watch import Watch as Watch
