"""`python -m benchmarks freshness`: how soon a change made elsewhere shows in the answers."""
