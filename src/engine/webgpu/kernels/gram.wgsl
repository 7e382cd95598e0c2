// A workgroup owns a TILE x TILE tile on or above the diagonal and runs over all
// rows; a thread owns $(T)x$T of it in named registers. Registers sum $SPAN rows, then
// go to the output: a sum of sums, whose error grows with the number of spans and
// not of rows. Column D of [h;1] is made here, so h stays as it is.

var<workgroup> left: array<vec4<f32>, $(STEP * TILE / 4)>;
var<workgroup> right: array<vec4<f32>, $(STEP * TILE / 4)>;

fn load(row: u32, column: u32) -> vec4<f32> {
  if (row >= params.rows || column > params.width) { return vec4<f32>(0.0); }
  var four = vec4<f32>(0.0);
#if VECTOR
  // Below the width, so within the padded row; the padding may hold anything.
  if (column < params.width) {
    four = vec4<f32>(x[(params.offset + row * params.stride + column) / 4u]);
  }
#else
  let at = params.offset + row * params.stride + column;
#for i in 0..4
  if (column + $(i)u < params.width) { four[$i] = f32(x[at + $(i)u]); }
#end
#end
  let columns = vec4<u32>(column, column + 1u, column + 2u, column + 3u);
  return select(
    select(vec4<f32>(0.0), vec4<f32>(1.0), columns == vec4<u32>(params.width)),
    four,
    columns < vec4<u32>(params.width),
  );
}

fn put(i: u32, first: u32, sums: vec4<f32>, fresh: bool, last: bool) {
  let size = params.width + 1u;
  for (var e = 0u; e < 4u; e++) {
    let j = first + e;
    // On the diagonal tile, below the diagonal is left to the mirror.
    if (i <= j && j < size) {
      var total = sums[e];
      if (!fresh) { total += moments[i * size + j]; }
      moments[i * size + j] = total;
      if (last) { moments[j * size + i] = total; }
    }
  }
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  if (group.y > group.x) { return; }
  let first_i = group.y * $(TILE)u;
  let first_j = group.x * $(TILE)u;
  for (var span = 0u; span < params.rows; span += $(SPAN)u) {
#for i in 0..T
#for q in 0..T/4
    var sum$(i)_$q = vec4<f32>(0.0);
#end
#end
    let stop = min(span + $(SPAN)u, params.rows);
    for (var start = span; start < stop; start += $(STEP)u) {
      for (var n = thread; n < $(STEP * TILE / 4)u; n += 256u) {
        let row = start + n / $(TILE / 4)u;
        let column = (n % $(TILE / 4)u) * 4u;
#if WEIGHTS
        let weight = weights[min(row, params.rows - 1u)];
        left[n] = load(row, first_i + column) * weight;
#else
        left[n] = load(row, first_i + column);
#end
        right[n] = load(row, first_j + column);
      }
      workgroupBarrier();
#for k in 0..STEP
      {
#for q in 0..T/4
        let a$q = left[$(k * TILE / 4 + q * 16)u + local.y];
        let b$q = right[$(k * TILE / 4 + q * 16)u + local.x];
#end
#for i in 0..T
#for q in 0..T/4
        sum$(i)_$q = fma(vec4<f32>(a$(i / 4)[$(i % 4)]), b$q, sum$(i)_$q);
#end
#end
      }
#end
      workgroupBarrier();
    }
    let fresh = span == 0u && params.accumulate == 0u;
    let last = stop == params.rows;
#for i in 0..T
    {
      let i = first_i + $(i / 4 * 64 + i % 4)u + local.y * 4u;
#for q in 0..T/4
      put(i, first_j + $(q * 64)u + local.x * 4u, sum$(i)_$q, fresh, last);
#end
    }
#end
  }
}
