// One workgroup a row: the sum of squares, then the row scaled by it. Each thread
// keeps nothing of the row between the two, as rows are long and in the cache.

var<workgroup> sums: array<f32, $THREADS>;

// What halves cannot hold becomes the largest: infinities would end as NaN.
fn bounded(value: vec4<f32>) -> vec4<f32> {
#if OUT == f16
  return clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0));
#else
  return value;
#end
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = group.x + group.y * groups.x;
  if (i >= params.rows) { return; }
  let source = params.xOffset + i * params.xStride;
  let to = params.outOffset + i * params.outStride;
  var sum = 0.0;
#if VECTOR
  for (var j = thread; j < params.width / 4u; j += $(THREADS)u) {
    let v = vec4<f32>(x[source / 4u + j]);
    sum += dot(v, v);
  }
#else
  for (var j = thread; j < params.width; j += $(THREADS)u) {
    let v = f32(x[source + j]);
    sum += v * v;
  }
#end
  sums[thread] = sum;
#for s in 0..HALVINGS
  workgroupBarrier();
  let half$(s) = $(THREADS)u >> $(s + 1)u;
  if (thread < half$(s)) { sums[thread] += sums[thread + half$(s)]; }
#end
  workgroupBarrier();
  let scale = inverseSqrt(sums[0] / f32(params.width) + params.eps);
#if VECTOR
  for (var j = thread; j < params.width / 4u; j += $(THREADS)u) {
    output[to / 4u + j] = vec4<$OUT>(bounded(vec4<f32>(x[source / 4u + j]) * scale * weight[j]));
  }
#else
  for (var j = thread; j < params.width; j += $(THREADS)u) {
    output[to + j] = $OUT(bounded(vec4<f32>(f32(x[source + j]) * scale * weight[j])).x);
  }
#end
}
