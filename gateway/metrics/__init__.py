"""What the gateway counts, in memory that all of its processes share. Theory of operation:

The supervisor makes one table of numbers before it starts workers (table.py). Each worker has a
column of its own, and each series of the catalogue (catalogue.py) has a row. A worker writes to its
column alone, at the moment at which it counts, so a worker that is killed loses nothing. Any worker
answers a scrape with the sum over all columns, and waits for nobody.

    own        what the supervisor counts itself, or the only process if there are no workers
    1, 2, …    one for each worker that runs
    retired    what the workers counted that have ended

When a worker has ended, the supervisor adds its counters to the retired ones and clears its column.
So no counter ever falls, and the gauges of a worker end with it. A reader sees a column either
before that or after it (see `Table`).

What other objects count anyway (caches, the system) is copied into the column ten times a second
while requests come, every two seconds otherwise, and before the process answers a scrape
(process.py).
"""
