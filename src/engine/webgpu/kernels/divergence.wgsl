// A thread a row: KL(a || b) = E_a[a - b] - (log-sum-exp of a - that of b), and 1
// where the most likely tokens are the same. Differences of maxima come first: both
// may be large, and their difference is what counts.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.x + group.y * groups.x) * 64u + thread;
  if (row >= params.rows) { return; }
  let s = row * 5u;
  let mean = sums[s + 2u] / sums[s + 1u];
  let normalizers = (sums[s] - sums[s + 3u]) + (log(sums[s + 1u]) - log(sums[s + 4u]));
  results[row * 2u] = mean - normalizers;
  results[row * 2u + 1u] = select(0.0, 1.0, tops[row * 2u] == tops[row * 2u + 1u]);
}
