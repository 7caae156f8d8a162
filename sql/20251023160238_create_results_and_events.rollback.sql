-- Children before parents.

DROP TABLE event;

DROP TABLE workflow_result;

DROP TABLE result;
