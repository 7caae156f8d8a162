-- Jobs, and what each needs to run.

-- Memory and runtime are kept twice, as the user wrote them and as numbers that sort.
CREATE TABLE resource_requirements (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflow(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    num_cpus INTEGER NOT NULL DEFAULT 1,
    num_gpus INTEGER NOT NULL DEFAULT 0,
    num_nodes INTEGER NOT NULL DEFAULT 1,
    memory TEXT NOT NULL DEFAULT '1m',
    runtime TEXT NOT NULL DEFAULT 'P0DT1M',
    memory_bytes INTEGER NOT NULL,
    runtime_s INTEGER NOT NULL
);

-- The status counts from 0 uninitialized, 1 blocked, 2 ready, 3 pending, 4 running
-- to the four ends, 5 completed, 6 failed, 7 canceled, 8 terminated.
-- A scheduler_id has no foreign key, because scheduler_type says which table it points into.
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflow(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    command TEXT NOT NULL,
    cancel_on_blocking_job_failure BOOLEAN NOT NULL DEFAULT TRUE,
    supports_termination BOOLEAN NOT NULL DEFAULT FALSE,
    resource_requirements_id INTEGER REFERENCES resource_requirements(id) ON DELETE CASCADE,
    invocation_script TEXT,
    status INTEGER NOT NULL,
    scheduler_id INTEGER,
    scheduler_type TEXT,
    schedule_compute_nodes JSON
);

-- The hash tells whether a job's inputs have changed since it last ran.
CREATE TABLE job_internal (
    job_id INTEGER PRIMARY KEY NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    input_hash TEXT NOT NULL
);
