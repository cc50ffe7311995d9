-- Asks Redis: a single server, the master that Sentinel names, or the node of a cluster that holds
-- the key. A node that does not answer is left alone for a second; a master until the next look.

local sentinel = require "sentinel"

local tcp, now = ngx.socket.tcp, ngx.now
local bxor, band, lshift, rshift = bit.bxor, bit.band, bit.lshift, bit.rshift
local byte, sub, find, match = string.byte, string.sub, string.find, string.match

local CONNECT_MS, ANSWER_MS = 100, 250
local IDLE_MS, IDLE_CONNECTIONS = 60000, 128
local REST_SECONDS = 1
local MOST_REDIRECTS = 3

local M = {}
local nodes = {} -- as configured: "host:port"; of Sentinel none
local is_cluster, has_sentinel = false, false
local greeting, greetings = "", 0
local by_slot = {} -- slot -> "host:port", learned from the cluster's own words
local resting_until = {} -- node -> time

-- Set by the configuration file once:
--   nodes      list of "host:port": the server, seeds of a cluster, or the Sentinels
--   kind       "single", "cluster" or "sentinel"
--   service    what the Sentinels call the master
--   greeting   what is sent first on a new connection (AUTH, SELECT)
--   greetings  how many answers it gets
function M.configure(given)
  is_cluster, has_sentinel = given.kind == "cluster", given.kind == "sentinel"
  greeting, greetings = given.greeting, given.greetings
  if has_sentinel then
    sentinel.configure(given, M.is_master)
  else
    nodes = given.nodes
  end
end

-- In each worker.
function M.start()
  if has_sentinel then
    sentinel.start()
  end
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

local function connect(node, pool)
  local socket = tcp()
  socket:settimeouts(CONNECT_MS, ANSWER_MS, ANSWER_MS)
  local host, port = match(node, "^(.*):(%d+)$")
  local connected, failure = socket:connect(host, tonumber(port), { pool = pool or node })
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

-- Asked over a connection of its own, because others said it in their greeting alone.
function M.is_master(node)
  local socket = connect(node, "look " .. node)
  return socket ~= nil and socket:close() ~= nil
end

local function report(node, failure)
  if has_sentinel then
    sentinel.report(node)
  else
    resting_until[node] = now() + REST_SECONDS
  end
  ngx.log(ngx.WARN, "Redis at ", node, ": ", failure)
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
    report(node, failure)
    return nil
  end
  socket:setkeepalive(IDLE_MS, IDLE_CONNECTIONS)
  return line, value
end

local function is_resting(node)
  return (resting_until[node] or 0) > now()
end

local function choose(slot)
  if has_sentinel then
    return sentinel.find_master()
  end
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

-- Returns the node that a line "-MOVED slot host:port" names, and keeps it in mind; nil for others.
local function read_moved(line, slot)
  local host, port = match(line, "^%-MOVED %d+ (.*):(%d+)$")
  if host then
    by_slot[slot] = sentinel.write_node(host, port)
    return by_slot[slot]
  end
end

-- Returns the value under a key and a line's end (see exchange), or an integer answer as a number;
-- nil when there is none, and "away" as well when nobody answers. `command` is in Redis's inline
-- form and ends its line.
function M.ask(key, command)
  local slot = is_cluster and M.find_slot(key) or 0
  local node = choose(slot)
  for _ = 1, MOST_REDIRECTS do
    if not node or is_resting(node) then
      return nil, "away"
    end
    local line, value = exchange(node, command)
    if value then
      return value
    end
    if not line then
      by_slot[slot] = nil
      node = choose(slot) -- another one may know better
    elseif byte(line) == 58 then -- :number
      return tonumber(sub(line, 2))
    else
      node = read_moved(line, slot)
      if not node then
        return nil -- also ASK: a key on its way to another node is a miss, and Django finds it
      end
    end
  end
  return nil, "away"
end

-- Sends all commands of one node at once; puts a number into `answers` for each that was executed,
-- false for each that was surely not, nothing where nobody knows.
local function exchange_many(node, members, commands, answers)
  local socket, failure = connect(node)
  if not socket then
    for _, i in ipairs(members) do
      answers[i] = false
    end
    return report(node, failure)
  end
  local sent = {}
  for n, i in ipairs(members) do
    sent[n] = commands[i].text
  end
  local line
  line, failure = socket:send(sent)
  for _, i in ipairs(line and members or {}) do
    line, failure = socket:receive()
    if not line then
      break
    end
    answers[i] = tonumber(match(line, "^:(.+)")) or false
    if not answers[i] then
      read_moved(line, commands[i].slot)
    end
  end
  if failure then
    socket:close()
    return report(node, failure)
  end
  socket:setkeepalive(IDLE_MS, IDLE_CONNECTIONS)
end

-- Asks many things that have integers as their answers: `commands` is a list of { key, text }. Returns
-- a list as exchange_many makes it. A node that is away costs its own commands alone.
function M.ask_many(commands)
  local answers, by_node = {}, {}
  for i, command in ipairs(commands) do
    command.slot = is_cluster and M.find_slot(command.key) or 0
    answers[i] = false
  end
  for _ = 1, is_cluster and 2 or 1 do -- the second time those that the first has shown the way
    by_node = {}
    for i, command in ipairs(commands) do
      local node = answers[i] == false and choose(command.slot)
      if node then
        by_node[node] = by_node[node] or {}
        table.insert(by_node[node], i)
        answers[i] = nil
      end
    end
    for node, members in pairs(by_node) do
      exchange_many(node, members, commands, answers)
    end
  end
  return answers
end

return M
