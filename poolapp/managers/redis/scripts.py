"""What Redis does in one step: documents and their indexes are never out of step.

Keys of one manager, all of one hash tag:

======== ==================================================================================
``:d:pk`` a hash: field -> JSON, and under ``""`` the version, which every write changes
``:i:x``  a sorted set, an index of the field x: value, NUL, something of the pk (see Layout)
``:p``    the same for the primary key
``:e``    a hash: pk -> its members in the indexes other than ``:p``, in their order
``:t``    a sorted set: member of ``:p``, by the time in ms at which the document expires
``:c``    which indexes are complete: ``=`` and their names; ``~`` while they are built, ``!`` when
          one who knows other indexes has written
======== ==================================================================================

A document that expires, or is evicted, takes nothing along from the indexes: that is cleared by
whoever comes next, in steps of ``STEP``, so that the server is never held up for long. Where ``:t``
is wrong (somebody else has set another time) the document's own time counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

STEP = 500
"""Documents that one call of a script looks at, at the most."""

_SHARED = """
local doc, p, e, t, c, tails = ARGV[1], KEYS[1], KEYS[2], KEYS[3], KEYS[4], tonumber(ARGV[2])
local function tail_of(member)
  return string.sub(member, string.find(member, '\\0', 1, true) + 1)
end
local function pk_of(member)
  local tail = tail_of(member)
  return tails == 1 and tail or tail_of(tail)
end
local function listed(member)
  local tail = tail_of(member)
  if tails == 2 then
    return string.sub(tail, 1, string.find(tail, '\\0', 1, true)) .. tail
  end
  local text = string.gsub(tail, '[%z\\1]', {['\\0'] = '\\1\\1', ['\\1'] = '\\1\\2'})
  return '1' .. text .. '\\0' .. tail
end
local function unlist(pk)
  local old = redis.call('HGET', e, pk)
  if old then
    for name, member in pairs(cmsgpack.unpack(old)) do
      redis.call('ZREM', doc .. 'i:' .. name, member)
    end
    redis.call('HDEL', e, pk)
  end
end
local function drop(member)
  unlist(pk_of(member))
  redis.call('ZREM', p, member)
  redis.call('ZREM', t, member)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function purge(most)
  local gone = redis.call('ZRANGEBYSCORE', t, '-inf', '(' .. now, 'LIMIT', 0, most)
  for _, member in ipairs(gone) do
    local left = redis.call('PTTL', doc .. 'd:' .. pk_of(member))
    if left == -2 then
      drop(member)
    elseif left == -1 then
      redis.call('ZREM', t, member)
    else
      redis.call('ZADD', t, string.format('%.0f', now + left + 1), member)
    end
  end
  return #gone == most
end
local function sound(names)
  if KEYS[5] == p then return true end
  local said = redis.call('GET', c)
  if said == '=' .. names or said == '~' .. names then return true end
  if not said and redis.call('EXISTS', p) == 0 then return true end
  return false
end
local function expire(member, ttl)
  local key = doc .. 'd:' .. pk_of(member)
  if ttl == '' then
    redis.call('PERSIST', key)
    redis.call('ZREM', t, member)
  else
    local at = string.format('%.0f', now + ttl)
    redis.call('PEXPIREAT', key, at)
    redis.call('ZADD', t, at, member)
  end
end
local function enlist(pk, changed)
  local old = redis.call('HGET', e, pk)
  old = old and cmsgpack.unpack(old) or {}
  for name, member in pairs(changed) do
    if old[name] ~= member then
      if old[name] then redis.call('ZREM', doc .. 'i:' .. name, old[name]) end
      redis.call('ZADD', doc .. 'i:' .. name, 0, member)
      old[name] = member
    end
  end
  redis.call('HSET', e, pk, cmsgpack.pack(old))
end
"""


class Script:
    """Sent by its hash; by its text when the server does not have it."""

    def __init__(self, text: str) -> None:
        self.text = _SHARED + text
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[Any], arguments: Sequence[Any]) -> tuple[Any, ...]:
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)

    def full(self, call: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same call with the script itself."""
        return ("EVAL", self.text, *call[2:])


WRITE = Script("""
local action, expected, version, ttl = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local names, member, indexed = ARGV[7], ARGV[8], tonumber(ARGV[9])
local pk = pk_of(member)
local key = doc .. 'd:' .. pk
purge(20)
local exists = redis.call('EXISTS', key) == 1
if action == 'create' and exists then return 'exists' end
if expected ~= '' and redis.call('HGET', key, '') ~= expected then return 'conflict' end
if (action == 'update' or action == 'delete') and not exists then return 'missing' end
if action == 'delete' then
  redis.call('DEL', key)
  drop(member)
  return 'done'
end
if not sound(names) then
  redis.call('SET', c, '!')
elseif not redis.call('GET', c) then
  redis.call('SET', c, '=' .. names)
end
if action ~= 'update' then
  redis.call('DEL', key)
end
local changed = {}
local at = 10
for _ = 1, indexed do
  changed[ARGV[at]] = ARGV[at + 1]
  at = at + 2
end
redis.call('HSET', key, '', version, unpack(ARGV, at))
redis.call('ZADD', p, 0, member)
if indexed > 0 then enlist(pk, changed) end
expire(member, ttl)
return 'done'
""")
"""One operation. ARGV: key's start, NULs before the pk, action, version expected or ``""``, new
version, ms to live or ``""``, names of the indexes, member of ``:p``, number of index members, name
and member of each, field and JSON of each."""

