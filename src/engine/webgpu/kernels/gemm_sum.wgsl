// Sums $SLICES slices of a product, four numbers a thread, with the bias and what
// the product is added to, or gated: silu of its first half times the second.

#if !VECTOR
fn store(i: u32, j: u32, sum: f32) {
  if (j >= params.outColumns) { return; }
  let at = params.outOffset + i * params.outStride + j;
  var value = sum;
#if BIAS
  value += bias[params.biasOffset + j];
#end
#if ACCUMULATE
  value += f32(output[at]);
#end
  output[at] = $OUT(value);
}
#end

fn total(source: u32) -> vec4<f32> {
  var sum = sums[source];
#for s in 1..SLICES
  sum += sums[source + $(s)u * (params.sliceSize / 4u)];
#end
  return sum;
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let unit = (group.x + group.y * groups.x) * $(THREADS)u + thread;
  let i = unit / params.units;
  let j = unit % params.units * 4u;
  if (i >= params.rows) { return; }
#if GATED
  let gate = total((i * params.sumsStride + j) / 4u);
  // exp() of anything above 88 overflows; there silu is 0 to every bit that counts.
  let silu = gate / (1.0 + exp(min(-gate, vec4<f32>(80.0))));
  // Infinities would end as NaN.
  let most = vec4<f32>(65504.0);
  var sum = clamp(silu * total((i * params.sumsStride + params.outColumns + j) / 4u), -most, most);
#else
  var sum = total((i * params.sumsStride + j) / 4u);
#end
#if VECTOR
#if BIAS
  let first = params.biasOffset + j;
  sum += vec4<f32>(bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]);
#end
  let at = (params.outOffset + i * params.outStride + j) / 4u;
#if ACCUMULATE
  sum += vec4<f32>(output[at]);
#end
  output[at] = vec4<$OUT>(sum);
#else
#for c in 0..4
  store(i, j + $(c)u, sum[$c]);
#end
#end
}
