// One thread a unit of a row; see row_units.wgsl. All regions are one dispatch, since
// each dispatch costs a barrier.

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let units = params.query_units + params.first_units + params.second_units;
  let item = (group.x + group.y * groups.x) * $(THREADS)u + lane;
  if (item < params.rows * units) { rotate_or_store(item / units, item % units); }
}
