-- How often one address may call, as achievements/api/throttling.py counts it: a fixed window,
-- one limit for all processes. The edge counts what it answers in its own memory and tells Redis
-- once a second; what others have counted there comes back with the answer.

local redis = require "redis"

local format, byte, sub = string.format, string.byte, string.sub
local now, floor, max, min = ngx.now, math.floor, math.max, math.min
local counted = ngx.shared.calls

local TELL_SECONDS = 1

local M = {}
local limit, window_seconds, policy -- no limit: nil
local told = {} -- name -> how much of our own count Redis knows; in the worker that tells

function M.configure(given)
  limit, window_seconds = given.limit, given.window_seconds
  policy = limit and format('"public";q=%d;w=%d', limit, window_seconds)
end

-- As Python writes it: one /64 of IPv6 is one client, and a mapped IPv4 address is IPv4.
function M.name_address(packed, text)
  if #packed == 4 then
    return text
  end
  if sub(packed, 1, 12) == "\0\0\0\0\0\0\0\0\0\0\255\255" then
    return format("%d.%d.%d.%d", byte(packed, 13, 16))
  end
  local groups, last = {}, 0
  for i = 1, 4 do
    local high, low = byte(packed, 2 * i - 1, 2 * i)
    groups[i] = format("%x", high * 256 + low)
    if groups[i] ~= "0" then
      last = i
    end
  end
  return table.concat(groups, ":", 1, last) .. "::/64"
end

-- Counts one call and writes the headers; returns the body of a refusal, nil when it is allowed.
function M.take(out)
  if not limit then
    return nil
  end
  local at = now()
  local window = floor(at / window_seconds)
  local address = M.name_address(ngx.var.binary_remote_addr, ngx.var.remote_addr)
  local name = "calls:public:address:" .. address .. ":" .. window
  local own = counted:incr(name, 1, 0, window_seconds + 1) or 1
  if own == 1 then
    counted:lpush("new", name)
  end
  local used = own + (counted:get("others:" .. name) or 0)
  local reset = max(1, floor((window + 1) * window_seconds - at + 0.999))
  out["RateLimit-Limit"] = limit
  out["RateLimit-Remaining"] = max(0, limit - used)
  out["RateLimit-Reset"] = reset
  out["RateLimit-Policy"] = policy
  if used <= limit then
    return nil
  end
  out["Retry-After"] = reset
  return format(
    '{"type":"about:blank","title":"Too Many Requests","status":429,'
      .. '"code":"too_many_requests","detail":"Try again in %d seconds.","errors":[]}',
    reset
  )
end

local function tell(premature)
  if premature then
    return
  end
  for _ = 1, counted:llen "new" or 0 do
    local name = counted:rpop "new"
    if name then
      told[name] = 0
    end
  end
  for name, known in pairs(told) do
    local own = counted:get(name)
    if not own then
      told[name] = nil -- its window is over
    elseif own > known then
      local total = redis.ask(name, format("INCRBY %s %d\r\n", name, own - known))
      if type(total) == "number" then
        told[name] = own
        counted:set("others:" .. name, max(0, total - own), window_seconds + 1)
        if known == 0 then
          redis.ask(name, format("EXPIRE %s %d\r\n", name, window_seconds + 1))
        end
      end
    else
      local total = tonumber(redis.ask(name, format("GET %s\r\n", name)) or own)
      counted:set("others:" .. name, max(0, total - own), window_seconds + 1)
    end
  end
end

-- In one worker; the count itself is shared by all.
function M.start()
  if limit and ngx.worker.id() == 0 then
    assert(ngx.timer.every(TELL_SECONDS, tell))
  end
end

return M
