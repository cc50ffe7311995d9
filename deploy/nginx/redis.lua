-- Asks Redis one thing: a single server, one of several (Sentinel), or the node of a cluster that
-- holds the key. A node that does not answer is left alone for a second.

local tcp, now = ngx.socket.tcp, ngx.now
local bxor, band, lshift, rshift = bit.bxor, bit.band, bit.lshift, bit.rshift
local byte, sub, find, match = string.byte, string.sub, string.find, string.match

local CONNECT_MS, ANSWER_MS = 100, 250
local IDLE_MS, IDLE_CONNECTIONS = 60000, 128
local REST_SECONDS = 1
local MOST_REDIRECTS = 3

local M = {}
local nodes = {} -- as configured: "host:port"
local is_cluster = false
local greeting -- sent first on a new connection: AUTH and SELECT
local greetings = 0 -- how many answers it gets
local by_slot = {} -- slot -> "host:port", learned from the cluster's own words
local resting_until = {} -- node -> time

function M.configure(given)
  nodes, is_cluster = given.nodes, given.is_cluster
  greeting, greetings = given.greeting or "", given.greetings or 0
end

-- CRC16 (XMODEM) of the key, or of what its braces hold, as the cluster's specification says.
local crc_table = {}
for i = 0, 255 do
  local crc = lshift(i, 8)
  for _ = 1, 8 do
    crc = band(crc, 0x8000) ~= 0 and bxor(lshift(crc, 1), 0x1021) or lshift(crc, 1)
    crc = band(crc, 0xffff)
  end
  crc_table[i] = crc
end

function M.find_slot(key)
  local tag = match(key, "{([^}]+)}") or key
  local crc = 0
  for i = 1, #tag do
    crc = bxor(band(lshift(crc, 8), 0xffff), crc_table[bxor(rshift(crc, 8), byte(tag, i))])
  end
  return band(crc, 16383)
end

-- Returns one answer whatever its kind; of a list nothing but its end.
local function receive(socket)
  local line = socket:receive() or ""
  local kind, number = byte(line), tonumber(sub(line, 2))
  if kind == 36 and number and number >= 0 then -- $length
    return sub(socket:receive(number + 2) or "", 1, -3)
  elseif kind == 42 then -- *count
    for _ = 1, number or 0 do
      receive(socket)
    end
  end
  return line
end

-- Says who we are and asks whether it is a master: a replica may lack a deletion for as long as it
-- has lost its master. A server that is demoted closes its connections, so once each is enough.
local function greet(socket)
  socket:send(greeting .. "ROLE\r\n")
  for _ = 1, greetings do
    local line, failure = socket:receive()
    if not line or byte(line) == 45 then
      return line or failure
    end
  end
  local role
  local count = tonumber(match(socket:receive() or "", "^%*(%d+)$"))
  if not count then
    return "no answer to ROLE"
  end
  for number = 1, count do -- strings, integers, or (of a master) a list of lists of strings
    local value = receive(socket)
    role = number == 1 and value or role
  end
  return role ~= "master" and "a replica" or nil
end

local function connect(node)
  local socket = tcp()
  socket:settimeouts(CONNECT_MS, ANSWER_MS, ANSWER_MS)
  local host, port = match(node, "^(.*):(%d+)$")
  local connected, failure = socket:connect(host, tonumber(port), { pool = node })
  if not connected then
    return nil, failure
  end
  if socket:getreusedtimes() == 0 then
    failure = greet(socket)
    if failure then
      socket:close()
      return nil, failure
    end
  end
  return socket
end

-- Returns the line, and the bytes of an answer that has some, with the line's end that follows
-- them: cutting it off would copy a whole document. Nil when the node is away.
local function exchange(node, command)
  local socket, failure = connect(node)
  local line, value
  if socket then
    line, failure = socket:send(command)
    line, failure = socket:receive()
  end
  if line and byte(line) == 36 and line ~= "$-1" then -- $length
    value, failure = socket:receive(tonumber(sub(line, 2)) + 2)
  end
  if not line or failure then
    if socket then
      socket:close()
    end
    resting_until[node] = now() + REST_SECONDS
    ngx.log(ngx.WARN, "Redis at ", node, ": ", failure)
    return nil
  end
  socket:setkeepalive(IDLE_MS, IDLE_CONNECTIONS)
  return line, value
end

local function is_resting(node)
  return (resting_until[node] or 0) > now()
end

local function choose(slot)
  local known = slot and by_slot[slot]
  if known and not is_resting(known) then
    return known
  end
  for _, node in ipairs(nodes) do
    if not is_resting(node) then
      return node
    end
  end
end

-- Returns the value under a key and a line's end (see exchange), or an integer answer as a number; nil when there is none, and
-- "away" as well when nobody answers. `command` is in Redis's inline form and ends its line.
function M.ask(key, command)
  local slot = is_cluster and M.find_slot(key)
  local node = choose(slot)
  local sent = command
  for _ = 1, MOST_REDIRECTS do
    if not node or is_resting(node) then
      return nil, "away"
    end
    local line, value = exchange(node, sent)
    if value then
      return value
    end
    if not line then
      by_slot[slot or ""] = nil
      node, sent = choose(slot), command -- another one may know better
    elseif byte(line) == 58 then -- :number
      return tonumber(sub(line, 2))
    elseif find(line, "^%-MOVED ") then
      node, sent = match(line, "(%S+)$"), command
      by_slot[slot or ""] = node
    else
      return nil -- also ASK: a key on its way to another node is a miss, and Django finds it
    end
  end
  return nil, "away"
end

return M
