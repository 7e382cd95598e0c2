// A product for each head by matrices of 16x16 halves with f32 sums: queries into
// the latent space (KEYS: a head's weights are [k, columns]), or values out of it
// ([columns, k], and x is the splits of attention put together on the way in). A
// workgroup takes $TILE_ROWS sequences and $TILE_COLUMNS columns of a head, $DEPTH
// of k at a time; $SUBGROUP_ROWS x $SUBGROUP_COLUMNS subgroups share the tile. Rows
// of tiles are 8 halves longer than they need be, which spreads them over the banks
// of workgroup memory. The next tile is on its way while this one is multiplied.

const LOWEST = -3.0e38;
const X_LINE = $(DEPTH / 8 + 1)u;
const W_LINE = $(W_WIDTH / 8 + 1)u;
var<workgroup> xTile: array<vec4<u32>, $(TILE_ROWS * (DEPTH / 8 + 1))>;
var<workgroup> wTile: array<vec4<u32>, $(W_LINES * (W_WIDTH / 8 + 1))>;
// A row of matrices of each subgroup on its way out.
var<workgroup> sums: array<f32, $(SUBGROUP_ROWS * SUBGROUP_COLUMNS * COLUMNS * 256)>;
#if MERGES
// As attention leaves them, and what each split counts for: [sequences, splits].
var<workgroup> topAndSum: array<vec2<f32>, $(TILE_ROWS * SPLITS)>;
var<workgroup> shares: array<f32, $(TILE_ROWS * SPLITS)>;
#end

fn wUnit(row: u32, k: u32) -> vec4<u32> {
#if !WHOLE
  if (k >= $(K)u) { return vec4<u32>(); }
#end
  return weight[row];
}
#if !KEYS
#if MEANS

fn lowOf(unit: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(unit.x), unpack2x16float(unit.y)); }
fn highOf(unit: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(unit.z), unpack2x16float(unit.w)); }
#end

// Units are 8 numbers of a split; row is of the first split.
fn partUnit(row: u32, split: u32, k8: u32) -> vec4<u32> {
#if MEANS
#if !WHOLE
  if (8u * k8 >= $(K)u) { return vec4<u32>(); }
#end
  return partial[(row + split) * $(K / 8)u + k8];
#else
  return vec4<u32>();
#end
}
#if MERGES

fn mergedUnit(row: u32, shareAt: u32, k8: u32) -> vec4<u32> {
#if !WHOLE
  if (8u * k8 >= $(K)u) { return vec4<u32>(); }
#end
  var low = vec4<f32>();
  var high = vec4<f32>();
  for (var s = 0u; s < $(SPLITS)u; s += 4u) {
#for a in 0..4
    let split$(a) = min(s + $(a)u, $(SPLITS - 1)u);
#if MEANS
    let part$(a) = partUnit(row, split$(a), k8);
#else
    let low$(a) = partial[2u * ((row + split$(a)) * $(K / 8)u + k8)];
    let high$(a) = partial[2u * ((row + split$(a)) * $(K / 8)u + k8) + 1u];
#end
#end
#for a in 0..4
    {
      let share = select(0.0, shares[shareAt + split$(a)], s + $(a)u < $(SPLITS)u);
#if MEANS
      let low$(a) = lowOf(part$(a));
      let high$(a) = highOf(part$(a));
#end
      // Nothing was written where a split is empty.
      low = fma(vec4<f32>(share), select(vec4<f32>(), low$(a), share > 0.0), low);
      high = fma(vec4<f32>(share), select(vec4<f32>(), high$(a), share > 0.0), high);
    }
#end
  }
  return halves(low, high);
}
#end
#end

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
#if KEYS
  @builtin(num_workgroups) groups: vec3<u32>,
#end
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
#if KEYS
  if (group.y >= params.heads) {
    let part = (group.x * groups.z + group.z) * (groups.y - params.heads) + group.y - params.heads;
    let units = params.query_units + params.first_units + params.second_units;
    let item = part * $(THREADS)u + thread;
    if (item < params.rows * units) { rotate_or_store(item / units, item % units); }
    return;
  }
