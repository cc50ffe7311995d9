-- The edge: answers reads of documents straight from Redis as Django would, and hands over to
-- Django whatever needs more than that. The layout of a document is that of
-- achievements/documents.py, its headers those of achievements/api/documents.py and fast_lane.py.

local redis = require "redis"
local calls = require "calls"
local inflate = require "inflate"

local byte, sub, find, format = string.byte, string.sub, string.find, string.format
local now, exec, print = ngx.now, ngx.exec, ngx.print
local counters = ngx.shared.counters

local HEADER_LENGTH = 61
local EARLY_SECONDS = 1 -- as in achievements/documents.py
local EDITION_SECONDS = 1
local CATALOGUE_FRESH_SECONDS = 300
local LETTER_O, LETTER_Z = byte("o"), byte("z")

local M = {}
local options -- see configure
local edition = { digits = nil, read_at = 0 }

-- Set by the configuration file once, before requests come:
--   origins        set of origins that other sites' pages may call from
--   any_origin     whether all may
--   hosts          list of hosts that are ours: "name", ".suffix" or "*"
--   session_cookie name of the cookie of staff sessions
--   exposed        what Access-Control-Expose-Headers says
function M.configure(given)
  options = given
end

local function count(what)
  counters:incr(what, 1, 0)
end

local function hand_over(why)
  count(why)
  return exec "@site"
end

-- The edition of the published rules, or nil when nobody knows it: documents of others are old.
local function read_edition()
  local at = now()
  if at - edition.read_at > EDITION_SECONDS then
    edition.read_at = at
    local head = redis.ask("achievements:rulebook", "GETRANGE achievements:rulebook 0 31\r\n")
    local version = head and head:match '^{"version":(%d+),'
    edition.digits = version and format("%08x", tonumber(version))
  end
  return edition.digits
end

local function is_our_host(host)
  for _, allowed in ipairs(options.hosts) do
    if allowed == "*" or allowed == host then
      return true
    end
    if byte(allowed) == 46 and (sub(host, -#allowed) == allowed or host == sub(allowed, 2)) then
      return true
    end
  end
  return false
end

-- A header as one text, also when it was sent more than once.
local function read(headers, name)
  local value = headers[name]
  return type(value) == "table" and table.concat(value, ", ") or value
end

local function accepts_json(accept)
  return not accept or accept == "" or find(accept, "*/*", 1, true)
    or find(accept, "application/json", 1, true) or find(accept, "application/*", 1, true)
end

-- Whether only Django can answer: it knows tokens, sessions and fields, and refuses what is wrong.
local function needs_site(headers, method)
  if method ~= "GET" and method ~= "HEAD" then
    return true
  end
  local cookie = read(headers, "cookie")
  return headers["authorization"] or ngx.var.is_args ~= ""
    or (cookie and find(cookie, options.session_cookie .. "=", 1, true))
    or not accepts_json(read(headers, "accept")) or not is_our_host(ngx.var.host)
end

local function write_cors(out, origin)
  if options.any_origin then
    out["Access-Control-Allow-Origin"] = "*"
  elseif options.origins[origin] then
    out["Access-Control-Allow-Origin"] = origin
  else
    return
  end
  out["Access-Control-Expose-Headers"] = options.exposed
end

local function is_held(wanted, etag)
  return wanted and (find(wanted, '"' .. etag .. '"', 1, true) or wanted == "*")
end

-- Whether it should be refreshed: by then Django, too, is likely to find that it should.
local function is_due(value, fresh_seconds)
  local at = now()
  local left = tonumber(sub(value, 37, 44), 16) - at
  if left < 20 * EARLY_SECONDS and left <= -EARLY_SECONDS * math.log(1 - math.random()) then
    return true
  end
  return fresh_seconds and at - tonumber(sub(value, 29, 36), 16) > fresh_seconds
end

-- Answers with what is under `name`, or hands over. `fresh_seconds`: an older one is refreshed.
function M.serve(name, cache_control, fresh_seconds)
  local headers = ngx.req.get_headers()
  if needs_site(headers, ngx.req.get_method()) then
    return hand_over "passed"
  end
  local value = redis.ask(name, "GET " .. name .. "\r\n")
  if not value or byte(value, 1) ~= 76 or byte(value, 2) ~= 50 then -- L2
    return hand_over "miss"
  end
  if byte(value, 3) ~= LETTER_O then
    return hand_over "passed" -- private: Django knows who asks
  end
  if sub(value, 21, 28) ~= read_edition() or is_due(value, fresh_seconds) then
    return hand_over "miss"
  end

  local out = ngx.header
  local refusal = calls.take(out)
  local origin = read(headers, "origin")
  if origin then
    write_cors(out, origin)
  end
  if refusal then
    count "limited"
    ngx.status = 429
    out["Content-Type"] = "application/problem+json"
    out["Cache-Control"] = "no-store"
    out["Content-Length"] = #refusal
    return print(refusal)
  end

  count "hit"
  local etag = sub(value, 45, 60)
  out["ETag"] = 'W/"' .. etag .. '"'
  out["Cache-Control"] = cache_control
  if is_held(read(headers, "if-none-match"), etag) then
    ngx.status = 304
    return ngx.send_headers() -- not exit: that clears the ETag
  end
  local body = sub(value, HEADER_LENGTH + 1)
  if byte(value, 4) == LETTER_Z then
    local encodings = read(headers, "accept-encoding")
    if encodings and find(encodings, "gzip", 1, true) and not find(encodings, "q=0", 1, true) then
      out["Content-Encoding"] = "gzip"
    else
      body = inflate(body)
      if not body then
        return hand_over "miss"
      end
    end
  end
  out["Content-Length"] = #body
  print(body)
end

-- The counters in the format of Prometheus.
function M.show_metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  print "# HELP laurel_edge_requests Reads of documents at the edge, by what became of them.\n"
  print "# TYPE laurel_edge_requests counter\n"
  for _, what in ipairs { "hit", "miss", "passed", "limited" } do
    print(format('laurel_edge_requests{outcome="%s"} %d\n', what, counters:get(what) or 0))
  end
end

return M
