"""What all workers of a gateway are doing, for the people who look after it.

    shared_texts   texts in memory that all processes share
    recent         the most refused and the slowest requests of a process
    reports        what each worker says of itself
    samples        what happened in an interval, out of the metrics' sums
    history        the samples of the last ten minutes
    verdicts       is it the database, the disk, or us?

Nothing here is written or read on the hot path.
"""
