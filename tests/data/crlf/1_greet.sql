CREATE TABLE greeting (text TEXT);
INSERT INTO greeting VALUES ('good
morning');
