// $TILE_ROWS rows of x times $TILE_COLUMNS rows of W a workgroup, $DEPTH columns at
// a time, by matrices of 16x16 halves with f32 sums. $SUBGROUP_ROWS x $SUBGROUP_COLUMNS
// subgroups share the tile; each keeps its sums in registers throughout. Rows of
// tiles are 8 halves longer than the tile is deep, which spreads them over the
// banks of workgroup memory. The next tile is on its way from memory, as it is
// stored, while this one is multiplied; x becomes halves on the way to the tile.

const LINE = $(DEPTH / 8 + 1)u;
const X_SIZE = $(TILE_ROWS * (DEPTH / 8 + 1))u;
const W_SIZE = $(TILE_COLUMNS * (DEPTH / 8 + 1))u;
var<workgroup> xTile: array<vec4<u32>, $(BUFFERS * TILE_ROWS * (DEPTH / 8 + 1))>;
var<workgroup> wTile: array<vec4<u32>, $(BUFFERS * TILE_COLUMNS * (DEPTH / 8 + 1))>;
#if !SLICED
// One matrix of sums of each subgroup on its way out.
var<workgroup> sums: array<f32, $(SUBGROUP_ROWS * SUBGROUP_COLUMNS * 256)>;
#end

fn halves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  // Beyond the range of halves a number becomes the largest: infinities would end
  // as NaN.
  let most = vec4<f32>(65504.0);
  let a = clamp(low, -most, most);
  let b = clamp(high, -most, most);
  return vec4<u32>(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

// Units are 8 numbers of a row, zero past its end. Rows past the last are the last,
// and what comes of them is dropped.
#if X_HALVES
fn xRow(i: u32) -> u32 { return (params.xOffset + min(i, params.rows - 1u) * params.xStride) / 8u; }

fn xUnit(row: u32, k8: u32) -> vec4<u32> {
#if !WHOLE
  if (8u * k8 >= params.columns) { return vec4<u32>(); }
#end
  return x[row + k8];
}
#else
fn xRow(i: u32) -> u32 { return i; }
#end

fn wRow(j: u32) -> u32 { return min(params.firstRow + j, params.lastRow) * (params.wStride / 8u); }

fn wUnit(row: u32, k8: u32) -> vec4<u32> {
#if !WHOLE
  if (8u * k8 >= params.wStride) { return vec4<u32>(); }
#end
  return weight[row + k8];
}
#if !SLICED

fn storeWithin(i: u32, j: u32, sum: f32) {
  if (i < params.rows && j < params.outColumns) { store(i, j, sum); }
}
#end

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
#if SLICED
  let firstK = group.z * params.sliceSteps;
  let endK = min(firstK + params.sliceSteps, params.steps);
  let ownOut = params.outOffset + group.z * params.sliceSize + (firstI + ownI) * params.outStride + firstJ + ownJ;
#else
  const firstK = 0u;
  let endK = params.steps;
#if DIRECT
  let isWhole = firstI + $(TILE_ROWS)u <= params.rows && firstJ + $(TILE_COLUMNS)u <= params.outColumns;
  let ownOut = params.outOffset + (firstI + ownI) * params.outStride + firstJ + ownJ;
#end
#end
#for i in 0..ROWS
#for j in 0..COLUMNS
  var sum$(i)_$(j) = subgroup_matrix_result<f32, 16, 16>();
#end
#end
#if ADDS
  if (isWhole) {
#for i in 0..ROWS
#for j in 0..COLUMNS
    sum$(i)_$(j) = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&output, ownOut + $(i * 16)u * params.outStride + $(j * 16)u, params.outStride);
#end
#end
  }
#end
  // A thread's units of 8 columns: neighbors of a row go to neighboring threads.
  let unitLine = thread / $(DEPTH / 8)u;
  let unitK8 = thread % $(DEPTH / 8)u;
  let unitAt = unitLine * LINE + unitK8;
  var ahead = firstK * $(DEPTH / 8)u + unitK8;
#for u in 0..X_UNITS
  let xFrom$(u) = xRow(firstI + unitLine + $(u * LINES)u);
#if X_VECTOR
  var low$(u) = xNumbers(xFrom$(u), 8u * ahead);
  var high$(u) = xNumbers(xFrom$(u), 8u * ahead + 4u);
#else
  var xNext$(u) = xUnit(xFrom$(u), ahead);
#end
#end
#for u in 0..W_UNITS
  let wFrom$(u) = wRow(firstJ + unitLine + $(u * LINES)u);
  var wNext$(u) = wUnit(wFrom$(u), ahead);
#end
  for (var k = firstK; k < endK; k++) {
#if BUFFERS == 1
    const xHere = 0u;
    const wHere = 0u;
    workgroupBarrier();
#else
    // What was read before the barrier below, a step ago, is filled again.
    let xHere = ((k - firstK) & 1u) * X_SIZE;
    let wHere = ((k - firstK) & 1u) * W_SIZE;
#end
#for u in 0..X_UNITS
#if X_VECTOR
    xTile[xHere + unitAt + $(u * LINES)u * LINE] = halves(low$(u), high$(u));
#else
    xTile[xHere + unitAt + $(u * LINES)u * LINE] = xNext$(u);
#end
#end
#for u in 0..W_UNITS
    wTile[wHere + unitAt + $(u * LINES)u * LINE] = wNext$(u);
#end
    workgroupBarrier();
    if (k + 1u < endK) {
      ahead += $(DEPTH / 8)u;
#for u in 0..X_UNITS
#if X_VECTOR
      low$(u) = xNumbers(xFrom$(u), 8u * ahead);
      high$(u) = xNumbers(xFrom$(u), 8u * ahead + 4u);
#else
      xNext$(u) = xUnit(xFrom$(u), ahead);
#end
#end
#for u in 0..W_UNITS
      wNext$(u) = wUnit(wFrom$(u), ahead);
#end
    }
#for d in 0..DEPTH / 16
    {
#for i in 0..ROWS
      let a$(i) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&xTile, xHere + (ownI + $(i * 16)u) * LINE + $(d * 2)u, LINE);
#end
#for j in 0..COLUMNS
      let b$(j) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&wTile, wHere + (ownJ + $(j * 16)u) * LINE + $(d * 2)u, LINE);
#for i in 0..ROWS
      sum$(i)_$(j) = subgroupMatrixMultiplyAccumulate(a$(i), b$(j), sum$(i)_$(j));
#end
#end
    }
#end
  }
#if SLICED
  // There is room for whole tiles.
#for i in 0..ROWS
#for j in 0..COLUMNS
  subgroupMatrixStore<row_major>(&output, ownOut + $(i * 16)u * params.outStride + $(j * 16)u, sum$(i)_$(j), params.outStride);
#end
#end
#else
#if DIRECT
  if (isWhole) {
#for i in 0..ROWS
#for j in 0..COLUMNS
    subgroupMatrixStore<row_major>(&output, ownOut + $(i * 16)u * params.outStride + $(j * 16)u, sum$(i)_$(j), params.outStride);
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
#end
}
