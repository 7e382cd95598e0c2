// $HELD rows of W times $COLS rows of x a subgroup. A lane takes 8 columns at a
// time, 16 bytes of halves, and keeps $UNROLL such loads of each row in flight. W is
// read once for all rows of x; x comes from the cache.
//   SCALED    RMSNorm's scale is a factor of the whole product: rows of x come
//             without it, with sums of their squares in $SQUARE_LOADS·4 parts a lane.
//   GATED     W is [gate; up]: row j of both is in hand, silu(gate)·up goes out.
//   RESIDUAL  what goes out also goes out for the next norm: times its weight, with
//             a sum of squares for each workgroup.

#if RESIDUAL
var<workgroup> squares: array<f32, $(SUBGROUPS * OUTPUTS)>;
#end

#if HALVES
fn low(pair: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
fn high(pair: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pair.z), unpack2x16float(pair.w));
}
#end

#if X != packed
// Numbers 4·k4 .. 4·k4 + 3 of the row of x at `base`.
#if X == vectors
fn numbers(base: u32, k4: u32) -> vec4<f32> {
  return x[base / 4u + k4];
}
#else
fn number(base: u32, k: u32) -> f32 {
  // Past the row's end lie other numbers, or none.
  if (k >= params.columns) { return 0.0; }
  return f32(x[base + k]);
}
fn numbers(base: u32, k4: u32) -> vec4<f32> {
  let k = 4u * k4;
  return vec4<f32>(number(base, k), number(base, k + 1u), number(base, k + 2u), number(base, k + 3u));
}
#end
#end

#if SCALED
fn squaresOf(c: u32, k4: u32) -> f32 {
  let part = xSquares[c * params.squareStride4 + min(k4, params.squareCount4 - 1u)];
  return select(0.0, part.x + part.y + part.z + part.w, k4 < params.squareCount4);
}
#end

@compute @workgroup_size($(SUBGROUPS * LANES))
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let index = workgroup.x + workgroup.y * workgroups.x;
  let subgroup = thread / $(LANES)u;
  let first = (index * $(SUBGROUPS)u + subgroup) * $(ROWS)u;
  // Subgroups past the end take the last row and store nothing: sums over a subgroup
  // need all of its lanes.
#for r in 0..HELD
#if r < ROWS
  let row$(r) = min(first + $(r)u, params.height - 1u) * $(STRIDE8)u;
#else
  let row$(r) = (params.height + min(first + $(r - ROWS)u, params.height - 1u)) * $(STRIDE8)u;
#end
#for c in 0..COLS
  var sum$(r)_$(c) = 0.0;
#end
#end
#for c in 0..COLS
  let base$(c) = params.xOffset + $(c)u * params.xStride;
#end
#if EARLY
  // Under way while W is read.
#for c in 0..COLS
#for s in 0..SQUARE_LOADS
  let square$(c)_$(s) = squaresOf($(c)u, lane + $(s * LANES)u);
#end
#end
#end
  var k = lane;
  // First as many steps at once as fit, then the rest one by one.
#for rest in 0..2
  for (; k + $((UNROLL - rest * UNROLL + rest - 1) * LANES)u < $(STRIDE8)u; k += $((UNROLL - rest * UNROLL + rest) * LANES)u) {
#for u in 0..UNROLL - rest * UNROLL + rest
    let k$(u) = k + $(u * LANES)u;
#for r in 0..HELD
#if W_HALF
    let w$(u)_$(r) = weight[row$(r) + k$(u)];
#else
    let v$(u)_$(r) = weight[2u * (row$(r) + k$(u))];
    let w$(u)_$(r) = weight[2u * (row$(r) + k$(u)) + 1u];
#end
#end
#end
#for u in 0..UNROLL - rest * UNROLL + rest
#for c in 0..COLS
#if X == packed
    let x$(u)_$(c) = x[base$(c) / 8u + k$(u)];
    let a$(u)_$(c) = low(x$(u)_$(c));
    let b$(u)_$(c) = high(x$(u)_$(c));
#else
    let a$(u)_$(c) = numbers(base$(c), 2u * k$(u));
    let b$(u)_$(c) = numbers(base$(c), 2u * k$(u) + 1u);
#end
#end
#for r in 0..HELD
#if W_HALF
    let l$(u)_$(r) = low(w$(u)_$(r));
    let h$(u)_$(r) = high(w$(u)_$(r));
#else
    let l$(u)_$(r) = v$(u)_$(r);
    let h$(u)_$(r) = w$(u)_$(r);
#end
#for c in 0..COLS
    sum$(r)_$(c) += dot(l$(u)_$(r), a$(u)_$(c)) + dot(h$(u)_$(r), b$(u)_$(c));
#end
#end
#end
  }
