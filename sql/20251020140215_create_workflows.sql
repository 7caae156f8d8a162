-- Workflows, and where each stands in its current run.

-- Apart from workflow, because every run rewrites it and the workflow itself hardly ever changes.
CREATE TABLE workflow_status (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    run_id INTEGER NOT NULL DEFAULT 1,
    has_detected_need_to_run_completion_script INTEGER NOT NULL DEFAULT 0,
    is_canceled INTEGER NOT NULL DEFAULT 0,
    is_archived INTEGER NOT NULL DEFAULT 0
);

-- Nearly every other table hangs on this one, so that deleting a workflow deletes all that is its own.
-- Its status is its parent and not its child, and does not go with it.
CREATE TABLE workflow (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    user TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    is_archived INTEGER NOT NULL DEFAULT 0,
    compute_node_expiration_buffer_seconds INTEGER NOT NULL DEFAULT 60,
    compute_node_wait_for_new_jobs_seconds INTEGER NOT NULL DEFAULT 0,
    compute_node_ignore_workflow_completion INTEGER NOT NULL DEFAULT 0,
    compute_node_wait_for_healthy_database_minutes INTEGER NOT NULL DEFAULT 20,
    jobs_sort_method TEXT NOT NULL DEFAULT 'gpus_runtime_memory',
    status_id INTEGER NOT NULL REFERENCES workflow_status(id),
    resource_monitor_config TEXT
);
