"""Where a request is read, and answered at once if all it needs is in memory. Read this first.

Theory of operation. A request for a file is decided by a sequence of questions:

    who asks?                                identity/           the credential, verified before
    what have they installed?                serving/lookups.py  their JSON file
    is it enabled, and at which version?     serving/lookups.py  their rows in the table
    what is the build of that version?       serving/shared_versions.py, only for a pinned URL
    what are the bytes of the file?          serving/asset_store.py, its representation

Slug, version and the path in the URL make the path of the file: that takes no question. A manifest
takes fewer questions of the same kind.

One synchronous function per route makes the decision, `HotRoute.answer_from_memory`. It asks a
basis (caching/basis.py) for each value:

- On the hot path the basis is `AT_HAND`. If a cache does not hold a value, or only one that is too
  old, `Pending` ends the decision, and nothing has been sent. Otherwise the answer is complete, a
  head and a body in memory: no await, no thread, no query, no look at the disk.
- On the cold path the basis waits for that value, and the function decides again from its
  beginning. Requests that wait for one key share one load.

The hot path answers only a *plain GET*, which has no range and no condition but If-None-Match, and
only if the request repeats no field. It answers no error: the cold path asks the sources again
before it refuses what was refused a while ago. Both paths give the same answers
(tests/hot_path/test_differential.py).

There is no second cache, of decisions or of answers. It would need to know all that a decision
rests on to be purged in time, would hold an entry for each user and file, and would help repeated
requests only. Without it, users and files are hot, not requests: the first request of a known user
for a file that anybody asked for before is answered at once, as the hundredth is.

    front.py      finds the route, and answers; an ASGI application for any server
    protocol.py   one client's connection under `gateway serve`: asks the front before there is a
                  scope or a task, or else begins an exchange
    exchange.py   one request that the application answers, as ASGI messages
    writing.py    the writing side of a connection
    deadlines.py  how long a connection waits for its client
    room.py       how many connections there may be
"""
