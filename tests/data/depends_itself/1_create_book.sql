-- depends: 1_create_book
CREATE TABLE book (id INTEGER PRIMARY KEY);
