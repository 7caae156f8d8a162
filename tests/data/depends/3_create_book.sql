-- depends: 1_create_author
-- depends: 2_create_shelf
CREATE TABLE book (
    author_id INTEGER REFERENCES author (id),
    shelf_id INTEGER REFERENCES shelf (id)
);
