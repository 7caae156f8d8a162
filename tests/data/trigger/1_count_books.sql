CREATE TABLE book (id INTEGER PRIMARY KEY, "end" TEXT);
CREATE TABLE total (books INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER book_added AFTER INSERT ON book BEGIN
    UPDATE total SET books = CASE WHEN books IS NULL THEN 1 ELSE books + 1 END;
    SELECT ';END;'; -- not the end; yet
END;
INSERT INTO book VALUES (1, ';');
