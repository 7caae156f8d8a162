"""Fill a torc database with plausible workflows, the same ones for the same seed."""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import chain, count
from pathlib import Path
from random import Random
from typing import NamedTuple

Row = Mapping[str, object]

EPOCH = datetime.fromisoformat("2025-11-05T03:01:41+00:00")
FEWEST_JOBS = 50
STAGES = 5
JOBS_PER_NODE = 100
JOBS_PER_USER_DATA = 50
JOBS_PER_SHARED_FILE = 20
PARTITIONS = ("standard", "gpu")
FIRST_SLURM_JOB = 7_000_000

FAILURE_RATE = 0.01
TERMINATION_RATE = 0.002
RERUN_RATE = 0.05
UNMONITORED_RATE = 0.1
SECOND_BLOCKER_RATE = 0.5

USERS = ("amara", "bjorn", "chen", "divya", "elif")


class JobStatus(IntEnum):
    """The numbers that torc keeps in job.status and result.status."""

    UNINITIALIZED = 0
    BLOCKED = 1
    READY = 2
    PENDING = 3
    RUNNING = 4
    COMPLETED = 5
    FAILED = 6
    CANCELED = 7
    TERMINATED = 8


HAS_RUN = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.TERMINATED})
WITHOUT_SUCCESS = frozenset({JobStatus.FAILED, JobStatus.CANCELED, JobStatus.TERMINATED})
RETURN_CODES = {JobStatus.COMPLETED: 0, JobStatus.FAILED: 1, JobStatus.TERMINATED: 143}


class Scene(NamedTuple):
    """What a workflow looks like: the share of its jobs whose turn has come, its runs, its flags."""

    progress: float
    runs: int = 1
    is_canceled: bool = False
    is_archived: bool = False

    @property
    def is_active(self) -> bool:
        return 0 < self.progress < 1 and not self.is_canceled


SCENES = (
    Scene(progress=0.5, runs=2),
    Scene(progress=1.0),
    Scene(progress=0.75, runs=3),
    Scene(progress=1.0, runs=2, is_archived=True),
    Scene(progress=0.0),
    Scene(progress=0.5, is_canceled=True),
    Scene(progress=0.25),
)


class Requirement(NamedTuple):
    """One row of resource_requirements, but for its keys."""

    name: str
    num_cpus: int
    num_gpus: int
    num_nodes: int
    memory: str
    runtime: str
    memory_bytes: int
    runtime_s: int


REQUIREMENTS = (
    Requirement("default", 1, 0, 1, "1m", "P0DT1M", 1 << 20, 60),
    Requirement("small", 1, 0, 1, "2g", "PT20M", 2 << 30, 1_200),
    Requirement("medium", 4, 0, 1, "8g", "PT1H", 8 << 30, 3_600),
    Requirement("large", 16, 0, 1, "48g", "PT4H", 48 << 30, 14_400),
    Requirement("one_gpu", 8, 1, 1, "32g", "PT2H", 32 << 30, 7_200),
    Requirement("four_gpus", 32, 4, 1, "128g", "PT8H", 128 << 30, 28_800),
    Requirement("two_nodes", 64, 0, 2, "200g", "PT12H", 200 << 30, 43_200),
)


class Job(NamedTuple):
    """A job, numbered from 0 in its workflow, and the numbers of the jobs that it waits for."""

    number: int
    id: int
    requirement: int
    blockers: Sequence[int]
    status: JobStatus


class Result(NamedTuple):
    """What came of a job in one run."""

    id: int
    job: Job
    run: int
    node: int
    status: JobStatus


