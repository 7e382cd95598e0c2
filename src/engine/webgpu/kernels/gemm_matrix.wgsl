// $TILE_ROWS rows of x times $TILE_COLUMNS rows of W a workgroup, $DEPTH columns at
// a time, by matrices of 16x16 halves with f32 sums. $SUBGROUP_ROWS x $SUBGROUP_COLUMNS
// subgroups share the tile, $SUBGROUP_DEPTHS times, each with a share of its columns;
// each keeps its sums in registers throughout. Rows of tiles are 8 halves longer than
// the tile is deep, which spreads them over the banks of workgroup memory. The next
// $AHEAD tiles are on their way from memory while one is multiplied: a GPU streams
// at full speed only with many bytes asked for. x becomes halves on the way to the tile.

const LINE = $(DEPTH / 8 + 1)u;
const X_SIZE = $(TILE_ROWS * (DEPTH / 8 + 1))u;
const W_SIZE = $(TILE_COLUMNS * (DEPTH / 8 + 1))u;
var<workgroup> xTile: array<vec4<u32>, $(BUFFERS * TILE_ROWS * (DEPTH / 8 + 1))>;
var<workgroup> wTile: array<vec4<u32>, $(BUFFERS * TILE_COLUMNS * (DEPTH / 8 + 1))>;
#if STAGED
// Matrices of sums of each subgroup on their way out.
const SUMS = $(SUBGROUPS * 256)u;
var<workgroup> sums: array<f32, $(PARTS * SUBGROUPS * 256)>;
#end

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

// Where the row of W begins that a line of a workgroup's tile holds.
fn wRow(firstJ: u32, line: u32) -> u32 {
#if GATED
  // Each subgroup has its rows of the gate, then those of the up part.
  let block = line / 16u;
  let j = firstJ + (block / $(COLUMNS)u * $(COLUMNS / 2)u + block % $(COLUMNS / 2)u) * 16u + line % 16u;
  let isUp = block % $(COLUMNS)u >= $(COLUMNS / 2)u;
  let row = params.firstRow + min(j, params.outColumns - 1u) + select(0u, params.outColumns, isUp);
#else
  let row = min(params.firstRow + firstJ + line, params.lastRow);
#end
  return row * (params.wStride / 8u);
}

fn wUnit(row: u32, k8: u32) -> vec4<u32> {
#if !WHOLE
  if (8u * k8 >= params.wStride) { return vec4<u32>(); }
#end
  return weight[row + k8];
}
#if STAGED

// The sum over the subgroups that share a matrix.
fn total(at: u32) -> f32 {
  var sum = sums[at];
#for s in 1..SUBGROUP_DEPTHS
  sum += sums[at + $(s * SUBGROUP_ROWS * SUBGROUP_COLUMNS * 256)u];
#end
  return sum;
}
#end

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.y * $(TILE_COLUMNS / PARTS)u;
  // Where the subgroup's part of the tile begins.
  let share = subgroup % $(SUBGROUP_ROWS * SUBGROUP_COLUMNS)u;
  let ownI = share / $(SUBGROUP_COLUMNS)u * $(ROWS * 16)u;
  let ownJ = share % $(SUBGROUP_COLUMNS)u * $(COLUMNS * 16)u;
#if SUBGROUP_DEPTHS == 1
  const ownK8 = 0u;
#else
  let ownK8 = subgroup / $(SUBGROUP_ROWS * SUBGROUP_COLUMNS)u * $(STEPS * 2)u;
#end
#if SLICED
  let firstK = group.z * params.sliceSteps;
  let endK = min(firstK + params.sliceSteps, params.steps);
  let firstOut = params.outOffset + group.z * params.sliceSize;
#else
  const firstK = 0u;
  let endK = params.steps;
#if DIRECT
  let firstOut = params.outOffset;
  let isWhole = firstI + $(TILE_ROWS)u <= params.rows && firstJ + $(TILE_COLUMNS)u <= params.outColumns;
#end
#end
#if DIRECT
  let ownOut = firstOut + (firstI + ownI) * params.outStride + firstJ + ownJ;
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
#for u in 0..X_UNITS
  let xFrom$(u) = xRow(firstI + unitLine + $(u * LINES)u);
#end
#for u in 0..W_UNITS
  let wFrom$(u) = wRow(firstJ, unitLine + $(u * LINES)u);
#end
#for p in 0..AHEAD
#for u in 0..X_UNITS
#if X_VECTOR
  var low$(p)_$(u) = vec4<f32>();
  var high$(p)_$(u) = vec4<f32>();
#else
  var xNext$(p)_$(u) = vec4<u32>();
#end
#end
#for u in 0..W_UNITS
  var wNext$(p)_$(u) = vec4<u32>();
