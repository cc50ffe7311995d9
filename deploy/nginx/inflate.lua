-- gzip to what it holds, by the zlib that nginx itself is linked with; nil for what is not gzip.

local ffi = require "ffi"

ffi.cdef [[
typedef struct {
  const char *next_in; unsigned avail_in; unsigned long total_in;
  char *next_out; unsigned avail_out; unsigned long total_out;
  const char *msg; void *state; void *zalloc; void *zfree; void *opaque;
  int data_type; unsigned long adler; unsigned long reserved;
} laurel_z_stream;
const char *zlibVersion(void);
int inflateInit2_(laurel_z_stream *stream, int window_bits, const char *version, int size);
int inflate(laurel_z_stream *stream, int flush);
int inflateEnd(laurel_z_stream *stream);
]]

local GZIP, FINISH, STREAM_END = 31, 4, 1
local zlib = ffi.C

return function(packed)
  -- The last four bytes of gzip are the length of what it holds.
  local a, b, c, d = string.byte(packed, -4, -1)
  local length = a + b * 256 + c * 65536 + d * 16777216
  if length > 16777216 then
    return nil
  end
  local room = ffi.new("char[?]", length + 1)
  local stream = ffi.new "laurel_z_stream"
  stream.next_in, stream.avail_in = packed, #packed
  stream.next_out, stream.avail_out = room, length + 1
  if zlib.inflateInit2_(stream, GZIP, zlib.zlibVersion(), ffi.sizeof(stream)) ~= 0 then
    return nil
  end
  local result = zlib.inflate(stream, FINISH)
  zlib.inflateEnd(stream)
  return result == STREAM_END and ffi.string(room, length) or nil
end