#end
  let head = group.y;
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.z * $(TILE_COLUMNS)u;
  // Where the subgroup's part of the tile begins.
  let ownI = subgroup / $(SUBGROUP_COLUMNS)u * $(ROWS * 16)u;
  let ownJ = subgroup % $(SUBGROUP_COLUMNS)u * $(COLUMNS * 16)u;
#for i in 0..ROWS
#for j in 0..COLUMNS
  var sum$(i)_$(j) = subgroup_matrix_result<f32, 16, 16>();
#end
#end
  // A thread's units of 8 numbers: neighbors of a row go to neighboring threads.
  let xLine = thread / $(DEPTH / 8)u;
  let xK8 = thread % $(DEPTH / 8)u;
  let wLine = thread / $(W_WIDTH / 8)u;
  let wAt8 = thread % $(W_WIDTH / 8)u;
  let upRow = (head * params.groups / params.heads) * params.group_rows + params.first_row;
#for u in 0..W_UNITS
#if KEYS
  // Columns past the last are the last, and what comes of them is dropped.
  let wFrom$(u) = params.up_offset + upRow * params.up_line + min(firstJ / 8u + wAt8, params.columns / 8u - 1u);
  let wK$(u) = wLine + $(u * W_STEP)u;
  var wNext$(u) = wUnit(wFrom$(u) + wK$(u) * params.up_line, wK$(u));
#else
  let wFrom$(u) = params.up_offset + (upRow + min(firstJ + wLine + $(u * W_STEP)u, params.columns - 1u)) * params.up_line + wAt8;
  var wNext$(u) = wUnit(wFrom$(u), 8u * wAt8);
#end
#end
  // Rows past the last are the last, and what comes of them is dropped.
#for u in 0..X_UNITS
#if KEYS
  let xFrom$(u) = (params.x_offset + min(firstI + xLine + $(u * X_STEP)u, params.rows - 1u) * params.x_stride + params.query_start + head * params.query_width + params.nope_at) / 4u;
  var low$(u) = query[xFrom$(u) + 2u * min(xK8, $(K / 8 - 1)u)];
  var high$(u) = query[xFrom$(u) + 2u * min(xK8, $(K / 8 - 1)u) + 1u];
#else
  let xFrom$(u) = (min(firstI + xLine + $(u * X_STEP)u, params.rows - 1u) * params.heads + head) * $(SPLITS)u;
#for s in 0..KEPT
  var part$(u)_$(s) = partUnit(xFrom$(u), $(s)u, xK8);
#end
#end
#end
#if MERGES
  for (var at = thread; at < $(TILE_ROWS * SPLITS)u; at += $(THREADS)u) {
    let row = min(firstI + at / $(SPLITS)u, params.rows - 1u);
    topAndSum[at] = stats[(row * params.heads + head) * $(SPLITS)u + at % $(SPLITS)u];
  }
  workgroupBarrier();
  for (var at = thread; at < $(TILE_ROWS * SPLITS)u; at += $(THREADS)u) {
    let start = at - at % $(SPLITS)u;
    var top = LOWEST;
    for (var s = 0u; s < $(SPLITS)u; s++) { top = max(top, topAndSum[start + s].x); }
    var total = 0.0;
    for (var s = 0u; s < $(SPLITS)u; s++) {
      let other = topAndSum[start + s];
      total += select(0.0, exp2(other.x - top) * other.y, other.y > 0.0);
    }
    let own = topAndSum[at];
    var share = select(0.0, exp2(own.x - top), own.y > 0.0);
#if MEANS
    share *= own.y;
#end
    shares[at] = share / total;
  }
