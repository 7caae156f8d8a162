"""What the tables of both ledgers are called where nobody says otherwise."""

YOYO_TABLE = "_yoyo_migration"
SQLX_TABLE = "_sqlx_migrations"
