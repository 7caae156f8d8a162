"""A process of a fleet: read a job and databases from standard input, write results to standard output."""

from __future__ import annotations

import os
import pickle
import signal
import sys

from torc_migrations.services.workers import Job, perform_batch


def main() -> None:
    """Perform the job on each batch until standard input ends; begin nothing once the file exists that is named.

    Ctrl-C in a terminal reaches every process. This one ends what it has begun, and its parent sends no more.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what an application's function prints is no answer
    questions = sys.stdin.buffer
    stop = sys.argv[1]
    job: Job = pickle.load(questions)  # noqa: S301  # from the process that has started this one
    while True:
        try:
            batch = pickle.load(questions)  # noqa: S301
        except EOFError:
            return
        pickle.dump(perform_batch(job, batch, lambda: os.path.exists(stop)), answers)
        answers.flush()


if __name__ == "__main__":
    main()