class Layout(NamedTuple):
    """A workflow's scene, and the ids of the rows that are its own."""

    id: int
    scene: Scene
    requirements: range
    jobs: range
    outputs: range
    shared_files: range
    user_data: range
    slurm_schedulers: range
    nodes: range

    @property
    def turns(self) -> int:
        """How many of the jobs, from the first, have had their turn."""
        return int(self.scene.progress * len(self.jobs))

    @property
    def newcomers(self) -> int:
        """How many of the jobs, at the end, have not been initialized."""
        if self.scene.progress == 0:
            return len(self.jobs)
        return len(self.jobs) // 100 if self.scene.is_active else 0

    @property
    def nodes_gone(self) -> int:
        """How many of the nodes, from the first, work no longer."""
        return len(self.nodes) * 4 // 5 if self.scene.is_active else len(self.nodes)


class Workflow(NamedTuple):
    """All that the rows of a workflow are made of."""

    layout: Layout
    jobs: Sequence[Job]
    results: Sequence[Result]
    rng: Random

    @property
    def id(self) -> int:
        return self.layout.id


def fill(connection: sqlite3.Connection, *, workflows: int = 20, jobs: int = 10_000, seed: int = 20251105) -> None:
    """Add `workflows` workflows of `jobs` jobs each to empty torc tables, in one transaction.

    The rows depend on the three arguments only, and every table gets some. Foreign keys hold, whether
    SQLite enforces them or not. The connection must be outside a transaction, and is left so.

    Raises:
        LookupError: a table of the torc schema is missing.
        ValueError: there are workflows already, or fewer than one is asked for, or than 50 jobs in each.
    """
    _expect_empty_schema(connection)
    if workflows < 1 or jobs < FEWEST_JOBS:
        raise ValueError(f"at least 1 workflow of {FEWEST_JOBS} jobs is needed, not {workflows} of {jobs}")
    rng = Random(seed)
    result_ids = count(1)
    with _transaction(connection):
        for index in range(workflows):
            workflow = _imagine(_lay_out(index, jobs), result_ids, rng)
            for table, rows in ROWS.items():
                _insert(connection, table, rows(workflow))


