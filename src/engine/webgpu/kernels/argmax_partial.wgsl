// A workgroup takes a chunk of one row. Logits compare as ordered integers, so
// that no compiler may reason NaN away: NaN is above everything, -0 equals +0, and
// the lowest column wins among equals.

fn key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0xffffffffu; }
  if (magnitude == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits > 0x7fffffffu);
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.y;
  let start = group.x * params.chunk;
  let end = min(start + params.chunk, params.columns);
  var best = 0u;
  var at = start;
#if VECTOR
  // Chunks are multiples of four columns; the padding of a row may hold anything.
  for (var c = start + thread * 4u; c < end; c += $(THREADS * 4)u) {
    let index = (params.offset + row * params.stride + c) / 4u;
#if ELEMENT == f32
    let bits = logits[index];
#else
    let bits = bitcast<vec4<u32>>(vec4<f32>(logits[index]));
#end
#for i in 0..4
    let key$i = select(0u, key(bits[$i]), c + $(i)u < end);
    if (key$i > best) { best = key$i; at = c + $(i)u; }
#end
  }
#else
  for (var c = start + thread; c < end; c += $(THREADS)u) {
    let index = params.offset + row * params.stride + c;
#if ELEMENT == f32
    let next = key(logits[index]);
#else
    let next = key(bitcast<u32>(f32(logits[index])));
#end
    if (next > best) { best = next; at = c; }
  }
#end
  joinWinners(thread, best, at);
  if (thread == 0u) {
    scratch[(row * params.chunks + group.x) * 2u] = keys[0];
    scratch[(row * params.chunks + group.x) * 2u + 1u] = columns[0];
  }
}
