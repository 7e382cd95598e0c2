// One workgroup a token: copies the token's row of the table. A token outside
// this part of the table is left to the part that holds it.
#if NEXT
// Its numbers also go out times the next norm's weight, with the sum of their squares.

var<workgroup> sums: array<f32, $THREADS>;

fn next(i: u32, j: u32, value: f32) -> f32 {
  let weighed = value * normWeight[j];
#if Y == f16
  y[params.yOffset + i * params.yStride + j] = f16(clamp(weighed, -65504.0, 65504.0));
#else
  y[params.yOffset + i * params.yStride + j] = weighed;
#end
  return value * value;
}
#end

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
#if NEXT
  var sum = 0.0;
#end
#if PACKED
  // Two halves a word: a row begins at a word, as strides are even.
  for (var j = thread * 2u; j < params.columns; j += $(THREADS * 2)u) {
    let pair = unpack2x16float(table[(row + j) / 2u]);
    output[to + j] = $OUT(pair.x);
#if NEXT
    sum += next(i, j, pair.x);
#end
    if (j + 1u < params.columns) {
      output[to + j + 1u] = $OUT(pair.y);
#if NEXT
      sum += next(i, j + 1u, pair.y);
#end
    }
  }
#else
  for (var j = thread; j < params.columns; j += $(THREADS)u) {
    output[to + j] = $OUT(table[row + j]);
#if NEXT
    sum += next(i, j, table[row + j]);
#end
  }
#end
#if NEXT
  sums[thread] = sum;
#for s in 0..HALVINGS
  workgroupBarrier();
  let half$(s) = $(THREADS)u >> $(s + 1)u;
  if (thread < half$(s)) { sums[thread] += sums[thread + half$(s)]; }
#end
  if (thread == 0u) { ySquares[i * params.ySquareStride] = sums[0]; }
#end
}
