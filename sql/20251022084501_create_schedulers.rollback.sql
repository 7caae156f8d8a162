-- In reverse, statement by statement.

DROP TABLE ready_queue;

DROP TABLE slurm_scheduler;

DROP TABLE local_scheduler;
