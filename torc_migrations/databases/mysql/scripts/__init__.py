"""Scripts for MariaDB and MySQL: cut into statements, run, and noted while they run."""
