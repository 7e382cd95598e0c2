// One workgroup a row joins the winners of its chunks.

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x;
  var best = 0u;
  var at = 0u;
  for (var c = thread; c < params.chunks; c += $(THREADS)u) {
    let next = scratch[(row * params.chunks + c) * 2u];
    if (next > best) {
      best = next;
      at = scratch[(row * params.chunks + c) * 2u + 1u];
    }
  }
  joinWinners(thread, best, at);
  if (thread == 0u) {
    // A row with a NaN has no greatest logit, and says so.
    tokens[row] = select(columns[0], 0xffffffffu, keys[0] == 0xffffffffu);
#if LENGTHS
    lengths[row] += 1u;
#end
  }
}
