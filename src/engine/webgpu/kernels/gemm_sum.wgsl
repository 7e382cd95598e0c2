// Sums $SLICES slices of a product, four numbers a thread, with the bias and what
// the product is added to.

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
  let source = (i * params.sumsStride + j) / 4u;
  var sum = sums[source];
#for s in 1..SLICES
  sum += sums[source + $(s)u * (params.sliceSize / 4u)];
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
