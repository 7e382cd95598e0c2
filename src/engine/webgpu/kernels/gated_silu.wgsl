// silu(gate)·up, $PER numbers a thread, rows and chunks of rows in one long line
// of workgroups.

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let chunk = group.x + group.y * groups.x;
  let i = chunk / params.chunks;
  let j = ((chunk % params.chunks) * $(THREADS)u + thread) * $(PER)u;
  if (i >= params.rows || j >= params.width) { return; }
  let source = params.xOffset + i * params.xStride + j;
  let to = params.outOffset + i * params.outStride + j;
#if VECTOR
  let gate = vec4<f32>(x[source / 4u]);
  let up = vec4<f32>(x[(source + params.width) / 4u]);
  // exp() of anything above 88 overflows; there silu is 0 to every bit that counts.
  var product = gate / (1.0 + exp(min(-gate, vec4<f32>(80.0)))) * up;
#if HALF
  // Infinities would end as NaN.
  product = clamp(product, vec4<f32>(-65504.0), vec4<f32>(65504.0));
#end
  output[to / 4u] = vec4<$OUT>(product);
#else
  let gate = f32(x[source]);
  let up = f32(x[source + params.width]);
  var product = gate / (1.0 + exp(min(-gate, 80.0))) * up;
#if HALF
  product = clamp(product, -65504.0, 65504.0);
#end
  output[to] = $OUT(product);
#end
}
