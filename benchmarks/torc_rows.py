"""Make the rows of torc's tables from an imagined workflow; pure, no disk, no database."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from torc_workflows import PARTITIONS, REQUIREMENTS, STAGES, WITHOUT_SUCCESS, Job, JobStatus, Result, Workflow, pick

Row = Mapping[str, object]

EPOCH = datetime.fromisoformat("2025-11-05T03:01:41+00:00")
FIRST_SLURM_JOB = 7_000_000
UNMONITORED_RATE = 0.1
USERS = ("amara", "bjorn", "chen", "divya", "elif")
RETURN_CODES = {JobStatus.COMPLETED: 0, JobStatus.FAILED: 1, JobStatus.TERMINATED: 143}


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
