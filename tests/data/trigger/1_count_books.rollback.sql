DROP TRIGGER book_added;
DROP TABLE total;
DROP TABLE book;
