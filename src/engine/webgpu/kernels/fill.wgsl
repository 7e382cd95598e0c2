// Seeded numbers of a row-major matrix, from each element's index alone: the same
// as seededNumbers() of base/seeded_tensor.ts makes. A thread makes WIDTH
// neighboring columns of a row; columns of the last vector past the row's end are 0.

fn mix_bits(value: u32) -> u32 {
  var h = value ^ (value >> 16u);
  h *= 0x7feb352du;
  h ^= h >> 15u;
  h *= 0x846ca68bu;
  return h ^ (h >> 16u);
}

fn number_at(index: u32) -> f32 {
  let h = mix_bits(mix_bits(index) ^ params.seed);
  // An arithmetic shift: 24 bits, exact in f32 with their sign.
  return f32(bitcast<i32>(h) >> 8u) * params.unit;
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = (group.x + group.y * groups.x) * $(THREADS)u + thread;
  let row = i / params.row_vectors;
  if (row >= params.rows) { return; }
  let column = (i - row * params.row_vectors) * $(WIDTH)u;
  let index = params.first + row * params.columns + column;
  let to = (params.offset + row * params.stride + column) / $(WIDTH)u;
#if VECTOR
  var numbers = vec4<f32>();
  for (var k = 0u; k < 4u; k++) {
    if (column + k < params.columns) { numbers[k] = number_at(index + k); }
  }
  output[to] = vec4<$OUT>(numbers);
#else
  output[to] = $OUT(number_at(index));
#end
}
