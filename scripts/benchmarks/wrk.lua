-- Ask for the buffers named in a file (the first argument after --), if there is one, from a random
-- place on; and say at the end, on one line, what wrk knows exactly and prints rounded.

function init(args)
   if args[1] == nil then return end
   local requests = {}
   for name in io.lines(args[1]) do
      requests[#requests + 1] = wrk.format("GET", "/" .. name)
   end
   local at = tonumber(args[2]) % #requests
   request = function()
      at = at % #requests + 1
      return requests[at]
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nfigures {"requests": %d, "bytes": %d, "microseconds": %d, "p50": %f, "p99": %f, ' ..
      '"status": %d, "socket": %d, "timeout": %d}\n',
      summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write, e.timeout))
end