#end
#if SCALED
#for c in 0..COLS
  var square$(c) = 0.0;
#for s in 0..SQUARE_LOADS
#if EARLY
  square$(c) += square$(c)_$(s);
#else
  square$(c) += squaresOf($(c)u, lane + $(s * LANES)u);
#end
#end
  let scale$(c) = inverseSqrt(subgroupAdd(square$(c)) / f32(params.columns) + params.eps);
#end
#end
  // Each lane finishes one number.
#for batch in 0..BATCHES
  {
    var mine = 0.0;
#if GATED
    var other = 0.0;
#end
#for i in 0..LANES
#if batch * LANES + i < OUTPUTS
#if SCALED
    let total$(i) = subgroupAdd(sum$((batch * LANES + i) / COLS)_$((batch * LANES + i) % COLS)) * scale$((batch * LANES + i) % COLS);
#else
    let total$(i) = subgroupAdd(sum$((batch * LANES + i) / COLS)_$((batch * LANES + i) % COLS));
#end
    mine = select(mine, total$(i), lane == $(i)u);
#if GATED
#if SCALED
    let upper$(i) = subgroupAdd(sum$(ROWS + (batch * LANES + i) / COLS)_$((batch * LANES + i) % COLS)) * scale$((batch * LANES + i) % COLS);
#else
    let upper$(i) = subgroupAdd(sum$(ROWS + (batch * LANES + i) / COLS)_$((batch * LANES + i) % COLS));
#end
    other = select(other, upper$(i), lane == $(i)u);
#end
#end
#end
    let at = $(batch * LANES)u + lane;
    let j = first + at / $(COLS)u;
    let i = at % $(COLS)u;
#if RESIDUAL
    var square = 0.0;
#end
    if (at < $(OUTPUTS)u && j < params.height) {
      let to = params.outOffset + i * params.outStride + j;
      var value = mine;
#if BIAS
      value += bias[params.biasOffset + j];
#end
#if GATED
      var up = other;
#if BIAS
      up += bias[params.biasOffset + params.height + j];
#end
      // exp() of anything above 88 overflows; there silu is 0 to every bit that counts.
      value = value / (1.0 + exp(min(-value, 80.0))) * up;
#end
#if ACCUMULATE
      value += f32(output[to]);
#end
#if OUT == f16
      // Infinities would end as NaN.
      output[to] = f16(clamp(value, -65504.0, 65504.0));
#else
      output[to] = value;
#end
#if RESIDUAL
      let weighed = value * normWeight[params.weightOffset + j];
#if Y == f16
      y[params.yOffset + i * params.yStride + j] = f16(clamp(weighed, -65504.0, 65504.0));
#else
      y[params.yOffset + i * params.yStride + j] = weighed;
#end
      square = value * value;
#end
    }
#if RESIDUAL
    if (at < $(OUTPUTS)u) { squares[subgroup * $(OUTPUTS)u + at] = square; }
#end
  }
#end
#if RESIDUAL
  workgroupBarrier();
  if (thread < $(COLS)u && index < params.groups) {
    var sum = 0.0;
#for s in 0..SUBGROUPS * ROWS
    sum += squares[$(s * COLS)u + thread];
#end
    ySquares[thread * params.ySquareStride + params.firstGroup + index] = sum;
  }
#end
}
