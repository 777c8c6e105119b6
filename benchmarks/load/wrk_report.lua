-- Figures in full precision, for load/report.py. wrk counts latencies and durations in µs.
-- Only `done`: a `request` or `response` here would be called for every request.
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '{"requests": %d, "duration_us": %d, "received_bytes": %d, "p50_us": %.1f, "p99_us": %.1f, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      e.connect, e.read, e.write, e.status, e.timeout))
end