#end
  if (firstK + $(p)u < endK) {
    let ahead = (firstK + $(p)u) * $(DEPTH / 8)u + unitK8;
#for u in 0..X_UNITS
#if X_VECTOR
    low$(p)_$(u) = xNumbers(xFrom$(u), 8u * ahead);
    high$(p)_$(u) = xNumbers(xFrom$(u), 8u * ahead + 4u);
#else
    xNext$(p)_$(u) = xUnit(xFrom$(u), ahead);
#end
#end
#for u in 0..W_UNITS
    wNext$(p)_$(u) = wUnit(wFrom$(u), ahead);
#end
  }
#end
  for (var k = firstK; k < endK; k += $(AHEAD)u) {
#for p in 0..AHEAD
#if p > 0
    if (k + $(p)u >= endK) { break; }
#end
    {
#if BUFFERS == 1
      const xHere = 0u;
      const wHere = 0u;
      workgroupBarrier();
#else
      // What was read before the barrier below, a step ago, is filled again.
      let xHere = ((k + $(p)u - firstK) & 1u) * X_SIZE;
      let wHere = ((k + $(p)u - firstK) & 1u) * W_SIZE;
#end
#for u in 0..X_UNITS
#if (u + 1) * LINES > TILE_ROWS
      if (unitLine + $(u * LINES)u < $(TILE_ROWS)u)
#end
      {
#if X_VECTOR
        xTile[xHere + unitAt + $(u * LINES)u * LINE] = halves(low$(p)_$(u), high$(p)_$(u));
#else
        xTile[xHere + unitAt + $(u * LINES)u * LINE] = xNext$(p)_$(u);
#end
      }
#end
#for u in 0..W_UNITS
#if (u + 1) * LINES > TILE_COLUMNS
      if (unitLine + $(u * LINES)u < $(TILE_COLUMNS)u)
#end
      {
        wTile[wHere + unitAt + $(u * LINES)u * LINE] = wNext$(p)_$(u);
      }
#end
      workgroupBarrier();
      if (k + $(p + AHEAD)u < endK) {
        let ahead = (k + $(p + AHEAD)u) * $(DEPTH / 8)u + unitK8;
#for u in 0..X_UNITS
#if X_VECTOR
        low$(p)_$(u) = xNumbers(xFrom$(u), 8u * ahead);
        high$(p)_$(u) = xNumbers(xFrom$(u), 8u * ahead + 4u);
#else
        xNext$(p)_$(u) = xUnit(xFrom$(u), ahead);
#end
#end
#for u in 0..W_UNITS
        wNext$(p)_$(u) = wUnit(wFrom$(u), ahead);
#end
      }
#for d in 0..STEPS
      {
#for i in 0..ROWS
        let a$(i) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&xTile, xHere + (ownI + $(i * 16)u) * LINE + ownK8 + $(d * 2)u, LINE);
#end
#for j in 0..COLUMNS
        let b$(j) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&wTile, wHere + (ownJ + $(j * 16)u) * LINE + ownK8 + $(d * 2)u, LINE);
#for i in 0..ROWS
        sum$(i)_$(j) = subgroupMatrixMultiplyAccumulate(a$(i), b$(j), sum$(i)_$(j));
#end
#end
      }
#end
    }
#end
  }
#if DIRECT
  // Slices have room for whole tiles.
#if !SLICED
  if (isWhole)
#end
  {
#for i in 0..ROWS
#for j in 0..COLUMNS
    subgroupMatrixStore<row_major>(&output, ownOut + $(i * 16)u * params.outStride + $(j * 16)u, sum$(i)_$(j), params.outStride);
#end
#end
#if !SLICED
    return;
#end
  }
#end
#if STAGED
  let own = subgroup * 256u;
#for i in 0..ROWS
#for j in 0..COLUMNS / PARTS
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&sums, own, sum$(i)_$(j), 16u);
#if GATED
  subgroupMatrixStore<row_major>(&sums, own + SUMS, sum$(i)_$(j + COLUMNS / 2), 16u);
#end
  workgroupBarrier();
#for e in 0..256 / LANES / SUBGROUP_DEPTHS
  {
    let at = $(e * THREADS)u + thread;
    let block = at / 256u;
    let outI = firstI + (block / $(SUBGROUP_COLUMNS)u * $(ROWS)u + $(i)u) * 16u + at / 16u % 16u;
    let outJ = firstJ + (block % $(SUBGROUP_COLUMNS)u * $(COLUMNS / PARTS)u + $(j)u) * 16u + at % 16u;
#if SLICED
    output[firstOut + outI * params.outStride + outJ] = total(at);
#else
    if (outI < params.rows && outJ < params.outColumns) {
#if GATED
      let gate = total(at);
      // exp() of anything above 88 overflows; there silu is 0 to every bit that counts.
      let product = gate / (1.0 + exp(min(-gate, 80.0))) * total(at + SUMS);
      // Infinities would end as NaN.
      store(outI, outJ, clamp(product, -65504.0, 65504.0));
#else
      store(outI, outJ, total(at));
#end
    }
#end
  }
#end
#end
#end
#end
}
