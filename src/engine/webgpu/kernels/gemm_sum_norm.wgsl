// One workgroup a row of the residual stream: the sums of $SLICES slices of a product
// are added to it, and its norm is stored. Each thread keeps its $UNITS fours of the
// row between the two.

var<workgroup> squares: array<f32, $THREADS>;

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
  let source = i * params.sumsStride / 4u;
  let at = (params.outOffset + i * params.outStride) / 4u;
  let to = (params.normOffset + i * params.normStride) / 4u;
  var square = 0.0;
#for u in 0..UNITS
  let j$(u) = thread + $(u * THREADS)u;
  var sum$(u) = vec4<f32>();
  if (j$(u) < params.units) {
    sum$(u) = output[at + j$(u)];
#for s in 0..SLICES
    sum$(u) += sums[source + $(s)u * (params.sliceSize / 4u) + j$(u)];
#end
#if BIAS
    sum$(u) += bias[params.biasOffset / 4u + j$(u)];
#end
    output[at + j$(u)] = sum$(u);
    square += dot(sum$(u), sum$(u));
  }
#end
  squares[thread] = square;
#for s in 0..HALVINGS
  workgroupBarrier();
  let half$(s) = $(THREADS)u >> $(s + 1)u;
  if (thread < half$(s)) { squares[thread] += squares[thread + half$(s)]; }
#end
  workgroupBarrier();
  let scale = inverseSqrt(squares[0] / f32(4u * params.units) + params.eps);
#for u in 0..UNITS
  if (j$(u) < params.units) {
    norm[to + j$(u)] = vec4<$OUT>(bounded(sum$(u) * scale * weight[j$(u)]));
  }
#end
}
