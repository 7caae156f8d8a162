-- Children before parents.

DROP TABLE job_internal;

DROP TABLE job;

DROP TABLE resource_requirements;
