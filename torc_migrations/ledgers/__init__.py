"""Read, record and erase in yoyo's and sqlx's tables."""
