// One workgroup a row joins the winners of its chunks.

var<workgroup> keys: array<u32, 64>;
var<workgroup> columns: array<u32, 64>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x;
  var best = 0u;
  var at = 0u;
  for (var c = thread; c < params.chunks; c += 64u) {
    let next = scratch[(row * params.chunks + c) * 2u];
    if (next > best) {
      best = next;
      at = scratch[(row * params.chunks + c) * 2u + 1u];
    }
  }
  keys[thread] = best;
  columns[thread] = at;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (thread < half) {
      let other = keys[thread + half];
      let other_at = columns[thread + half];
      if (other > keys[thread] || (other == keys[thread] && other_at < columns[thread])) {
        keys[thread] = other;
        columns[thread] = other_at;
      }
    }
    workgroupBarrier();
  }
  if (thread == 0u) {
    // A row with a NaN has no greatest logit, and says so.
    tokens[row] = select(columns[0], 0xffffffffu, keys[0] == 0xffffffffu);
#if LENGTHS
    lengths[row] += 1u;
#end
  }
}
