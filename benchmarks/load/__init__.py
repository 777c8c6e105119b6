"""Load: wrk in a closed loop for all that is compared, and an open loop for latencies."""
