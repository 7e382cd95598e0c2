// Adds up what the workgroups of attention_sums.wgsl left, one thread a sum.

@compute @workgroup_size($THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < params.rows) {
    var sum = 0.0;
    for (var s = 0u; s < params.slices; s += 1u) { sum += received_parts[s * params.rows + id.x]; }
    received[id.x] = sum;
  } else if (id.x < params.rows + params.distances) {
    let distance = id.x - params.rows;
    var sum = 0.0;
    for (var b = 0u; b < params.mass_rows; b += 1u) { sum += mass[b * params.distances + distance]; }
    mass_by_distance[distance] = sum;
  }
}
