-- Results and events.

-- name: results of a workflow
-- expect: SEARCH result USING INDEX idx_result_workflow_id (workflow_id=?)
SELECT *
FROM result
WHERE workflow_id = :workflow_id;

-- Every workflow counts its runs from 1, so the workflow is what narrows the search.
-- name: results of a run of a workflow
-- expect: SEARCH result USING INDEX idx_result_workflow_id (workflow_id=?)
SELECT *
FROM result
WHERE workflow_id = :workflow_id
  AND run_id = :run_id;

-- name: results of a run of every workflow
-- expect: SEARCH result USING INDEX idx_result_run_id (run_id=?)
SELECT *
FROM result
WHERE run_id = :run_id;

-- name: results of a job
-- expect: SEARCH result USING INDEX idx_result_job_id (job_id=?)
SELECT *
FROM result
WHERE job_id = :job_id;

-- name: the result of a job in a run
-- expect: SEARCH result USING INDEX sqlite_autoindex_result_1 (job_id=? AND run_id=?)
SELECT *
FROM result
WHERE job_id = :job_id
  AND run_id = :run_id;

-- name: events of a workflow
-- expect: SEARCH event USING INDEX idx_event_workflow_id (workflow_id=?)
-- refuse: USE TEMP B-TREE
SELECT *
FROM event
WHERE workflow_id = :workflow_id
ORDER BY id;
