-- The indexes only, not a row is touched.

DROP INDEX idx_workflow_user;

DROP INDEX idx_workflow_user_archived;

DROP INDEX idx_resource_requirements_sort_gpus_memory_runtime;

DROP INDEX idx_resource_requirements_sort_gpus_runtime_memory;

DROP INDEX idx_job_output_user_data_user_data_id;

DROP INDEX idx_job_input_user_data_user_data_id;

DROP INDEX idx_job_output_file_file_id;

DROP INDEX idx_job_input_file_file_id;

DROP INDEX idx_job_blocked_by_blocked_by_job_id;

DROP INDEX idx_compute_node_workflow_id;

DROP INDEX idx_compute_node_workflow_active;

DROP INDEX idx_event_workflow_id;

DROP INDEX idx_result_job_id;

DROP INDEX idx_result_workflow_id;

DROP INDEX idx_result_run_id;

DROP INDEX idx_job_workflow_id;

DROP INDEX idx_job_workflow_status;
