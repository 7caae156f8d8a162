-- 17 indexes on 11 tables, for workflows of thousands of jobs.
--
-- The order matters. Of two indexes that look equally good and have no statistics to tell them apart,
-- SQLite takes the one created last, so the one that a shared query should use comes after the other.

-- Ready jobs of a workflow, and how many jobs are in each status.
CREATE INDEX idx_job_workflow_status
    ON job(workflow_id, status);

-- Jobs of a workflow. A prefix of the one above, and narrower, so it comes second to be preferred.
CREATE INDEX idx_job_workflow_id
    ON job(workflow_id);

-- Results of a run. All workflows count their runs from 1, so this is the least selective of the three
-- on result and comes first, or it would be taken for the results of one run of one workflow.
CREATE INDEX idx_result_run_id
    ON result(run_id);

-- Results of a workflow, and those of one of its runs.
CREATE INDEX idx_result_workflow_id
    ON result(workflow_id);

-- Results of a job. UNIQUE (job_id, run_id) would serve as well, this one is narrower. It comes last of
-- the three, because a job has a handful of results where a workflow has thousands.
CREATE INDEX idx_result_job_id
    ON result(job_id);

-- Events of a workflow.
CREATE INDEX idx_event_workflow_id
    ON event(workflow_id);

-- Compute nodes of a workflow that are at work.
CREATE INDEX idx_compute_node_workflow_active
    ON compute_node(workflow_id, is_active);

-- Compute nodes of a workflow. A prefix of the one above, and narrower.
CREATE INDEX idx_compute_node_workflow_id
    ON compute_node(workflow_id);

-- Jobs that wait for a job, the direction that the primary key does not serve.
CREATE INDEX idx_job_blocked_by_blocked_by_job_id
    ON job_blocked_by(blocked_by_job_id);

-- Jobs that read a file.
CREATE INDEX idx_job_input_file_file_id
    ON job_input_file(file_id);

-- Jobs that write a file.
CREATE INDEX idx_job_output_file_file_id
    ON job_output_file(file_id);

-- Jobs that read a piece of user data.
CREATE INDEX idx_job_input_user_data_user_data_id
    ON job_input_user_data(user_data_id);

-- Jobs that write a piece of user data.
CREATE INDEX idx_job_output_user_data_user_data_id
    ON job_output_user_data(user_data_id);

-- Jobs claimed by the sort method gpus_runtime_memory, the default. Number 11 of the documented list.
-- A claim that comes from job or ready_queue finds the requirements by rowid and sorts without this
-- index, only a listing of the requirements in this order reads it.
CREATE INDEX idx_resource_requirements_sort_gpus_runtime_memory
    ON resource_requirements(num_gpus, runtime_s, memory_bytes);

-- Jobs claimed by the other sort method, gpus_memory_runtime. The twin of number 11, and the 17th index,
-- which the documented list of 16 counts but does not name.
CREATE INDEX idx_resource_requirements_sort_gpus_memory_runtime
    ON resource_requirements(num_gpus, memory_bytes, runtime_s);

-- Workflows of a user that are archived, or that are not.
CREATE INDEX idx_workflow_user_archived
    ON workflow(user, is_archived);

-- Workflows of a user. A prefix of the one above, and narrower.
CREATE INDEX idx_workflow_user
    ON workflow(user);
