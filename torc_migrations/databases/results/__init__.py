"""What a database of any kind reports to the packages above: values only."""
