"""What the ledgers say, what is installed, and what a run has to do; no file and no database is opened here."""
