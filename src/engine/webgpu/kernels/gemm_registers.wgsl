// $TILE_ROWS rows of x times $TILE_COLUMNS rows of W a workgroup, $DEPTH columns at
// a time; a thread keeps $THREAD_ROWS x $THREAD_COLUMNS sums in registers. Both tiles
// lie in workgroup memory by columns, so that a thread reads vectors of its rows;
// threads load blocks of 4 rows by 4 columns and turn them on the way. The next
// tile is on its way from memory while this one is multiplied. All is written out,
// as loops and arrays with variable indices are slow.

const X_LINE = $(TILE_ROWS / 4 + 1)u;
const W_LINE = $(TILE_COLUMNS / 4 + 1)u;
var<workgroup> xTile: array<vec4<f32>, $(DEPTH * (TILE_ROWS / 4 + 1))>;
var<workgroup> wTile: array<vec4<f32>, $(DEPTH * (TILE_COLUMNS / 4 + 1))>;

// Numbers k .. k + 3 of row j of W, whose rows end at a multiple of 8; a tile may not.
fn wNumbers(j: u32, k: u32) -> vec4<f32> {
  if (k >= params.wStride) { return vec4<f32>(); }
  let at = (min(params.firstRow + j, params.lastRow) * params.wStride + k) / 4u;
#if HALF
  let pair = weight[at];
  return vec4<f32>(unpack2x16float(pair.x), unpack2x16float(pair.y));
#else
  return weight[at];
#end
}

#if OUT_VECTOR
fn storeFour(i: u32, j: u32, slice: u32, sums: vec4<f32>) {
#if SLICED
  // There is room for whole tiles.
  output[(params.outOffset + slice * params.sliceSize + i * params.outStride + j) / 4u] = sums;
#else
  if (i >= params.rows || j >= params.outColumns) { return; }
  let at = (params.outOffset + i * params.outStride + j) / 4u;
  var values = sums;
#if BIAS
  let first = params.biasOffset + j;
  values += vec4<f32>(bias[first], bias[first + 1u], bias[first + 2u], bias[first + 3u]);
#end
#if ACCUMULATE
  values += vec4<f32>(output[at]);
#end
  output[at] = vec4<$OUT>(values);
#end
}
#else
fn storeFour(i: u32, j: u32, slice: u32, sums: vec4<f32>) {
  if (i >= params.rows) { return; }
  if (j < params.outColumns) { store(i, j, sums.x); }
  if (j + 1u < params.outColumns) { store(i, j + 1u, sums.y); }
  if (j + 2u < params.outColumns) { store(i, j + 2u, sums.z); }
  if (j + 3u < params.outColumns) { store(i, j + 3u, sums.w); }
}
#end

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.y * $(TILE_COLUMNS)u;
  // Threads in a row share numbers of x, those below each other of W: a subgroup that
  // is about square reads the least.
#if ACROSS == TILE_COLUMNS / THREAD_COLUMNS
  let column = thread % $(ACROSS)u;
  let row = thread / $(ACROSS)u;
#else
  let block = thread / $(ACROSS * (TILE_ROWS / THREAD_ROWS))u;
  let column = block * $(ACROSS)u + thread % $(ACROSS)u;
  let row = thread / $(ACROSS)u % $(TILE_ROWS / THREAD_ROWS)u;
#end
#if SLICED
  let firstK = group.z * params.sliceSteps;
  let endK = min(firstK + params.sliceSteps, params.steps);
#else
  const firstK = 0u;
  let endK = params.steps;
#end
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS / 4
  var sum$(i)_$(j) = vec4<f32>();
#end
#end
#for b in 0..BLOCKS
  // Block $b of this thread: of x, then of W, then none.
  let block$(b) = thread + $(b * THREADS)u;
  let isX$(b) = block$(b) < $(X_BLOCKS)u;
  let inTile$(b) = block$(b) < $(X_BLOCKS + W_BLOCKS)u;
  let line$(b) = select(block$(b) - $(X_BLOCKS)u, block$(b), isX$(b)) / $(DEPTH / 4)u;
  let depth$(b) = (block$(b) % $(DEPTH / 4)u) * 4u;
  let from$(b) = firstK * $(DEPTH)u + depth$(b);
#for r in 0..4
  var next$(b)_$(r) = vec4<f32>();
#end
#end
#for b in 0..BLOCKS
  if (isX$(b)) {
#for r in 0..4
    next$(b)_$(r) = xNumbers(firstI + line$(b) * 4u + $(r)u, from$(b));
#end
  } else if (inTile$(b)) {
#for r in 0..4
    next$(b)_$(r) = wNumbers(firstJ + line$(b) * 4u + $(r)u, from$(b));
#end
  }
#end
  for (var k = firstK; k < endK; k++) {
    workgroupBarrier();
#for b in 0..BLOCKS
    if (isX$(b)) {
#for c in 0..4
      xTile[(depth$(b) + $(c)u) * X_LINE + line$(b)] = vec4<f32>(next$(b)_0[$c], next$(b)_1[$c], next$(b)_2[$c], next$(b)_3[$c]);
#end
    } else if (inTile$(b)) {
#for c in 0..4
      wTile[(depth$(b) + $(c)u) * W_LINE + line$(b)] = vec4<f32>(next$(b)_0[$c], next$(b)_1[$c], next$(b)_2[$c], next$(b)_3[$c]);
#end
    }
#end
    workgroupBarrier();
    if (k + 1u < endK) {
      let ahead = (k + 1u) * $(DEPTH)u;
#for b in 0..BLOCKS
      if (isX$(b)) {
#for r in 0..4
        next$(b)_$(r) = xNumbers(firstI + line$(b) * 4u + $(r)u, ahead + depth$(b));
#end
      } else if (inTile$(b)) {
#for r in 0..4
        next$(b)_$(r) = wNumbers(firstJ + line$(b) * 4u + $(r)u, ahead + depth$(b));
#end
      }
#end
    }
#for d in 0..DEPTH
    {
#for i in 0..THREAD_ROWS / 4
      let a$(i) = xTile[$(d * (TILE_ROWS / 4 + 1) + i * TILE_ROWS / THREAD_ROWS)u + row];
#end
#for j in 0..THREAD_COLUMNS / 4
      let b$(j) = wTile[$(d * (TILE_COLUMNS / 4 + 1) + j * TILE_COLUMNS / THREAD_COLUMNS)u + column];
#end
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS / 4
      sum$(i)_$(j) = fma(vec4<f32>(a$(i / 4)[$(i % 4)]), b$(j), sum$(i)_$(j));
#end
#end
    }
#end
  }
  // A thread's rows and columns come in fours, a tile's width of threads apart.
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS / 4
  storeFour(
    firstI + ($(i / 4 * (TILE_ROWS / THREAD_ROWS))u + row) * 4u + $(i % 4)u,
    firstJ + ($(j * (TILE_COLUMNS / THREAD_COLUMNS))u + column) * 4u,
    group.z,
    sum$(i)_$(j),
  );
#end
#end
}
