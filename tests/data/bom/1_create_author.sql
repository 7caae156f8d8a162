-- transactional: false
CREATE TABLE author (id INTEGER PRIMARY KEY);
