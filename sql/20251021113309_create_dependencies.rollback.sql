-- In reverse, statement by statement.

DROP TABLE job_output_user_data;

DROP TABLE job_input_user_data;

DROP TABLE job_output_file;

DROP TABLE job_input_file;

DROP TABLE job_blocked_by;
