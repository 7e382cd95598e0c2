// $TILE_ROWS rows of x times $TILE_COLUMNS rows of W a workgroup, $DEPTH columns at
// a time; a thread keeps $THREAD_ROWS x $THREAD_COLUMNS sums in registers. Both tiles
// lie in workgroup memory by rows, as vectors of four columns of $T; a row is
// one vector longer, so that neighbors' rows lie in different banks. The next tile is
// on its way from memory while this one is multiplied. All but the parts of a tile is
// written out, as loops and arrays with variable indices are slow: arrays are nested
// so that the indices that vary are few and clamped once.
#if HALVES
// Products are added up in halves, two at a time, $CHAIN columns long; such sums in f32.
#end

var<workgroup> xTile: array<array<array<vec4<$T>, $(DEPTH / 4 + 1)>, $DOWN>, $THREAD_ROWS>;
var<workgroup> wTile: array<array<array<vec4<$T>, $(DEPTH / 4 + 1)>, $SIDE>, $THREAD_COLUMNS>;

// Numbers k .. k + 3 of row j of W, whose rows end at a multiple of 8; a tile may not.
fn wNumbers(j: u32, k: u32) -> $W_RAW {
#if !WHOLE
  if (k >= params.wStride) { return $W_RAW(); }
#end
  return weight[(min(params.firstRow + j, params.lastRow) * params.wStride + k) / 4u];
}

#if WIDENED
fn wValues(raw: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y));
}
#else
fn wValues(raw: $W_RAW) -> $W_RAW { return raw; }
#end

fn xValues(i: u32, k: u32) -> vec4<$T> { return vec4<$T>(xNumbers(i, k)); }

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let firstI = group.x * $(TILE_ROWS)u;
  let firstJ = group.y * $(TILE_COLUMNS)u;
  // Threads in a row share numbers of x, those below each other of W: a subgroup that
  // is about square reads the least.
#if ACROSS == SIDE
  let column = thread % $(SIDE)u;
  let row = thread / $(SIDE)u;
#else
  let column = thread / $(ACROSS * DOWN)u * $(ACROSS)u + thread % $(ACROSS)u;
  let row = thread / $(ACROSS)u % $(DOWN)u;
#end
  // What this thread brings: every $(LINES)th line.
  let line = thread / $(DEPTH / 4)u;
  let unit = thread % $(DEPTH / 4)u;
#if SLICED
  let firstK = group.z * params.sliceSteps;
  let endK = min(firstK + params.sliceSteps, params.steps);
#else
  const firstK = 0u;
  let endK = params.steps;
#end
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS
  var sum$(i)_$(j) = 0.0;
#end
#end
  let start = firstK * $(DEPTH)u + unit * 4u;
#for b in 0..X_UNITS
  var nextX$(b) = xValues(firstI + line + $(b * LINES)u, start);
#end
#for b in 0..W_UNITS
  var nextW$(b) = wNumbers(firstJ + line + $(b * LINES)u, start);
#end
  for (var k = firstK; k < endK; k++) {
    workgroupBarrier();
#for b in 0..X_UNITS
#if X_EVEN
    {
#else
    if (line + $(b * LINES)u < $(TILE_ROWS)u) {
#end
#if DOWN % LINES == 0
      xTile[$(b * LINES / DOWN)u][line + $(b * LINES % DOWN)u][unit] = nextX$(b);
#else
      xTile[(line + $(b * LINES)u) / $(DOWN)u][(line + $(b * LINES)u) % $(DOWN)u][unit] = nextX$(b);
#end
    }
#end
#for b in 0..W_UNITS
#if W_EVEN
    {
#else
    if (line + $(b * LINES)u < $(TILE_COLUMNS)u) {
#end
#if SIDE % LINES == 0
      wTile[$(b * LINES / SIDE)u][line + $(b * LINES % SIDE)u][unit] = wValues(nextW$(b));
#else
      wTile[(line + $(b * LINES)u) / $(SIDE)u][(line + $(b * LINES)u) % $(SIDE)u][unit] = wValues(nextW$(b));
#end
    }
#end
    workgroupBarrier();
    if (k + 1u < endK) {
      let ahead = (k + 1u) * $(DEPTH)u + unit * 4u;
#for b in 0..X_UNITS
      nextX$(b) = xValues(firstI + line + $(b * LINES)u, ahead);
#end
#for b in 0..W_UNITS
      nextW$(b) = wNumbers(firstJ + line + $(b * LINES)u, ahead);
#end
    }
#if PARTS > 1
    for (var first = 0u; first < $(DEPTH / 4)u; first += $(PART)u) {
#else
    {
      const first = 0u;
#end
#if HALVES
#for g in 0..PART / (CHAIN / 4)
      {
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS
        var chain$(i)_$(j) = vec2<f16>();
#end
#end
#for c in 0..CHAIN / 4
        {
#for j in 0..THREAD_COLUMNS
          let b$(j) = wTile[$(j)u][column][first + $(g * (CHAIN / 4) + c)u];
#end
#for i in 0..THREAD_ROWS
          let a$(i) = xTile[$(i)u][row][first + $(g * (CHAIN / 4) + c)u];
#for j in 0..THREAD_COLUMNS
          chain$(i)_$(j) = fma(a$(i).xy, b$(j).xy, chain$(i)_$(j));
#end
#for j in 0..THREAD_COLUMNS
          chain$(i)_$(j) = fma(a$(i).zw, b$(j).zw, chain$(i)_$(j));
#end
#end
        }
#end
#for i in 0..THREAD_ROWS
#for j in 0..THREAD_COLUMNS
        sum$(i)_$(j) += f32(chain$(i)_$(j).x + chain$(i)_$(j).y);
#end
#end
      }
#end
#else
#for c in 0..PART
      {
#for j in 0..THREAD_COLUMNS
        let b$(j) = wTile[$(j)u][column][first + $(c)u];
#end
#for i in 0..THREAD_ROWS
        let a$(i) = xTile[$(i)u][row][first + $(c)u];
#for e in 0..4
#for j in 0..THREAD_COLUMNS
        sum$(i)_$(j) = fma(a$(i)[$e], b$(j)[$e], sum$(i)_$(j));
#end
#end
#end
      }
#end
#end
    }
  }
  // A thread's rows and columns are as far apart as there are threads along the tile.
#for i in 0..THREAD_ROWS
  {
    let i = firstI + $(i * DOWN)u + row;
#if SLICED
    // There is room for whole tiles.
    let at = params.outOffset + group.z * params.sliceSize + i * params.outStride + firstJ + column;
#for j in 0..THREAD_COLUMNS
    output[at + $(j * SIDE)u] = sum$(i)_$(j);
#end
#else
    if (i < params.rows) {
#for j in 0..THREAD_COLUMNS
      if (firstJ + $(j * SIDE)u + column < params.outColumns) { store(i, firstJ + $(j * SIDE)u + column, sum$(i)_$(j)); }
#end
    }
#end
  }
#end
}
