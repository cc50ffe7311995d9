-- The edge: answers reads of documents straight from Redis as Django would, and hands over to
-- Django whatever needs more than that. The layout of a document is that of
-- achievements/documents.py, its headers those of achievements/api/documents.py and fast_lane.py.

local redis = require "redis"
local calls = require "calls"
local inflate = require "inflate"

local byte, sub, find, format = string.byte, string.sub, string.find, string.format
local match, gmatch, gsub, lower = string.match, string.gmatch, string.gsub, string.lower
local now, exec, print = ngx.now, ngx.exec, ngx.print
local counters = ngx.shared.counters

local HEADER_LENGTH = 61
local EARLY_SECONDS = 1 -- as in achievements/documents.py
local EDITION_SECONDS = 1
local EDITION_KEPT_SECONDS = 4 -- while the node that knows it is away
local LETTER_O, LETTER_Z = byte("o"), byte("z")

local MOST_TEXTS, LONGEST_TEXT = 1000, 200

-- What nginx itself refuses, or what became of a site that is away, in the words of
-- achievements/api/problems.py.
local REFUSALS = {
  [400] = { "Bad Request", "bad_request", "The request cannot be read." },
  [405] = { "Method Not Allowed", "method_not_allowed", "This method is not known here." },
  [413] = { "Request Entity Too Large", "too_large", "The body is too large." },
  [414] = { "Request-URI Too Long", "too_large", "The address is too long." },
  [431] = { "Request Header Fields Too Large", "too_large",
    "There are too many headers, or too long ones." },
  [500] = { "Internal Server Error", "internal_error",
    "Something went wrong on our side; it has been logged." },
  [501] = { "Not Implemented", "not_implemented",
    "The body is sent in a way that is not known here." },
  [503] = { "Service Unavailable", "unavailable", "The site cannot be reached now." },
  [505] = { "HTTP Version Not Supported", "error", "Speak HTTP/1.1." },
}

local M = {}
local options -- see configure
local edition = { digits = nil, read_at = 0, known_at = 0 }

-- Set by the configuration file once, before requests come:
--   origins        set of origins that other sites' pages may call from
--   hosts          list of hosts that are ours, in small letters: "name", ".suffix" or "*"
--   needs_https    whether the site redirects everything else
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
    local head, away = redis.ask("achievements:rulebook", "GETRANGE achievements:rulebook 0 31\r\n")
    local version = head and head:match '^{"version":(%d+),'
    if version then
      edition.digits, edition.known_at = format("%08x", tonumber(version)), at
    elseif not away or at - edition.known_at > EDITION_KEPT_SECONDS then
      edition.digits = nil
    end
  end
  return edition.digits
end

-- The same few texts come with nearly every request: what was found out of each is kept.
local function remember(judge)
  local kept, number = {}, 0
  return function(text)
    if #text > LONGEST_TEXT then
      return judge(text)
    end
    local judged = kept[text]
    if judged == nil then
      if number >= MOST_TEXTS then
        kept, number = {}, 0
      end
      judged, number = judge(text), number + 1
      kept[text] = judged
    end
    return judged
  end
end

-- Of a Host header, with or without a port; one that is not plain is Django's to judge.
local is_our_host = remember(function(text)
  local host = gsub(lower(text), ":%d+$", "")
  if not match(host, "^[a-z0-9.-]+$") and not match(host, "^%[[a-f0-9]*:[a-f0-9.:]+%]$") then
    return false
  end
  host = gsub(host, "%.$", "")
  for _, allowed in ipairs(options.hosts) do
    if allowed == "*" or allowed == host then
      return true
    end
    if byte(allowed) == 46 and (sub(host, -#allowed) == allowed or host == sub(allowed, 2)) then
      return true
    end
  end
  return false
end)

-- As accepts_gzip in achievements/api/documents.py.
local accepts_gzip = remember(function(encodings)
  for part in gmatch(lower(encodings), "[^,]+") do
    local coding, quality = match(part, "^%s*([^;]*);?(.*)$")
    coding = match(coding, "^(.-)%s*$")
    if coding == "gzip" or coding == "*" then
      quality = gsub(quality, " ", "")
      return not match(quality, "^q=0$") and not match(quality, "^q=0%.00?0?$")
    end
  end
  return false
end)

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
  local cookie, host = read(headers, "cookie"), read(headers, "host")
  return headers["authorization"] or ngx.var.is_args ~= ""
    or (cookie and find(cookie, options.session_cookie .. "=", 1, true))
    or not accepts_json(read(headers, "accept")) or not host or not is_our_host(host)
    or headers["if-match"] or headers["if-unmodified-since"] -- nginx would answer them in its way
    or ngx.var.request_uri ~= ngx.var.uri -- encoded or repeated slashes: Django has its own mind
    or (options.needs_https and ngx.var.forwarded_proto ~= "https")
end

local function write_cors(out, origin)
  if options.origins[origin] then
    out["Access-Control-Allow-Origin"] = origin
    out["Access-Control-Expose-Headers"] = options.exposed
  end
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

-- Returns the body as the client takes it, and its encoding; nil for what is not gzip after all.
local function unpack_body(value, encodings)
  local packed = sub(value, HEADER_LENGTH + 1, -3)
  if byte(value, 4) ~= LETTER_Z then
    return packed
  end
  if encodings and accepts_gzip(encodings) then
    return packed, "gzip"
  end
  return inflate(packed)
end

-- Answers with what is under `name`, or hands over. `fresh_seconds`: an older one is refreshed.
function M.serve(name, cache_control, fresh_seconds)
  local headers, failure = ngx.req.get_headers()
  if failure then
    return M.refuse(431) -- the site takes no more of them either; one of them might be a token
  end
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
  local current = read_edition()
  if not current or sub(value, 21, 28) < current or is_due(value, fresh_seconds) then
    return hand_over "miss"
  end

  local etag = sub(value, 45, 60)
  local has_copy = is_held(read(headers, "if-none-match"), etag)
  local body, encoding
  if not has_copy then
    body, encoding = unpack_body(value, read(headers, "accept-encoding"))
    if not body then
      return hand_over "miss"
    end
  end

  -- From here on nothing is handed over: what is said here would be said twice.
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
  out["ETag"] = 'W/"' .. etag .. '"'
  out["Cache-Control"] = cache_control
  if has_copy then
    ngx.status = 304
    return ngx.send_headers() -- not exit: that clears the ETag
  end
  out["Content-Encoding"] = encoding
  out["Content-Length"] = #body
  print(body)
end

-- Answers with a problem: what nginx found wrong, or the status that is given.
function M.refuse(status)
  status = REFUSALS[status or ngx.status] and (status or ngx.status) or 400
  local out, origin = ngx.header, read(ngx.req.get_headers(), "origin")
  if origin then
    write_cors(out, origin)
  end
  local body = format(
    '{"type":"about:blank","title":"%s","status":%d,"code":"%s","detail":"%s","errors":[]}',
    REFUSALS[status][1], status, REFUSALS[status][2], REFUSALS[status][3]
  )
  ngx.status = status
  out["Content-Type"] = "application/problem+json"
  out["Cache-Control"] = "no-store"
  out["Content-Length"] = #body
  out["Allow"] = status == 405 and "GET, HEAD, POST, OPTIONS" or nil
  out["Retry-After"] = status == 503 and 5 or nil
  return print(body)
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
