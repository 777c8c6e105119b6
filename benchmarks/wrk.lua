-- Figures of wrk in full precision, as one line of JSON that wrk.py reads: wrk -s wrk.lua URL
-- With requests from files, one file a thread, each sent as it stands: … URL -- FOLDER MODE
--   again: from the start when the file ends.
--   once:  the first thread that has sent its file ends the run.
--   all:   the run ends with the last answer (one thread). Costs wrk a callback for each answer.
-- Requests from files cost wrk half a microsecond more each than one that never changes.
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
   if #arguments == 0 then
      request, response = nil, nil -- wrk calls for each request what is defined
      return
   end
   local file = assert(io.open(arguments[1] .. "/" .. number, "rb"))
   local text = file:read("*a")
   file:close()
   requests, last = {}, 0
   local from = 1
   local _, till = string.find(text, END, from, true)
   while till do
      last = last + 1
      requests[last] = string.sub(text, from, till)
      from = till + 1
      _, till = string.find(text, END, from, true)
   end
   mode, place, answered = arguments[2], 0, 0
   -- wrk asks the first thread for one request that it does not send, to parse it.
   if number == 0 then place = -1 end
   if mode ~= "all" then response = nil end
   collectgarbage("stop")
end

function request()
   place = place + 1
   local text = requests[place]
   if text then
      if place == 1 then began_us = now_us() end
      return text
   end
   if place == 0 then return requests[1] end
   if mode == "again" then
      place = 1
      return requests[1]
   end
   if mode == "once" then finish() end
   return "" -- the connection rests
end

function response()
   answered = answered + 1
   if answered == last then finish() end
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
