-- Workflows, and the nodes that work for them.

-- name: workflows of a user
-- expect: SEARCH workflow USING INDEX idx_workflow_user (user=?)
SELECT *
FROM workflow
WHERE user = :user;

-- name: workflows of a user that are not archived
-- expect: SEARCH workflow USING INDEX idx_workflow_user_archived (user=? AND is_archived=?)
SELECT *
FROM workflow
WHERE user = :user
  AND is_archived = 0;

-- name: compute nodes of a workflow
-- expect: SEARCH compute_node USING INDEX idx_compute_node_workflow_id (workflow_id=?)
SELECT *
FROM compute_node
WHERE workflow_id = :workflow_id;

-- name: compute nodes of a workflow that are at work
-- expect: SEARCH compute_node USING INDEX idx_compute_node_workflow_active (workflow_id=? AND is_active=?)
SELECT *
FROM compute_node
WHERE workflow_id = :workflow_id
  AND is_active = 1;