def row_hashes(connection: sqlite3.Connection) -> dict[str, str]:
    """Return, by table, a SHA-256 in hexadecimal over all its rows in the order of the primary key.

    A table without a primary key is read in the order of its rowid. Ledgers and SQLite's own tables
    are left out: names that start with `_`, `yoyo_` or `sqlite_`.
    """
    return {table: _row_hash(connection, table) for table in _data_tables(connection)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parse(arguments)
    try:
        with closing(sqlite3.connect(f"{options.database.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            fill(connection, workflows=options.workflows, jobs=options.jobs, seed=options.seed)
    except (LookupError, ValueError, sqlite3.Error) as error:
        print(f"error: {str(options.database)!r}: {error}", file=sys.stderr)
        if isinstance(error, LookupError) or not options.database.exists():
            print("hint: torc-migrations -d DATABASE upgrade makes the torc schema", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path, help="an SQLite file that has the torc schema already")
    parser.add_argument("--workflows", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20251105, metavar="S", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _expect_empty_schema(connection: sqlite3.Connection) -> None:
    missing = sorted(ROWS.keys() - set(_data_tables(connection)))
    if missing:
        raise LookupError(f"tables of the torc schema are missing: {', '.join(missing)}")
    if any(_query(connection, "SELECT 1 FROM workflow LIMIT 1")):
        raise ValueError("there are workflows already")


def _query(connection: sqlite3.Connection, sql: str, parameters: Row | None = None) -> Iterator[tuple[object, ...]]:
    """Yield rows as plain tuples, whatever row factory the connection has."""
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(sql, parameters or {})


def _data_tables(connection: sqlite3.Connection) -> list[str]:
    rows = _query(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    names = [str(name) for (name,) in rows]
    return [name for name in names if not name.startswith(("_", "yoyo_", "sqlite_"))]


def _row_hash(connection: sqlite3.Connection, table: str) -> str:
    digest = hashlib.sha256()
    for row in _query(connection, f"SELECT * FROM {_quote(table)} ORDER BY {_key(connection, table)}"):
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def _key(connection: sqlite3.Connection, table: str) -> str:
    sql = "SELECT name FROM pragma_table_info(:table) WHERE pk > 0 ORDER BY pk"
    return ", ".join(_quote(str(name)) for (name,) in _query(connection, sql, {"table": table})) or "rowid"


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Insert rows that all have the columns of the first."""
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        return
    columns = ", ".join(first)
    values = ", ".join(f":{column}" for column in first)
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", chain([first], remaining))


def _lay_out(index: int, jobs: int) -> Layout:
    shared = jobs // JOBS_PER_SHARED_FILE
    files = _ids(index, jobs + shared)
    return Layout(
        id=index + 1,
        scene=SCENES[index % len(SCENES)],
        requirements=_ids(index, len(REQUIREMENTS)),
        jobs=_ids(index, jobs),
        outputs=files[:jobs],
        shared_files=files[jobs:],
        user_data=_ids(index, max(2, jobs // JOBS_PER_USER_DATA)),
        slurm_schedulers=_ids(index, len(PARTITIONS)),
        nodes=_ids(index, max(2, jobs // JOBS_PER_NODE)),
    )


def _ids(index: int, size: int) -> range:
    """Return the ids of the workflow `index` in a table where each workflow has `size` rows."""
    return range(index * size + 1, (index + 1) * size + 1)


def _imagine(layout: Layout, result_ids: Iterator[int], rng: Random) -> Workflow:
    jobs = tuple(_jobs(layout, rng))
    return Workflow(layout, jobs, tuple(_results(layout, jobs, result_ids, rng)), rng)


def _jobs(layout: Layout, rng: Random) -> Iterator[Job]:
    statuses: list[JobStatus] = []
    for number, job_id in enumerate(layout.jobs):
        blockers = _blockers(number, len(layout.jobs), rng)
        status = _job_status(layout, number, {statuses[blocker] for blocker in blockers}, rng)
        statuses.append(status)
        yield Job(number, job_id, _pick(layout.requirements, rng), blockers, status)


def _blockers(number: int, jobs: int, rng: Random) -> Sequence[int]:
    """Return one or two jobs of the stage before, none in the first stage."""
    width = jobs // STAGES
    if number < width:
        return ()
    if rng.random() >= SECOND_BLOCKER_RATE:
        return (number - width,)
    start = (number // width - 1) * width
    return sorted({number - width, _pick(range(start, start + width), rng)})


def _job_status(layout: Layout, number: int, blockers: set[JobStatus], rng: Random) -> JobStatus:
    """Say how far a job has come, given how far the jobs have that it waits for."""
    if number >= len(layout.jobs) - layout.newcomers:
        return JobStatus.UNINITIALIZED
    if blockers & WITHOUT_SUCCESS:
        return JobStatus.CANCELED
    if number < layout.turns:
        return _ending(rng)
    if layout.scene.is_canceled:
        return JobStatus.CANCELED
    if blockers - {JobStatus.COMPLETED}:
        return JobStatus.BLOCKED
    return _turn_to_come(number - layout.turns, len(layout.nodes))


def _ending(rng: Random) -> JobStatus:
    chance = rng.random()
    if chance < TERMINATION_RATE:
        return JobStatus.TERMINATED
    return JobStatus.FAILED if chance < TERMINATION_RATE + FAILURE_RATE else JobStatus.COMPLETED


def _turn_to_come(place: int, nodes: int) -> JobStatus:
    """Say what a job does whose blockers have all completed, by its place in the line."""
    if place < nodes:
        return JobStatus.RUNNING
    return JobStatus.PENDING if place < 2 * nodes else JobStatus.READY


def _results(layout: Layout, jobs: Iterable[Job], ids: Iterator[int], rng: Random) -> Iterator[Result]:
    """Yield the results of the jobs that have run, those of a job that was rerun with its failures first."""
    for job in jobs:
        if job.status not in HAS_RUN:
            continue
        last = _pick(range(1, layout.scene.runs + 1), rng)
        first = 1 if rng.random() < RERUN_RATE else last
        for run in range(first, last):
            yield Result(next(ids), job, run, _pick(layout.nodes, rng), JobStatus.FAILED)
        yield Result(next(ids), job, last, _pick(layout.nodes, rng), job.status)


def _pick(choices: range, rng: Random) -> int:
    # random() is the one method whose numbers Python promises to keep from release to release.
    return choices[int(rng.random() * len(choices))]


def _workflow_status_rows(workflow: Workflow) -> Iterator[Row]:
    scene = workflow.layout.scene
    yield {
        "id": workflow.id,
        "run_id": scene.runs,
        "has_detected_need_to_run_completion_script": int(scene.progress == 1),
        "is_canceled": int(scene.is_canceled),
        "is_archived": int(scene.is_archived),
    }


def _workflow_rows(workflow: Workflow) -> Iterator[Row]:
    yield {
        "id": workflow.id,
        "name": f"workflow_{workflow.id}",
        "description": f"parameter study {workflow.id}" if workflow.id % 3 else None,
        "user": USERS[workflow.id % len(USERS)],
        "timestamp": _timestamp(workflow, 0),
        "is_archived": int(workflow.layout.scene.is_archived),
        "jobs_sort_method": "gpus_runtime_memory" if workflow.id % 4 else "gpus_memory_runtime",
        "status_id": workflow.id,
        "resource_monitor_config": '{"enabled": true, "sample_interval_seconds": 10}',
    }


def _timestamp(workflow: Workflow, second: int) -> str:
    return _moment(workflow, second).isoformat()


def _moment(workflow: Workflow, second: int) -> datetime:
    """Return the moment `second` seconds into the life of a workflow; they begin a day apart."""
    return EPOCH + timedelta(days=workflow.id, seconds=second)


def _requirement_rows(workflow: Workflow) -> Iterator[Row]:
    for row_id, requirement in zip(workflow.layout.requirements, REQUIREMENTS, strict=True):
        yield {"id": row_id, "workflow_id": workflow.id} | requirement._asdict()


def _job_rows(workflow: Workflow) -> Iterator[Row]:
    schedulers = workflow.layout.slurm_schedulers
    for job in workflow.jobs:
        on_slurm = job.number % 4 == 0
        yield {
            "id": job.id,
            "workflow_id": workflow.id,
            "name": f"job_{job.number:05}",
            "command": f"python simulate.py --case {job.number} --output output/{job.number:05}.parquet",
            "supports_termination": int(job.number % 10 == 0),
            "resource_requirements_id": job.requirement,
            "invocation_script": "bash with_modules.sh" if job.number % 20 == 0 else None,
            "status": job.status.value,
            "scheduler_id": schedulers[job.number % len(schedulers)] if on_slurm else None,
            "scheduler_type": "slurm_scheduler" if on_slurm else None,
        }


def _job_internal_rows(workflow: Workflow) -> Iterator[Row]:
    for job in workflow.jobs:
        if job.status is not JobStatus.UNINITIALIZED:
            yield {"job_id": job.id, "input_hash": hashlib.sha256(b"%d" % job.id).hexdigest()}


def _file_rows(workflow: Workflow) -> Iterator[Row]:
    for job, file_id in zip(workflow.jobs, workflow.layout.outputs, strict=True):
        written = job.number if job.status is JobStatus.COMPLETED else None
        yield _file_row(workflow, file_id, f"output/{job.number:05}.parquet", written)
    for number, file_id in enumerate(workflow.layout.shared_files):
        yield _file_row(workflow, file_id, f"input/{number:05}.csv", 0)


def _file_row(workflow: Workflow, file_id: int, path: str, written: int | None) -> Row:
    return {
        "id": file_id,
        "workflow_id": workflow.id,
        "name": path.replace("/", "_"),
        "path": path,
        "st_mtime": None if written is None else _moment(workflow, written).timestamp(),
    }


def _user_data_rows(workflow: Workflow) -> Iterator[Row]:
    for job, row_id in _producers(workflow):
        loss = round(workflow.rng.random(), 6)
        yield {
            "id": row_id,
            "workflow_id": workflow.id,
            "name": f"fit_{job.number:05}",
            "is_ephemeral": int(job.number % 5 == 0),
            "data": f'{{"case": {job.number}, "loss": {loss}}}' if job.status is JobStatus.COMPLETED else None,
        }


def _producers(workflow: Workflow) -> Iterator[tuple[Job, int]]:
    """Pair each piece of user data with the job that writes it: the first jobs, one each."""
    return zip(workflow.jobs, workflow.layout.user_data, strict=False)


def _blocked_by_rows(workflow: Workflow) -> Iterator[Row]:
    for job in workflow.jobs:
        for blocker in job.blockers:
            yield {"job_id": job.id, "blocked_by_job_id": workflow.jobs[blocker].id, "workflow_id": workflow.id}


def _input_file_rows(workflow: Workflow) -> Iterator[Row]:
    """Yield what jobs read: the output of their blockers or, in the first stage, a file that is shared."""
    outputs, shared = workflow.layout.outputs, workflow.layout.shared_files
    for job in workflow.jobs:
        for file_id in [outputs[blocker] for blocker in job.blockers] or [shared[job.number % len(shared)]]:
            yield {"job_id": job.id, "file_id": file_id, "workflow_id": workflow.id}


def _output_file_rows(workflow: Workflow) -> Iterator[Row]:
    for job, file_id in zip(workflow.jobs, workflow.layout.outputs, strict=True):
        yield {"job_id": job.id, "file_id": file_id, "workflow_id": workflow.id}


def _input_user_data_rows(workflow: Workflow) -> Iterator[Row]:
    """Yield what every third job after the first stage reads."""
    data = workflow.layout.user_data
    for job in workflow.jobs[len(workflow.jobs) // STAGES :: 3]:
        yield {"job_id": job.id, "user_data_id": data[job.number % len(data)]}


def _output_user_data_rows(workflow: Workflow) -> Iterator[Row]:
    for job, row_id in _producers(workflow):
        yield {"job_id": job.id, "user_data_id": row_id}


def _local_scheduler_rows(workflow: Workflow) -> Iterator[Row]:
    yield {"workflow_id": workflow.id, "memory": "64g", "num_cpus": 16}


def _slurm_scheduler_rows(workflow: Workflow) -> Iterator[Row]:
    for row_id, partition in zip(workflow.layout.slurm_schedulers, PARTITIONS, strict=True):
        yield {
            "id": row_id,
            "workflow_id": workflow.id,
            "name": f"slurm_{partition}",
            "account": "studies",
            "gres": "gpu:4" if partition == "gpu" else None,
            "nodes": 1,
            "partition": partition,
            "qos": "normal",
            "walltime": "04:00:00",
        }


def _ready_queue_rows(workflow: Workflow) -> Iterator[Row]:
    for job in workflow.jobs:
        if job.status is JobStatus.READY:
            yield {"workflow_id": workflow.id, "job_id": job.id, "resource_requirements_id": job.requirement}


def _compute_node_rows(workflow: Workflow) -> Iterator[Row]:
    layout, rng = workflow.layout, workflow.rng
    for number, row_id in enumerate(layout.nodes if layout.scene.progress else ()):
        is_active = number >= layout.nodes_gone
        yield {
            "id": row_id,
            "workflow_id": workflow.id,
            "hostname": f"node{number:04}",
            "pid": _pick(range(1_000, 100_000), rng),
            "start_time": _timestamp(workflow, number * 60),
            "duration_seconds": None if is_active else round(600 + 13_800 * rng.random(), 3),
            "is_active": int(is_active),
            "num_cpus": 104,
            "memory_gb": 240.0,
            "num_gpus": 4 * (number % 2),
            "num_nodes": 1,
            "time_limit": "PT4H",
            "scheduler_config_id": layout.slurm_schedulers[number % len(layout.slurm_schedulers)],
            "compute_node_type": "slurm",
            "scheduler": f'{{"slurm_job_id": {FIRST_SLURM_JOB + row_id}}}',
        }


def _scheduled_node_rows(workflow: Workflow) -> Iterator[Row]:
    """Yield the request for each node, still pending where the workflow has not begun."""
    layout = workflow.layout
    for number, node_id in enumerate(layout.nodes):
        status = "active" if number >= layout.nodes_gone else "complete"
        yield {
            "workflow_id": workflow.id,
            "scheduler_config_id": layout.slurm_schedulers[number % len(layout.slurm_schedulers)],
            "scheduler_id": FIRST_SLURM_JOB + node_id,
            "scheduler_type": "slurm",
            "status": status if layout.scene.progress else "pending",
        }


def _result_rows(workflow: Workflow) -> Iterator[Row]:
    rng = workflow.rng
    for result in workflow.results:
        peak = None if rng.random() < UNMONITORED_RATE else _pick(range(1 << 26, 1 << 33), rng)
        yield {
            "id": result.id,
            "workflow_id": workflow.id,
            "job_id": result.job.id,
            "run_id": result.run,
            "compute_node_id": result.node,
            "return_code": RETURN_CODES[result.status],
            "exec_time_minutes": round(240 * rng.random() ** 2, 3),
            "completion_time": _completion_time(workflow, result),
            "status": result.status.value,
            "peak_memory_bytes": peak,
            "avg_memory_bytes": None if peak is None else peak * 3 // 4,
            "peak_cpu_percent": None if peak is None else round(100 + 300 * rng.random(), 1),
            "avg_cpu_percent": None if peak is None else round(20 + 80 * rng.random(), 1),
        }


def _completion_time(workflow: Workflow, result: Result) -> str:
    return _timestamp(workflow, result.run * len(workflow.jobs) + result.job.number)


def _workflow_result_rows(workflow: Workflow) -> Iterator[Row]:
    latest = {result.job.id: result.id for result in workflow.results}
    for job_id, result_id in latest.items():
        yield {"workflow_id": workflow.id, "job_id": job_id, "result_id": result_id}


def _event_rows(workflow: Workflow) -> Iterator[Row]:
    """Yield the workflow's creation, and the end of a job for each failure and each tenth result."""
    created = {"workflow_id": workflow.id, "timestamp": _timestamp(workflow, 0)}
    yield created | {"data": '{"category": "workflow", "type": "created"}'}
    for result in workflow.results:
        if result.status in WITHOUT_SUCCESS or result.id % 10 == 0:
            yield {
                "workflow_id": workflow.id,
                "timestamp": _completion_time(workflow, result),
                "data": f'{{"category": "job", "type": "{result.status.name.lower()}", "job_id": {result.job.id}}}',
            }


# Parents before children, so that foreign keys hold at every row.
ROWS: Mapping[str, Callable[[Workflow], Iterable[Row]]] = {
    "workflow_status": _workflow_status_rows,
    "workflow": _workflow_rows,
    "resource_requirements": _requirement_rows,
    "job": _job_rows,
    "job_internal": _job_internal_rows,
    "file": _file_rows,
    "user_data": _user_data_rows,
    "job_blocked_by": _blocked_by_rows,
    "job_input_file": _input_file_rows,
    "job_output_file": _output_file_rows,
    "job_input_user_data": _input_user_data_rows,
    "job_output_user_data": _output_user_data_rows,
    "local_scheduler": _local_scheduler_rows,
    "slurm_scheduler": _slurm_scheduler_rows,
    "ready_queue": _ready_queue_rows,
    "compute_node": _compute_node_rows,
    "scheduled_compute_node": _scheduled_node_rows,
    "result": _result_rows,
    "workflow_result": _workflow_result_rows,
    "event": _event_rows,
}


if __name__ == "__main__":
    sys.exit(main())
