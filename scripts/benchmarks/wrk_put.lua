-- PUT different buffers of a size (the first argument after --): they differ in their last 16 bytes, a number
-- that is counted up from the second argument. Where they go is the path of the URL.

local TAIL = 16
local request_but_tail, number

function init(args)
   local size = tonumber(args[1])
   number = tonumber(args[2])
   local body = string.rep("0123456789abcdef", math.ceil(size / 16)):sub(1, size)
   request_but_tail = wrk.format("PUT", wrk.path, nil, body):sub(1, -TAIL - 1)
end

function request()
   number = number + 1
   return request_but_tail .. string.format("%016.0f", number)
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nfigures {"requests": %d, "bytes": %d, "microseconds": %d, "p50": %f, "p99": %f, ' ..
      '"status": %d, "socket": %d, "timeout": %d}\n',
      summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write, e.timeout))
end
