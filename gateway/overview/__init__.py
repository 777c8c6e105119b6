"""What all workers of a gateway are doing, for the people who look after it.

    shared_texts   texts in memory that all processes share
    recent         the most refused and the slowest requests of a process
    probes         looks at folders that no request asks for
    own_report     what a process says of itself, once a second
    reports        the reports of all processes
    samples        what happened in an interval, from the metrics' sums
    history        the samples of the last ten minutes, which the supervisor takes
    facts          what reports and samples say of the sources and the gateway
    verdicts       is it the database, the disk, or us?
    state          all of that as plain values
    overview       what the rest of the gateway uses

Nothing here is written or read on the hot path. docs/how-to/monitoring/README.md says
what people see.
"""
