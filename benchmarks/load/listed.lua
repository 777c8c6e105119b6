-- Requests from files, one file a thread, each sent as it stands: wrk listed.lua URL -- FOLDER again|once|all
--   again: from the start when the file ends.
--   once:  the first thread that has sent its file ends the run.
--   all:   the run ends with the last answer (one thread). Costs wrk a callback for each answer.
-- A thread finds the next request at the empty line that ends it, so nothing is made beforehand.
local ffi = require("ffi")
ffi.cdef [[
   typedef struct { long s; long ns; } moment;
   int clock_gettime(int clock, moment *now);
   int getpid(void);
   int kill(int pid, int signal);
]]
local threads = {}
local END, INTERRUPT, MONOTONIC = "\r\n\r\n", 2, 1

local function now_us()
   local now = ffi.new("moment")
   ffi.C.clock_gettime(MONOTONIC, now)
   return tonumber(now.s) * 1e6 + tonumber(now.ns) / 1e3
end

-- wrk sleeps until an interrupt, then asks its threads to end and calls `done`.
local function finish()
   if not ended_us then
      ended_us = now_us()
      ffi.C.kill(ffi.C.getpid(), INTERRUPT)
   end
end

function setup(thread)
   thread:set("number", #threads)
   table.insert(threads, thread)
end

function init(arguments)
   local file = assert(io.open(arguments[1] .. "/" .. number, "rb"))
   requests = file:read("*a")
   file:close()
   mode, place, sent, answered = arguments[2], 1, 0, 0
   -- wrk asks the first thread for one request that it does not send, to parse it.
   unsent = number == 0
   if mode ~= "all" then response = nil end
end

function request()
   local _, last = string.find(requests, END, place, true)
   if not last then
      if mode == "once" then finish() end
      if mode ~= "again" then return "" end -- the connection rests
      place = 1
      _, last = string.find(requests, END, place, true)
   end
   local found = string.sub(requests, place, last)
   if unsent then
      unsent = false
      return found
   end
   if sent == 0 then began_us = now_us() end
   place, sent = last + 1, sent + 1
   return found
end

function response()
   answered = answered + 1
   local _, last = string.find(requests, END, place, true)
   if not last and answered == sent then finish() end
end

function done(summary, latency)
   local e, duration_us = summary.errors, summary.duration
   if #threads == 1 and threads[1]:get("ended_us") then
      duration_us = threads[1]:get("ended_us") - threads[1]:get("began_us")
   end
   io.write(string.format(
      '{"requests": %d, "duration_us": %d, "received_bytes": %d, "p50_us": %.1f, "p99_us": %.1f, ' ..
      '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, duration_us, summary.bytes,
      latency:percentile(50), latency:percentile(99),
      e.connect, e.read, e.write, e.status, e.timeout))
end
