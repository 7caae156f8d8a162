-- Where jobs may run, and which of them are waiting to be claimed.

CREATE TABLE local_scheduler (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflow(id) ON DELETE CASCADE,
    memory TEXT NOT NULL,
    num_cpus INTEGER NOT NULL
);

-- What is left empty is left to the cluster's own defaults.
CREATE TABLE slurm_scheduler (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflow(id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    account TEXT NOT NULL,
    gres TEXT,
    mem TEXT,
    nodes INTEGER,
    ntasks_per_node INTEGER,
    partition TEXT,
    qos TEXT,
    tmp TEXT,
    walltime TEXT NOT NULL,
    extra TEXT
);

-- The primary key starts with workflow_id, because a compute node claims from one workflow only.
CREATE TABLE ready_queue (
    workflow_id INTEGER NOT NULL REFERENCES workflow(id) ON DELETE CASCADE,
    job_id INTEGER NOT NULL REFERENCES job(id) ON DELETE CASCADE,
    resource_requirements_id INTEGER NOT NULL REFERENCES resource_requirements(id) ON DELETE CASCADE,
    PRIMARY KEY (workflow_id, job_id)
);
