"""Read the files of tools that keep the up and the down script in one file."""
