// One workgroup a row: every thread keeps its own running maximum and sum over
// every $(THREADS)th group of four logits, a tree joins them, and the first
// thread folds them into the row's state [maximum, sum of exp(x - maximum),
// target logit]. Logits are read once; nothing of size [rows, columns] is written.

const LOWEST = -3.40282346e38;

var<workgroup> maxima: array<f32, $THREADS>;
var<workgroup> sums: array<f32, $THREADS>;

fn logit(row: u32, column: u32) -> f32 {
#if VECTOR
  let four = vec4<f32>(logits[params.offset / 4u + row * (params.stride / 4u) + column / 4u]);
  return four[column % 4u];
#else
  return f32(logits[params.offset + row * params.stride + column]);
#end
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = group.x + group.y * groups.x;
  let inside = row < params.rows;
  var highest = LOWEST;
  var sum = 0.0;
  if (inside) {
    for (var c = thread * 4u; c < params.columns; c += $(THREADS * 4)u) {
#if VECTOR
      let loaded = vec4<f32>(logits[params.offset / 4u + row * (params.stride / 4u) + c / 4u]);
#else
      var loaded = vec4<f32>(LOWEST);
      loaded.x = logit(row, c);
      if (c + 1u < params.columns) { loaded.y = logit(row, c + 1u); }
      if (c + 2u < params.columns) { loaded.z = logit(row, c + 2u); }
      if (c + 3u < params.columns) { loaded.w = logit(row, c + 3u); }
#end
      // The padding of a row may hold anything.
      let valid = vec4<u32>(c, c + 1u, c + 2u, c + 3u) < vec4<u32>(params.columns);
      let x = select(vec4<f32>(LOWEST), loaded, valid);
      let next = max(highest, max(max(x.x, x.y), max(x.z, x.w)));
      let terms = select(vec4<f32>(0.0), exp(x - next), valid);
      sum = sum * exp(highest - next) + ((terms.x + terms.y) + (terms.z + terms.w));
      highest = next;
    }
  }
  maxima[thread] = highest;
  sums[thread] = sum;
  workgroupBarrier();
  for (var half = $(THREADS / 2)u; half > 0u; half /= 2u) {
    if (thread < half) {
      let a = maxima[thread];
      let b = maxima[thread + half];
      let joined = max(a, b);
      sums[thread] = sums[thread] * exp(a - joined) + sums[thread + half] * exp(b - joined);
      maxima[thread] = joined;
    }
    workgroupBarrier();
  }
  if (thread == 0u && inside) {
    // A target that no chunk holds leaves a loss of 3e38, not a plausible one.
    var target_logit = LOWEST;
    var joined = maxima[0];
    var total = sums[0];
    if (params.first == 0u) {
      let before = state[row * 3u];
      joined = max(before, maxima[0]);
      total = state[row * 3u + 1u] * exp(before - joined) + sums[0] * exp(maxima[0] - joined);
      target_logit = state[row * 3u + 2u];
    }
    // Below first_column the difference wraps and is too large.
    let column = targets[row] - params.first_column;
    if (column < params.columns) { target_logit = logit(row, column); }
    state[row * 3u] = joined;
    state[row * 3u + 1u] = total;
    state[row * 3u + 2u] = target_logit;
  }
}
