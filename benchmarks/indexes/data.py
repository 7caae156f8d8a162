"""Fill a torc database with plausible workflows, the same ones for the same seed.

python -m benchmarks.indexes.data DATABASE --workflows 2 --jobs 100
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from itertools import chain, count
from pathlib import Path
from random import Random

from benchmarks.indexes.workflows import (
    FEWEST_JOBS,
    PARTITIONS,
    REQUIREMENTS,
    STAGES,
    WITHOUT_SUCCESS,
    Job,
    JobStatus,
    Result,
    Workflow,
    make_workflow,
    pick,
)

Row = Mapping[str, object]

EPOCH = datetime.fromisoformat("2025-11-05T03:01:41+00:00")
FIRST_SLURM_JOB = 7_000_000
UNMONITORED_RATE = 0.1
USERS = ("amara", "bjorn", "chen", "divya", "elif")
RETURN_CODES = {JobStatus.COMPLETED: 0, JobStatus.FAILED: 1, JobStatus.TERMINATED: 143}


def fill(connection: sqlite3.Connection, *, workflows: int = 20, jobs: int = 10_000, seed: int = 20251105) -> None:
    """Add `workflows` workflows of `jobs` jobs each to empty torc tables, in one transaction.

    The rows depend on the three arguments only, and every table gets some. No foreign key is violated. The connection
    must be outside a transaction, and is left so.

    Raises:
        LookupError: a table of the torc schema is missing.
        ValueError: the database has workflows, or less than 1 workflow or less than 50 jobs are asked for.
    """
    _expect_empty_schema(connection)
    if workflows < 1 or jobs < FEWEST_JOBS:
        raise ValueError(f"at least 1 workflow of {FEWEST_JOBS} jobs is needed, got {workflows} of {jobs}")
    result_ids, rng = count(1), Random(seed)
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        for index in range(workflows):
            workflow = make_workflow(index, jobs, result_ids, rng)
            for table, rows in ROWS.items():
                _insert(connection, table, rows(workflow))


def row_hashes(connection: sqlite3.Connection) -> dict[str, str]:
    """Return for each table the SHA-256 of all its rows, in hexadecimal, in the order of the primary key or the rowid.

    Ledgers and SQLite's own tables are left out: names that start with `_`, `yoyo_` or `sqlite_`.
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
            print("hint: torc-migrations -d DATABASE --torc upgrade creates the torc schema", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path, help="an SQLite file with the torc schema")
    parser.add_argument("--workflows", type=int, default=20, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=10_000, metavar="M", help="in each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20251105, metavar="S", help="(default: %(default)s)")
    return parser.parse_args(arguments)


def _expect_empty_schema(connection: sqlite3.Connection) -> None:
    missing = sorted(ROWS.keys() - set(_data_tables(connection)))
    if missing:
        raise LookupError(f"tables of the torc schema are missing: {', '.join(missing)}")
    if any(_query(connection, "SELECT 1 FROM workflow LIMIT 1")):
        raise ValueError("the database has workflows already")


def _query(connection: sqlite3.Connection, sql: str, parameters: Row | None = None) -> Iterator[tuple[object, ...]]:
    """Yield rows as plain tuples, whatever row factory the connection has."""
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(sql, parameters or {})


def _data_tables(connection: sqlite3.Connection) -> list[str]:
    tables = _query(connection, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    return [name for name in (str(row[0]) for row in tables) if not name.startswith(("_", "yoyo_", "sqlite_"))]


def _row_hash(connection: sqlite3.Connection, table: str) -> str:
    find_key = "SELECT name FROM pragma_table_info(:table) WHERE pk > 0 ORDER BY pk"
    key = [_quote(str(name)) for (name,) in _query(connection, find_key, {"table": table})] or ["rowid"]
    digest = hashlib.sha256()
    for row in _query(connection, f"SELECT * FROM {_quote(table)} ORDER BY {', '.join(key)}"):
        digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()


def _quote(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Insert rows that all have the columns of the first."""
    remaining = iter(rows)
    first = next(remaining, None)
    if first is None:
        return
    columns = ", ".join(first)
    values = ", ".join(f":{column}" for column in first)
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", chain([first], remaining))


def _workflow_status_rows(workflow: Workflow) -> Iterator[Row]:
    situation = workflow.layout.situation
    yield {
        "id": workflow.id,
        "run_id": situation.runs,
        "has_detected_need_to_run_completion_script": int(situation.progress == 1),
        "is_canceled": int(situation.is_canceled),
        "is_archived": int(situation.is_archived),
    }


def _workflow_rows(workflow: Workflow) -> Iterator[Row]:
    yield {
        "id": workflow.id,
        "name": f"workflow_{workflow.id}",
        "description": f"parameter study {workflow.id}" if workflow.id % 3 else None,
        "user": USERS[workflow.id % len(USERS)],
        "timestamp": _timestamp(workflow, 0),
        "is_archived": int(workflow.layout.situation.is_archived),
        "jobs_sort_method": "gpus_runtime_memory" if workflow.id % 4 else "gpus_memory_runtime",
        "status_id": workflow.id,
        "resource_monitor_config": '{"enabled": true, "sample_interval_seconds": 10}',
    }


def _timestamp(workflow: Workflow, second: int) -> str:
    return _moment(workflow, second).isoformat()


def _moment(workflow: Workflow, second: int) -> datetime:
    """Return the time `second` seconds after the start of a workflow; workflows start a day apart."""
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
    """Yield the files that jobs read: the output of their blockers or, in the first stage, a shared file."""
    outputs, shared = workflow.layout.outputs, workflow.layout.shared_files
    for job in workflow.jobs:
        for file_id in [outputs[blocker] for blocker in job.blockers] or [shared[job.number % len(shared)]]:
            yield {"job_id": job.id, "file_id": file_id, "workflow_id": workflow.id}


def _output_file_rows(workflow: Workflow) -> Iterator[Row]:
    for job, file_id in zip(workflow.jobs, workflow.layout.outputs, strict=True):
        yield {"job_id": job.id, "file_id": file_id, "workflow_id": workflow.id}


def _input_user_data_rows(workflow: Workflow) -> Iterator[Row]:
    """Yield the user data that every third job after the first stage reads."""
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
    for number, row_id in enumerate(layout.nodes if layout.situation.progress else ()):
        is_active = number >= layout.nodes_ended
        yield {
            "id": row_id,
            "workflow_id": workflow.id,
            "hostname": f"node{number:04}",
            "pid": pick(range(1_000, 100_000), rng),
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
    """Yield the request for each node, which is pending if the workflow has not started."""
    layout = workflow.layout
    for number, node_id in enumerate(layout.nodes):
        status = "active" if number >= layout.nodes_ended else "complete"
        yield {
            "workflow_id": workflow.id,
            "scheduler_config_id": layout.slurm_schedulers[number % len(layout.slurm_schedulers)],
            "scheduler_id": FIRST_SLURM_JOB + node_id,
            "scheduler_type": "slurm",
            "status": status if layout.situation.progress else "pending",
        }


def _result_rows(workflow: Workflow) -> Iterator[Row]:
    rng = workflow.rng
    for result in workflow.results:
        peak = None if rng.random() < UNMONITORED_RATE else pick(range(1 << 26, 1 << 33), rng)
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
    """Yield the creation of the workflow, and the end of a job for each failure and each tenth result."""
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
