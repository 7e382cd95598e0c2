// One workgroup a token: copies the token's row of the table. A token outside
// this part of the table is left to the part that holds it.

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let i = group.x + group.y * groups.x;
  if (i >= params.rows) { return; }
  let token = tokens[i];
  if (token < params.firstRow || token - params.firstRow >= params.partRows) { return; }
  let row = (token - params.firstRow) * params.tableStride;
  let to = params.outOffset + i * params.outStride;
#if PACKED
  // Two halves a word: a row begins at a word, as strides are even.
  for (var j = thread * 2u; j < params.columns; j += $(THREADS * 2)u) {
    let pair = unpack2x16float(table[(row + j) / 2u]);
    output[to + j] = $OUT(pair.x);
    if (j + 1u < params.columns) { output[to + j + 1u] = $OUT(pair.y); }
  }
#else
  for (var j = thread; j < params.columns; j += $(THREADS)u) {
    output[to + j] = $OUT(table[row + j]);
  }
#end
}
