CREATE TABLE book (
    id INTEGER PRIMARY KEY,
    author_id INTEGER NOT NULL REFERENCES author (id) ON DELETE CASCADE
);
CREATE INDEX idx_book_author_id ON book (author_id);
