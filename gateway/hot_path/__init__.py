"""Where a request is read, and answered at once if all it needs is in memory. Read this first.

Theory of operation. A request for a file is decided by a sequence of questions:

    who asks?                                identity/        the credential, verified before
    what have they installed?                lookups.py       their JSON file (user_files.py)
    is it enabled, and at which version?     lookups.py       their rows in the table
    what is the build of that version?       shared_versions.py, only if the URL is pinned
    what are the bytes of the file?          asset_store.py   its representation

Slug, version and the path in the URL make the path of the file, so no question is needed for it.
The representation knows its variants, and these know the heads that were sent before: the answer
is a head and a body that are both in memory. A manifest takes fewer questions of the same kind.

Each decision is one synchronous function. It takes a basis (caching/basis.py) and asks it for
values, `basis.ask(layer, cache, key)`. There are two kinds of basis, and so two ways through the
same function:

- `AT_HAND` returns what the cache holds. If the value is missing, or too old to be used, it
  raises `Pending`, which names the cache and the key. `Front.answer_at_once` then gives up, and
  nothing has been sent. Without a `Pending` the answer is complete: no await, no thread, no
  query, no look at the disk. This is the hot path.
- `Basis` can wait. `Basis.settled(decide)` calls the function, and when it raises `Pending`,
  awaits that key of that cache and calls the function again from its beginning. What it has
  waited for holds until the request ends. This is the cold path. Requests that wait for one key
  share one load.

The hot path answers plain GETs only. All else takes the cold path: other methods, a body, a range,
a condition other than If-None-Match, a repeated field; and every error, because the cold path asks
the sources again before it refuses what was refused a while ago.

Under `gateway serve` the connection (protocol.py) calls `answer_at_once`, before there is a scope
or a task, and writes the answer itself. Under another server, or mounted in another application,
the ASGI application `Front` calls it as its first step. The hot and the cold path give the same
answers: tests/hot_path/test_differential.py compares them.

There is no second cache, of decisions or of answers. It would need to know all that a decision
rests on to be purged in time, would hold an entry for each user and file, and would help repeated
requests only. Without it, users and files are hot, not requests: the first request of a known user
for a file that anybody asked for before is answered at once, as the hundredth is.

    front.py      the decision, and the ASGI application that makes it
    protocol.py   one client's connection: reads requests, asks the front, or begins an exchange
    exchange.py   one request that the application answers, as ASGI messages
    writing.py    the writing side of a connection
    deadlines.py  how long a connection waits for its client
    room.py       how many connections there may be
"""
