"""One file for each verb: its arguments in `add_parser`, its work in `run`."""
