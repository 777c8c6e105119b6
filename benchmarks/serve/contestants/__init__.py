"""Who is measured. An open set: one server, one file; add it here.

The bare application is not among them: it is made from the gateway's answers (bare.py).
"""

from benchmarks.serve.contestants.caddy import Caddy
from benchmarks.serve.contestants.contestant import Contestant
from benchmarks.serve.contestants.gateway import Gateway
from benchmarks.serve.contestants.nginx import Nginx
from benchmarks.serve.contestants.servestatic import ServeStatic
from benchmarks.serve.contestants.staticfiles import StaticFilesServer
from benchmarks.serve.contestants.uncached import Uncached

CONTESTANTS: tuple[Contestant, ...] = (
    Gateway(),
    Uncached(),
    StaticFilesServer(),
    ServeStatic(),
    Caddy(),
    Nginx(),
)
