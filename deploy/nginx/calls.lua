-- How often one address may call, as achievements/api/throttling.py counts it: a fixed window,
-- one limit for all processes. The edge counts what it answers in its own memory and tells Redis
-- once a second; what others have counted there comes back with the answer.

local redis = require "redis"

local format, byte, sub = string.format, string.byte, string.sub
local now, floor, max, min = ngx.now, math.floor, math.max, math.min
local counted = ngx.shared.calls

local TELL_SECONDS = 1
local MOST_NAMES = 20000

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

-- Putting the names together costs as much as counting: a worker keeps those of a window.
local names, others_names, kept_window, kept = {}, {}, nil, 0

local function find_names(packed, window)
  if window ~= kept_window or kept > MOST_NAMES then
    names, others_names, kept_window, kept = {}, {}, window, 0
  end
  local name = names[packed]
  if not name then
    local address = M.name_address(packed, ngx.var.remote_addr)
    name, kept = "calls:public:address:" .. address .. ":" .. window, kept + 1
    names[packed], others_names[packed] = name, "others:" .. name
  end
  return name, others_names[packed]
end

-- Counts one call and writes the headers; returns the body of a refusal, nil when it is allowed.
function M.take(out)
  if not limit then
    return nil
  end
  local at = now()
  local window = floor(at / window_seconds)
  local name, others = find_names(ngx.var.binary_remote_addr, window)
  local own = counted:incr(name, 1, 0, window_seconds + 1) or 1
  if own == 1 then
    counted:lpush("new", name)
  end
  local used = own + (counted:get(others) or 0)
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

-- What was counted since the last time. A name that rests costs nothing.
local function tell_all()
  for _ = 1, counted:llen "new" or 0 do
    local name = counted:rpop "new"
    if name then
      told[name] = told[name] or 0
    end
  end
  for name, known in pairs(told) do
    local own = counted:get(name)
    if not own then
      told[name] = nil -- its window is over
    elseif own > known then
      local total, away = redis.ask(name, format("INCRBY %s %d\r\n", name, own - known))
      if away then
        return -- with all of it at the next time
      end
      if type(total) == "number" then
        told[name] = own
        counted:set("others:" .. name, max(0, total - own), window_seconds + 1)
        redis.ask(name, format("EXPIRE %s %d\r\n", name, window_seconds + 1))
      end
    end
  end
end

-- One after another: the next time is due a second after the last has ended.
local function tell(premature)
  if premature then
    return
  end
  local done, failure = pcall(tell_all)
  if not done then
    ngx.log(ngx.ERR, "counts were not told: ", failure)
  end
  ngx.timer.at(TELL_SECONDS, tell)
end

-- In one worker; the count itself is shared by all, and outlives a worker that died or a reload.
function M.start()
  if not limit or ngx.worker.id() ~= 0 then
    return
  end
  for _, name in ipairs(counted:get_keys(0)) do
    if name:find("calls:", 1, true) == 1 then
      told[name] = counted:get(name) -- what was not told before is lost, not told twice
    end
  end
  assert(ngx.timer.at(TELL_SECONDS, tell))
end

return M