#end
  for (var k = 0u; k < $(STEPS)u; k++) {
    workgroupBarrier();
#for u in 0..X_UNITS
    {
      let line = xLine + $(u * X_STEP)u;
#if KEYS
      var unit = halves(low$(u), high$(u));
#if !WHOLE
      if (k * $(DEPTH)u + 8u * xK8 >= $(K)u) { unit = vec4<u32>(); }
#end
      xTile[line * X_LINE + xK8] = unit;
#else
#if !MERGES
      xTile[line * X_LINE + xK8] = part$(u)_0;
#else
#if KEPT == 0
      xTile[line * X_LINE + xK8] = mergedUnit(xFrom$(u), line * $(SPLITS)u, k * $(DEPTH / 8)u + xK8);
#else
      var low = vec4<f32>();
      var high = vec4<f32>();
#for s in 0..KEPT
      {
        let share = shares[line * $(SPLITS)u + $(s)u];
        // Nothing was written where a split is empty.
        low = fma(vec4<f32>(share), select(vec4<f32>(), lowOf(part$(u)_$(s)), share > 0.0), low);
        high = fma(vec4<f32>(share), select(vec4<f32>(), highOf(part$(u)_$(s)), share > 0.0), high);
      }
#end
      xTile[line * X_LINE + xK8] = halves(low, high);
#end
#end
#end
    }
#end
#for u in 0..W_UNITS
    wTile[(wLine + $(u * W_STEP)u) * W_LINE + wAt8] = wNext$(u);
#end
    workgroupBarrier();
#if STEPS > 1
    if (k + 1u < $(STEPS)u) {
      let next = (k + 1u) * $(DEPTH)u;
#for u in 0..W_UNITS
#if KEYS
      wNext$(u) = wUnit(wFrom$(u) + (next + wK$(u)) * params.up_line, next + wK$(u));
#else
      wNext$(u) = wUnit(wFrom$(u) + next / 8u, next + 8u * wAt8);
#end
#end
#for u in 0..X_UNITS
#if KEYS
      low$(u) = query[xFrom$(u) + 2u * min(next / 8u + xK8, $(K / 8 - 1)u)];
      high$(u) = query[xFrom$(u) + 2u * min(next / 8u + xK8, $(K / 8 - 1)u) + 1u];
#else
#for s in 0..KEPT
      part$(u)_$(s) = partUnit(xFrom$(u), $(s)u, next / 8u + xK8);
#end
#end
#end
    }
#end
#for d in 0..DEPTH / 16
    {
#for i in 0..ROWS
      let a$(i) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&xTile, (ownI + $(i * 16)u) * X_LINE + $(d * 2)u, X_LINE);
#end
#for j in 0..COLUMNS
#if KEYS
      let b$(j) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&wTile, $(d * 16)u * W_LINE + ownJ / 8u + $(j * 2)u, W_LINE);
#else
      let b$(j) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&wTile, (ownJ + $(j * 16)u) * W_LINE + $(d * 2)u, W_LINE);
#end
#for i in 0..ROWS
      sum$(i)_$(j) = subgroupMatrixMultiplyAccumulate(a$(i), b$(j), sum$(i)_$(j));
#end
#end
    }
#end
  }
  let own = subgroup * $(COLUMNS * 256)u;
  let outHead = params.out_offset + head * params.out_width + params.out_at;
#for i in 0..ROWS
  workgroupBarrier();
#for j in 0..COLUMNS
  subgroupMatrixStore<row_major>(&sums, own + $(j * 256)u, sum$(i)_$(j), 16u);
#end
  workgroupBarrier();
#for e in 0..COLUMNS * 256 / LANES
  {
    let at = $(e * LANES)u + lane;
    let row = at / $(COLUMNS * 16)u;
    let column = at % $(COLUMNS * 16)u;
    let to = firstJ + ownJ + column;
    if (firstI + ownI + $(i * 16)u + row < params.rows && to < params.columns) {
      out[outHead + (firstI + ownI + $(i * 16)u + row) * params.out_stride + to] =
        $OUT(sums[own + column / 16u * 256u + row * 16u + column % 16u]);
    }
  }
#end
#end
}
