-- depends: 0_create_author
CREATE TABLE book (id INTEGER PRIMARY KEY);
