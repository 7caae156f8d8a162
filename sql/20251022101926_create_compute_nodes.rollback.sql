-- In reverse, statement by statement.

DROP TABLE scheduled_compute_node;

DROP TABLE compute_node;
