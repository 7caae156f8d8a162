"""Read migrations from directories, packages and files."""
