-- Children before parents.

DROP TABLE workflow;

DROP TABLE workflow_status;
