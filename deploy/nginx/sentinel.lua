-- Who is master, as the Sentinels say. Each worker looks once a second, and at once when the master
-- fails to answer. A server is read only after it answered as a master itself and the Sentinels named
-- it after that: one that hung is left before Sentinel replaces it, and is asked about when it wakes.

local tcp = ngx.socket.tcp
local match = string.match

local CONNECT_MS, ANSWER_MS = 100, 250
local LOOK_SECONDS = 1

local M = {}
local sentinels, question -- "host:port" of each; what it is asked
local is_master -- tells whether a node says so itself
local named, epoch = nil, -1 -- the last word of the Sentinels: a node, and the failover that made it
local master -- the node that may be read, if any
local is_looking = false

-- The strings of a reply that is a list of strings.
local function receive_list(socket)
  local texts = {}
  local count = tonumber(match(socket:receive() or "", "^%*(%d+)$"))
  for i = 1, count or 0 do
    local length = tonumber(match(socket:receive() or "", "^%$(%d+)$"))
    local text = length and socket:receive(length + 2)
    texts[i] = text and text:sub(1, -3)
  end
  return texts
end

-- Returns the master's node and the number of the failover that made it one; nil without an answer.
local function ask(sentinel)
  local socket = tcp()
  socket:settimeouts(CONNECT_MS, ANSWER_MS, ANSWER_MS)
  local host, port = match(sentinel, "^(.*):(%d+)$")
  if not socket:connect(host, tonumber(port)) then
    return nil
  end
  socket:send(question)
  -- The second reply has an address too, but the old one until the failover is over.
  local address, fields = receive_list(socket), receive_list(socket)
  socket:close()
  for i = 1, #fields, 2 do
    if fields[i] == "config-epoch" and address[2] then
      return M.write_node(address[1], address[2]), tonumber(fields[i + 1])
    end
  end
end

function M.write_node(host, port)
  return (host:find(":", 1, true) and "[" .. host .. "]" or host) .. ":" .. port
end

-- The word of the latest failover counts: a Sentinel that was cut off has not heard of it. Where all
-- of them speak of an earlier one they were set up anew.
local function ask_all()
  local node, latest, answers = nil, -1, 0
  for _, sentinel in ipairs(sentinels) do
    local its_node, its_epoch = ask(sentinel)
    if its_node then
      answers = answers + 1
      if its_epoch >= latest then
        node, latest = its_node, its_epoch
      end
    end
  end
  if node and (latest >= epoch or answers == #sentinels) then
    epoch = latest
    return node
  end
  return named -- while none of them answers, the last one that they named
end

local function look()
  for _ = 1, 2 do -- another one than expected answers for itself, too
    local answered = named and is_master(named)
    local before = named
    named = ask_all()
    master = answered and named == before and named or nil
    if named == before then
      return
    end
  end
end

local function look_once(is_over)
  if is_over or is_looking then
    return
  end
  is_looking = true
  local done, failure = pcall(look)
  is_looking = false
  if not done then
    ngx.log(ngx.ERR, "nobody knows the master: ", failure)
  elseif not master then
    ngx.log(ngx.WARN, "Redis: no master at ", named)
  end
end

-- `test(node)` tells whether a node answers as a master.
function M.configure(given, test)
  sentinels, is_master = given.nodes, test
  local service = given.service
  question = "SENTINEL GET-MASTER-ADDR-BY-NAME " .. service .. "\r\n"
    .. "SENTINEL MASTER " .. service .. "\r\n"
end

function M.start()
  assert(ngx.timer.at(0, look_once))
  assert(ngx.timer.every(LOOK_SECONDS, look_once))
end

-- Returns the node to read, nil while nobody is known to be the one.
function M.find_master()
  return master
end

-- It did not answer: it is not read before the next look has asked it and the Sentinels.
function M.report(node)
  if node == master then
    master = nil
    ngx.timer.at(0, look_once)
  end
end

return M