REINDEX = Script("""
local version, member = ARGV[3], ARGV[4]
local pk = pk_of(member)
if redis.call('HGET', doc .. 'd:' .. pk, '') ~= version then return 0 end
unlist(pk)
local changed = {}
for at = 5, #ARGV, 2 do
  changed[ARGV[at]] = ARGV[at + 1]
end
if next(changed) then enlist(pk, changed) end
return 1
""")
"""Give a document its members of the indexes that there are now, unless it was written since."""

FINISH = Script("""
if redis.call('GET', c) ~= '~' .. ARGV[3] then return 0 end
redis.call('SET', c, '=' .. ARGV[3])
return 1
""")
"""The indexes are built: unless one who knows others has written."""

INCREMENT = Script("""
local version, ttl, member = ARGV[3], ARGV[4], ARGV[5]
local key = doc .. 'd:' .. pk_of(member)
if redis.call('EXISTS', key) == 0 then return false end
local found = {}
for at = 6, #ARGV, 2 do
  if redis.call('HGET', key, ARGV[at]) == 'null' then redis.call('HDEL', key, ARGV[at]) end
  redis.call('HINCRBY', key, ARGV[at], ARGV[at + 1])
  found[#found + 1] = redis.call('HGET', key, ARGV[at])
end
redis.call('HSET', key, '', version)
expire(member, ttl)
return found
""")
"""The new values as text: a number of Lua's would be rounded."""

COUNT = Script(f"""
if purge({STEP}) then return 'again' end
if not sound(ARGV[3]) then return 'stale' end
local count = 0
for at = 4, #ARGV, 2 do
  count = count + redis.call('ZLEXCOUNT', KEYS[5], '[' .. ARGV[at], '(' .. ARGV[at + 1])
end
return count
""")

PAGE = Script(f"""
local names, backwards, first, last, skip, most = unpack(ARGV, 3, 8)
if purge({STEP}) then return 'again' end
if not sound(names) then return 'stale' end
local found
if backwards == '1' then
  found = redis.call('ZREVRANGEBYLEX', KEYS[5], last, first, 'LIMIT', skip, most)
else
  found = redis.call('ZRANGEBYLEX', KEYS[5], first, last, 'LIMIT', skip, most)
end
local documents = {{}}
for _, member in ipairs(found) do
  local key = doc .. 'd:' .. pk_of(member)
  local document
  if #ARGV > 8 then
    document = redis.call('HMGET', key, unpack(ARGV, 9))
    if not document[1] then document = {{}} end
  else
    document = redis.call('HGETALL', key)
  end
  if #document > 0 then
    documents[#documents + 1] = document
  else
    drop(listed(member))
  end
end
return {{found[#found] or '', #found, documents}}
""")
"""ARGV: ..., names, ``1`` for backwards, both ends as ZRANGEBYLEX has them, how many to skip and to
read, the fields if not all, of which the first is never missing. A page may be shorter than what
was found: what was evicted is left out, and cleared."""

DELETE = Script(f"""
if purge({STEP}) then return 'again' end
if not sound(ARGV[3]) then return 'stale' end
local found = redis.call('ZRANGEBYLEX', KEYS[5], ARGV[4], ARGV[5], 'LIMIT', 0, {STEP})
local count = 0
for _, member in ipairs(found) do
  count = count + redis.call('DEL', doc .. 'd:' .. pk_of(member))
  drop(listed(member))
end
return {{count, #found}}
""")

UPDATE = Script(f"""
local names, first, last, version, ttl, indexed = unpack(ARGV, 3, 8)
if purge({STEP}) then return 'again' end
if not sound(names) then return 'stale' end
local found = redis.call('ZRANGEBYLEX', KEYS[5], first, last, 'LIMIT', 0, {STEP})
local count = 0
for _, member in ipairs(found) do
  local pk = pk_of(member)
  local key = doc .. 'd:' .. pk
  local before = redis.call('HGET', key, '')
  if before and before ~= version then
    local at = 9
    local changed = {{}}
    for _ = 1, indexed do
      changed[ARGV[at]] = ARGV[at + 1] .. '\\0' .. tail_of(member)
      at = at + 2
    end
    redis.call('HSET', key, '', version, unpack(ARGV, at))
    if next(changed) then enlist(pk, changed) end
    expire(listed(member), ttl)
    count = count + 1
  end
end
return {{found[#found] or '', #found, count}}
""")
"""One step of an update of many. The version tells what it has met already: a document may be moved
on by its own update."""
