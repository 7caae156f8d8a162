-- In reverse, statement by statement.

DROP TABLE user_data;

DROP TABLE file;
