-- depends: 2_create_author
CREATE TABLE book (id INTEGER PRIMARY KEY);
