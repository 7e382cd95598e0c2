// A thread a row. max - target comes first: both may be large, and their
// difference is what counts.

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let row = (group.x + group.y * groups.x) * 64u + thread;
  if (row >= params.rows) { return; }
  if (targets[row] == 0xffffffffu) {
    losses[row] = 0.0;
    return;
  }
  losses[row] = (state[row * 3u] - state[row * 3u + 2u]) + log(state[row * 3u + 1u]);
}
