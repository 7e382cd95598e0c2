// $ROWS rows of W times $COLS rows of x a group of threads: a subgroup, or the
// whole workgroup where there are no subgroups. A lane takes 8 columns at a time,
// 16 bytes of halves, and keeps $UNROLL such loads of each row in flight. W is read
// once for all rows of x; x comes from the cache.
// RMSNorm's scale is a factor of the whole product, and every group sees all of x:
// so the sum of squares costs neither a pass nor a barrier.

#if !SUBGROUP
var<workgroup> partial: array<f32, $(THREADS * VALUES)>;
#end

#if HALF
fn low(pair: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
fn high(pair: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(pair.z), unpack2x16float(pair.w));
}
#end

// Numbers 4·k4 .. 4·k4 + 3 of the row of x at `base`.
#if VECTOR
fn numbers(base: u32, k4: u32) -> vec4<f32> {
  return vec4<f32>(x[base / 4u + k4]);
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

#if NORM
#if VECTOR
fn normWeights(k4: u32) -> vec4<f32> { return normWeight[k4]; }
#else
fn normNumber(k: u32) -> f32 { return normWeight[min(k, params.columns - 1u)]; }
fn normWeights(k4: u32) -> vec4<f32> {
  let k = 4u * k4;
  return vec4<f32>(normNumber(k), normNumber(k + 1u), normNumber(k + 2u), normNumber(k + 3u));
}
#end
#end

#if GATED
fn gated(base: u32, k4: u32) -> vec4<f32> {
  let gate = numbers(base, k4);
  // exp() of anything above 88 overflows; there silu is 0 to every bit that counts.
  return gate / (1.0 + exp(min(-gate, vec4<f32>(80.0)))) * numbers(base + params.columns, k4);
}
#end

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) workgroups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
#if SUBGROUP
  @builtin(subgroup_invocation_id) lane: u32,
#end
) {
  let index = workgroup.x + workgroup.y * workgroups.x;
#if SUBGROUP
  let first = (index * $(THREADS / LANES)u + thread / $(LANES)u) * $(ROWS)u;
#else
  let lane = thread;
  let first = index * $(ROWS)u;
#end
  // Groups past the end take the last row and store nothing: sums over a subgroup
  // need all of its lanes.
#for r in 0..ROWS
  let row$(r) = min(first + $(r)u, params.partRows - 1u) * params.stride8;
#end
#for c in 0..COLS
  let base$(c) = params.xOffset + min($(c)u, params.rows - 1u) * params.xStride;
#if NORM
  var square$(c) = 0.0;
#end
#for r in 0..ROWS
  var sum$(r)_$(c) = 0.0;
#end
#end
  var k = lane;
  // First as many steps at once as fit, then the rest one by one.
#for rest in 0..2
  for (; k + $((UNROLL - rest * UNROLL + rest - 1) * LANES)u < params.stride8; k += $((UNROLL - rest * UNROLL + rest) * LANES)u) {
#for u in 0..UNROLL - rest * UNROLL + rest
    let k$(u) = k + $(u * LANES)u;
#for r in 0..ROWS
#if HALF
    let w$(u)_$(r) = weight[row$(r) + k$(u)];
#else
    let v$(u)_$(r) = weight[2u * (row$(r) + k$(u))];
    let w$(u)_$(r) = weight[2u * (row$(r) + k$(u)) + 1u];
#end
#end
#end
#for u in 0..UNROLL - rest * UNROLL + rest
#if NORM
    let n$(u) = normWeights(2u * k$(u));
    let m$(u) = normWeights(2u * k$(u) + 1u);
#end
#for c in 0..COLS
#if GATED
    let a$(u)_$(c) = gated(base$(c), 2u * k$(u));
    let b$(u)_$(c) = gated(base$(c), 2u * k$(u) + 1u);
#else
#if NORM
    let x$(u)_$(c) = numbers(base$(c), 2u * k$(u));
    let y$(u)_$(c) = numbers(base$(c), 2u * k$(u) + 1u);
    square$(c) += dot(x$(u)_$(c), x$(u)_$(c)) + dot(y$(u)_$(c), y$(u)_$(c));
    let a$(u)_$(c) = x$(u)_$(c) * n$(u);
    let b$(u)_$(c) = y$(u)_$(c) * m$(u);
#else
    let a$(u)_$(c) = numbers(base$(c), 2u * k$(u));
    let b$(u)_$(c) = numbers(base$(c), 2u * k$(u) + 1u);
#end
#end
#end
#for r in 0..ROWS
#if HALF
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
#if SUBGROUP
#for c in 0..COLS
#if NORM
  let scale$(c) = inverseSqrt(subgroupAdd(square$(c)) / f32(params.columns) + params.eps);
#end
#for r in 0..ROWS
#if NORM
  let total$(r)_$(c) = subgroupAdd(sum$(r)_$(c)) * scale$(c);
#else
  let total$(r)_$(c) = subgroupAdd(sum$(r)_$(c));
#end
  if (lane == $((r * COLS + c) % LANES)u && first + $(r)u < params.partRows && $(c)u < params.rows) {
    store($(c)u, first + $(r)u, total$(r)_$(c));
  }
#end
#end
#else
#for c in 0..COLS
#for r in 0..ROWS
  partial[$((r * COLS + c) * THREADS)u + lane] = sum$(r)_$(c);
#end
#if NORM
  partial[$((ROWS * COLS + c) * THREADS)u + lane] = square$(c);
#end
#end
#for s in 0..HALVINGS
  workgroupBarrier();
  let half$(s) = $(THREADS)u >> $(s + 1)u;
  if (lane < half$(s)) {
#for v in 0..VALUES
    partial[$(v * THREADS)u + lane] += partial[$(v * THREADS)u + lane + half$(s)];
#end
  }
#end
  workgroupBarrier();
  if (lane < $(ROWS * COLS)u) {
    let row = first + lane / $(COLS)u;
    let column = lane % $(COLS)u;
    var total = partial[lane * $(THREADS)u];
#if NORM
    let square = partial[($(ROWS * COLS)u + column) * $(THREADS)u];
    total *= inverseSqrt(square / f32(params.columns) + params.eps);
#end
    if (row < params.partRows && column < params.rows) { store(column, row, total); }
  }
#end
}
