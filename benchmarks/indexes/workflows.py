"""Make plausible torc workflows, the same ones for the same seed, without a disk or a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from random import Random
from typing import NamedTuple

FEWEST_JOBS = 50
STAGES = 5
JOBS_PER_NODE = 100
JOBS_PER_USER_DATA = 50
JOBS_PER_SHARED_FILE = 20
PARTITIONS = ("standard", "gpu")

FAILURE_RATE = 0.01
TERMINATION_RATE = 0.002
RERUN_RATE = 0.05
SECOND_BLOCKER_RATE = 0.5


class JobStatus(IntEnum):
    """The numbers that torc stores in job.status and result.status."""

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


class Situation(NamedTuple):
    """How far a workflow has come: the share of its jobs that could start, the number of its runs, its flags."""

    progress: float
    runs: int = 1
    is_canceled: bool = False
    is_archived: bool = False

    @property
    def is_active(self) -> bool:
        """Whether jobs of it are still to run."""
        return 0 < self.progress < 1 and not self.is_canceled


SITUATIONS = (
    Situation(progress=0.5, runs=2),
    Situation(progress=1.0),
    Situation(progress=0.75, runs=3),
    Situation(progress=1.0, runs=2, is_archived=True),
    Situation(progress=0.0),
    Situation(progress=0.5, is_canceled=True),
    Situation(progress=0.25),
)


class Requirement(NamedTuple):
    """One row of resource_requirements, without its keys."""

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
    """The result of a job in one run."""

    id: int
    job: Job
    run: int
    node: int
    status: JobStatus


class Layout(NamedTuple):
    """The situation of a workflow, and the ids of its rows."""

    id: int
    situation: Situation
    requirements: range
    jobs: range
    outputs: range
    shared_files: range
    user_data: range
    slurm_schedulers: range
    nodes: range

    @property
    def startable(self) -> int:
        """How many of the jobs, from the first, could start."""
        return int(self.situation.progress * len(self.jobs))

    @property
    def uninitialized(self) -> int:
        """How many of the jobs, from the last, are not initialized."""
        if self.situation.progress == 0:
            return len(self.jobs)
        return len(self.jobs) // 100 if self.situation.is_active else 0

    @property
    def nodes_ended(self) -> int:
        """How many of the nodes, from the first, have ended."""
        return len(self.nodes) * 4 // 5 if self.situation.is_active else len(self.nodes)


class Workflow(NamedTuple):
    """Everything that the rows of a workflow are made from."""

    layout: Layout
    jobs: Sequence[Job]
    results: Sequence[Result]
    rng: Random

    @property
    def id(self) -> int:
        """The key of its row."""
        return self.layout.id


def make_workflow(index: int, jobs: int, result_ids: Iterator[int], rng: Random) -> Workflow:
    """Return workflow number `index`, counted from 0, with `jobs` jobs; results get the next ids of `result_ids`."""
    layout = _lay_out(index, jobs)
    jobs_made = tuple(_jobs(layout, rng))
    return Workflow(layout, jobs_made, tuple(_results(layout, jobs_made, result_ids, rng)), rng)


def pick(choices: range, rng: Random) -> int:
    """Return one of the numbers, each with the same probability."""
    # Python guarantees the same numbers in every release for random() only.
    return choices[int(rng.random() * len(choices))]


def _lay_out(index: int, jobs: int) -> Layout:
    shared = jobs // JOBS_PER_SHARED_FILE
    files = _ids(index, jobs + shared)
    return Layout(
        id=index + 1,
        situation=SITUATIONS[index % len(SITUATIONS)],
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


def _jobs(layout: Layout, rng: Random) -> Iterator[Job]:
    statuses: list[JobStatus] = []
    for number, job_id in enumerate(layout.jobs):
        blockers = _blockers(number, len(layout.jobs), rng)
        status = _job_status(layout, number, {statuses[blocker] for blocker in blockers}, rng)
        statuses.append(status)
        yield Job(number, job_id, pick(layout.requirements, rng), blockers, status)


def _blockers(number: int, jobs: int, rng: Random) -> Sequence[int]:
    """Return one or two jobs of the previous stage, none in the first stage."""
    width = jobs // STAGES
    if number < width:
        return ()
    if rng.random() >= SECOND_BLOCKER_RATE:
        return (number - width,)
    start = (number // width - 1) * width
    return sorted({number - width, pick(range(start, start + width), rng)})


def _job_status(layout: Layout, number: int, blockers: set[JobStatus], rng: Random) -> JobStatus:
    """Return the status of a job, given the statuses of the jobs that it waits for."""
    if number >= len(layout.jobs) - layout.uninitialized:
        return JobStatus.UNINITIALIZED
    if blockers & WITHOUT_SUCCESS:
        return JobStatus.CANCELED
    if number < layout.startable:
        return _end_status(rng)
    if layout.situation.is_canceled:
        return JobStatus.CANCELED
    if blockers - {JobStatus.COMPLETED}:
        return JobStatus.BLOCKED
    return _waiting_status(number - layout.startable, len(layout.nodes))


def _end_status(rng: Random) -> JobStatus:
    chance = rng.random()
    if chance < TERMINATION_RATE:
        return JobStatus.TERMINATED
    return JobStatus.FAILED if chance < TERMINATION_RATE + FAILURE_RATE else JobStatus.COMPLETED


def _waiting_status(place: int, nodes: int) -> JobStatus:
    """Return the status of a job whose blockers have all completed, by its place in the queue."""
    if place < nodes:
        return JobStatus.RUNNING
    return JobStatus.PENDING if place < 2 * nodes else JobStatus.READY


def _results(layout: Layout, jobs: Iterable[Job], ids: Iterator[int], rng: Random) -> Iterator[Result]:
    """Yield the results of the jobs that have run; failures of a job that ran again come first."""
    for job in jobs:
        if job.status not in HAS_RUN:
            continue
        last = pick(range(1, layout.situation.runs + 1), rng)
        first = 1 if rng.random() < RERUN_RATE else last
        for run in range(first, last):
            yield Result(next(ids), job, run, pick(layout.nodes, rng), JobStatus.FAILED)
        yield Result(next(ids), job, last, pick(layout.nodes, rng), job.status)
