-- How often one address may call, as achievements/api/throttling.py counts it: a fixed window,
-- one limit for all processes. The edge counts what it answers in its own memory. Of an address that
-- has made another hundredth of its limit it tells Redis, once a second; what others have counted
-- there comes back with the answer. So millions of addresses that call now and then cost nothing.

local redis = require "redis"

local format, byte, sub = string.format, string.byte, string.sub
local now, floor, max, min = ngx.now, math.floor, math.max, math.min
local counted, waiting = ngx.shared.calls, ngx.shared.waiting -- waiting: names to be told

local TELL_SECONDS = 1
local STEPS = 100 -- in which an address is told of until its limit
local NAMES_A_BATCH = 200
local NAMES_A_TIME = 10000
local MOST_NAMES = 20000

local M = {}
local limit, window_seconds, policy -- no limit: nil
local step -- calls of one address of which Redis may not know yet

function M.configure(given)
  limit, window_seconds = given.limit, given.window_seconds
  step = limit and max(1, floor(limit / STEPS))
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
  if own % step == 0 and own <= limit then
    if own * 10 < limit then
      waiting:lpush("names", name)
    else
      waiting:rpush("names", name) -- before all others: they may soon have to be refused
    end
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

-- How much of our own count Redis knows stands beside what others have, as its flags: it outlives a
-- reload and a worker that died. Returns others' calls and that.
local function read_told(name)
  local others, known = counted:get("others:" .. name)
  return others or 0, known or 0
end

local function write_told(name, others, known)
  counted:set("others:" .. name, others, window_seconds + 1, known)
end

-- What Redis has to hear of some names; a key that is new to us may have no end yet.
local function write_commands(names)
  local commands, counts = {}, {}
  for _, name in ipairs(names) do
    local own = counted:get(name) -- nil: its window is over
    local others, known = read_told(name)
    if own and own < known then
      known = 0 -- our own was forgotten for want of memory: what Redis knows of it is others' now
    end
    if own and own > known then
      commands[#commands + 1] = { key = name, text = format("INCRBY %s %d\r\n", name, own - known) }
      counts[#commands] = { name = name, own = own, others = others, known = known }
      write_told(name, others, own) -- before it is: what may have been told is not told again
      if known == 0 then
        local text = format("EXPIRE %s %d\r\n", name, window_seconds + 1)
        commands[#commands + 1] = { key = name, text = text }
      end
    end
  end
  return commands, counts
end

local function tell_some(names)
  local commands, counts = write_commands(names)
  local answers = redis.ask_many(commands)
  for i, count in pairs(counts) do
    if answers[i] then
      write_told(count.name, max(0, answers[i] - count.own), count.own)
    elseif answers[i] == false then
      write_told(count.name, count.others, count.known) -- with the next step
    end
  end
end

local function take_names()
  local names, is_taken = {}, {}
  for _ = 1, NAMES_A_BATCH do
    local name = waiting:rpop "names"
    if not name then
      break
    end
    if not is_taken[name] then
      is_taken[name] = true
      names[#names + 1] = name
    end
  end
  return names
end

-- No more than NAMES_A_TIME, so that requests are answered meanwhile; the rest wait a second.
local function tell_all()
  for _ = 1, NAMES_A_TIME / NAMES_A_BATCH do
    local names = take_names()
    if #names == 0 then
      return
    end
    tell_some(names)
  end
end

-- One after another: the next time is due a second after the last has ended.
local function tell(is_over)
  if is_over then
    return
  end
  local done, failure = pcall(tell_all)
  if not done then
    ngx.log(ngx.ERR, "counts were not told: ", failure)
  end
  ngx.timer.at(TELL_SECONDS, tell)
end

-- In one worker; the count itself is shared by all.
function M.start()
  if limit and ngx.worker.id() == 0 then
    assert(ngx.timer.at(TELL_SECONDS, tell))
  end
end

return M
