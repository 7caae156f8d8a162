-- Dependencies between jobs, files and user data: the primary key serves one direction, an index the other.

-- name: jobs that a job waits for
-- expect: SEARCH job_blocked_by USING INDEX sqlite_autoindex_job_blocked_by_1 (job_id=?)
SELECT *
FROM job_blocked_by
WHERE job_id = :job_id;

-- name: jobs that wait for a job
-- expect: SEARCH job_blocked_by USING INDEX idx_job_blocked_by_blocked_by_job_id (blocked_by_job_id=?)
-- expect: SEARCH job USING INTEGER PRIMARY KEY (rowid=?)
SELECT job.*
FROM job_blocked_by
JOIN job ON job.id = job_blocked_by.job_id
WHERE job_blocked_by.blocked_by_job_id = :job_id;

-- name: jobs that read a file
-- expect: SEARCH job_input_file USING INDEX idx_job_input_file_file_id (file_id=?)
SELECT job_id
FROM job_input_file
WHERE file_id = :file_id;

-- name: jobs that write a file
-- expect: SEARCH job_output_file USING INDEX idx_job_output_file_file_id (file_id=?)
SELECT job_id
FROM job_output_file
WHERE file_id = :file_id;

-- name: jobs that read a piece of user data
-- expect: SEARCH job_input_user_data USING INDEX idx_job_input_user_data_user_data_id (user_data_id=?)
SELECT job_id
FROM job_input_user_data
WHERE user_data_id = :user_data_id;

-- name: jobs that write a piece of user data
-- expect: SEARCH job_output_user_data USING INDEX idx_job_output_user_data_user_data_id (user_data_id=?)
SELECT job_id
FROM job_output_user_data
WHERE user_data_id = :user_data_id;
