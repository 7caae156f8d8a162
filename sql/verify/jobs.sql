-- Jobs: listing them, counting them, claiming them.

-- name: jobs of a workflow
-- expect: SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)
SELECT *
FROM job
WHERE workflow_id = :workflow_id;

-- The index holds the rowids of one workflow in order, so a page needs no sorting.
-- name: a page of the jobs of a workflow
-- expect: SEARCH job USING INDEX idx_job_workflow_id (workflow_id=?)
-- refuse: USE TEMP B-TREE
SELECT *
FROM job
WHERE workflow_id = :workflow_id
ORDER BY id
LIMIT :limit OFFSET :offset;

-- name: jobs of a workflow in a status
-- expect: SEARCH job USING INDEX idx_job_workflow_status (workflow_id=? AND status=?)
SELECT *
FROM job
WHERE workflow_id = :workflow_id
  AND status = :status;

-- Answered from the index alone, the table is not read.
-- name: how many jobs of a workflow are in each status
-- expect: SEARCH job USING COVERING INDEX idx_job_workflow_status (workflow_id=?)
-- refuse: USE TEMP B-TREE
SELECT status, COUNT(*)
FROM job
WHERE workflow_id = :workflow_id
GROUP BY status;

-- The two claims find the requirements by rowid and sort what is ready in a temporary tree. The two indexes on
-- resource_requirements serve neither.
-- name: ready jobs by gpus, runtime and memory
-- expect: SEARCH job USING INDEX idx_job_workflow_status (workflow_id=? AND status=?)
-- expect: SEARCH resource_requirements USING INTEGER PRIMARY KEY (rowid=?)
-- expect: USE TEMP B-TREE FOR ORDER BY
SELECT job.id
FROM job
JOIN resource_requirements ON resource_requirements.id = job.resource_requirements_id
WHERE job.workflow_id = :workflow_id
  AND job.status = 2
ORDER BY resource_requirements.num_gpus DESC,
         resource_requirements.runtime_s DESC,
         resource_requirements.memory_bytes DESC
LIMIT :limit;

-- name: ready jobs by gpus, memory and runtime
-- expect: SEARCH job USING INDEX idx_job_workflow_status (workflow_id=? AND status=?)
-- expect: SEARCH resource_requirements USING INTEGER PRIMARY KEY (rowid=?)
-- expect: USE TEMP B-TREE FOR ORDER BY
SELECT job.id
FROM job
JOIN resource_requirements ON resource_requirements.id = job.resource_requirements_id
WHERE job.workflow_id = :workflow_id
  AND job.status = 2
ORDER BY resource_requirements.num_gpus DESC,
         resource_requirements.memory_bytes DESC,
         resource_requirements.runtime_s DESC
LIMIT :limit;
