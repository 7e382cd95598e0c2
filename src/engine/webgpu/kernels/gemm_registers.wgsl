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

fn storeFour(i: u32, j: u32, sums: vec4<f32>) {
  if (i >= params.rows) { return; }
  if (j < params.outColumns) { store(i, j, sums.x); }
  if (j + 1u < params.outColumns) { store(i, j + 1u, sums.y); }
  if (j + 2u < params.outColumns) { store(i, j + 2u, sums.z); }
  if (j + 3u < params.outColumns) { store(i, j + 3u, sums.w); }
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.y * $(TILE_COLUMNS)u;
  let column = thread % $(TILE_COLUMNS / THREAD_COLUMNS)u;
  let row = thread / $(TILE_COLUMNS / THREAD_COLUMNS)u;
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
#for r in 0..4
  var next$(b)_$(r) = vec4<f32>();
#end
#end
#for b in 0..BLOCKS
  if (isX$(b)) {
#for r in 0..4
    next$(b)_$(r) = xNumbers(firstI + line$(b) * 4u + $(r)u, depth$(b));
#end
  } else if (inTile$(b)) {
#for r in 0..4
    next$(b)_$(r) = wNumbers(firstJ + line$(b) * 4u + $(r)u, depth$(b));
#end
  }
#end
  for (var k = 0u; k < params.steps; k++) {
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
    if (k + 1u < params.steps) {
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
    sum$(i)_$(j),
  );
#end
#end
}
