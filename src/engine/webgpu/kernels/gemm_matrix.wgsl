// $TILE_ROWS rows of x times $TILE_COLUMNS rows of W a workgroup, $DEPTH columns at
// a time, by matrices of 16x16 halves with f32 sums. $SUBGROUP_ROWS x $SUBGROUP_COLUMNS
// subgroups share the tile; each keeps its sums in registers throughout. Rows of
// tiles are 8 halves longer than the tile is deep, which spreads them over the
// banks of workgroup memory. The next tile is on its way from memory, as it is
// stored, while this one is multiplied; x becomes halves on the way to the tile.

const LINE = $(DEPTH / 8 + 1)u;
var<workgroup> xTile: array<vec4<u32>, $(TILE_ROWS * (DEPTH / 8 + 1))>;
var<workgroup> wTile: array<vec4<u32>, $(TILE_COLUMNS * (DEPTH / 8 + 1))>;
// One matrix of sums of each subgroup on its way out.
var<workgroup> sums: array<f32, $(SUBGROUP_ROWS * SUBGROUP_COLUMNS * 256)>;

fn halves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  // Beyond the range of halves a number becomes the largest: infinities would end
  // as NaN.
  let most = vec4<f32>(65504.0);
  let a = clamp(low, -most, most);
  let b = clamp(high, -most, most);
  return vec4<u32>(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

// Numbers 8·k8 .. 8·k8 + 7 of a row, in bounds or zero; rows past the last are the
// last, and what comes of them is dropped.
#if X_HALVES
fn xUnit(i: u32, k8: u32) -> vec4<u32> {
  if (8u * k8 >= params.columns) { return vec4<u32>(); }
  return x[(params.xOffset + min(i, params.rows - 1u) * params.xStride) / 8u + k8];
}
#end

fn wUnit(j: u32, k8: u32) -> vec4<u32> {
  if (8u * k8 >= params.wStride) { return vec4<u32>(); }
  return weight[min(params.firstRow + j, params.lastRow) * params.wStride / 8u + k8];
}

fn storeWithin(i: u32, j: u32, sum: f32) {
  if (i < params.rows && j < params.outColumns) { store(i, j, sum); }
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.y * $(TILE_COLUMNS)u;
  // Where the subgroup's part of the tile begins.
  let ownI = subgroup / $(SUBGROUP_COLUMNS)u * $(ROWS * 16)u;
  let ownJ = subgroup % $(SUBGROUP_COLUMNS)u * $(COLUMNS * 16)u;
#for i in 0..ROWS
#for j in 0..COLUMNS
  var sum$(i)_$(j) = subgroup_matrix_result<f32, 16, 16>();
#end
#end
  // A thread's units of 8 columns: neighbors of a row go to neighboring threads.
  let unitLine = thread / $(DEPTH / 8)u;
  let unitK8 = thread % $(DEPTH / 8)u;
  let unitAt = unitLine * LINE + unitK8;
#for u in 0..X_UNITS
#if X_VECTOR
  var low$(u) = xNumbers(firstI + unitLine + $(u * LINES)u, 8u * unitK8);
  var high$(u) = xNumbers(firstI + unitLine + $(u * LINES)u, 8u * unitK8 + 4u);
#else
  var xNext$(u) = xUnit(firstI + unitLine + $(u * LINES)u, unitK8);
#end
#end
#for u in 0..W_UNITS
  var wNext$(u) = wUnit(firstJ + unitLine + $(u * LINES)u, unitK8);
#end
  for (var k = 0u; k < params.steps; k++) {
    workgroupBarrier();
#for u in 0..X_UNITS
#if X_VECTOR
    xTile[unitAt + $(u * LINES)u * LINE] = halves(low$(u), high$(u));
#else
    xTile[unitAt + $(u * LINES)u * LINE] = xNext$(u);
#end
#end
#for u in 0..W_UNITS
    wTile[unitAt + $(u * LINES)u * LINE] = wNext$(u);
#end
    workgroupBarrier();
    if (k + 1u < params.steps) {
      let ahead = (k + 1u) * $(DEPTH / 8)u + unitK8;
#for u in 0..X_UNITS
#if X_VECTOR
      low$(u) = xNumbers(firstI + unitLine + $(u * LINES)u, 8u * ahead);
      high$(u) = xNumbers(firstI + unitLine + $(u * LINES)u, 8u * ahead + 4u);
#else
      xNext$(u) = xUnit(firstI + unitLine + $(u * LINES)u, ahead);
#end
#end
#for u in 0..W_UNITS
      wNext$(u) = wUnit(firstJ + unitLine + $(u * LINES)u, ahead);
#end
    }
#for d in 0..DEPTH / 16
    {
#for i in 0..ROWS
      let a$(i) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&xTile, (ownI + $(i * 16)u) * LINE + $(d * 2)u, LINE);
#end
#for j in 0..COLUMNS
      let b$(j) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&wTile, (ownJ + $(j * 16)u) * LINE + $(d * 2)u, LINE);
#for i in 0..ROWS
      sum$(i)_$(j) = subgroupMatrixMultiplyAccumulate(a$(i), b$(j), sum$(i)_$(j));
#end
#end
    }
#end
  }
#if DIRECT
  if (firstI + $(TILE_ROWS)u <= params.rows && firstJ + $(TILE_COLUMNS)u <= params.outColumns) {
#for i in 0..ROWS
#for j in 0..COLUMNS
    subgroupMatrixStore<row_major>(&output, params.outOffset + (firstI + ownI + $(i * 16)u) * params.outStride + firstJ + ownJ + $(j * 16)u, sum$(i)_$(j), params.outStride);
#end
#end
    return;
  }
#end
  let own = subgroup * 256u;
#for i in 0..ROWS
#for j in 0..COLUMNS
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&sums, own, sum$(i)_$(j), 16u);
  workgroupBarrier();
#for e in 0..256 / LANES
  storeWithin(
    firstI + ownI + $(i * 16)u + ($(e * LANES)u + lane) / 16u,
    firstJ + ownJ + $(j * 16)u + ($(e * LANES)u + lane) % 16u,
    sums[own + $(e * LANES)u + lane],
  );
#end
#end
#end
}
