// Queries into the latent space, a small product for each head. A workgroup takes
// $ROWS query rows of one head and $(4 * COLUMNS) latent columns; a thread four
// columns of $RT rows, so that a weight is read once for all of them. Where rows
// are few, $SLICES slices of the nope dims work side by side and are summed.
// $AHEAD weights are in flight.

var<workgroup> q_tile: array<f32, $(ROWS * N_PAD)>;
#if SLICES > 1
var<workgroup> slices: array<vec4<f32>, $((SLICES - 1) * COLUMNS * RT)>;
#end

fn load_up(row: u32, column: u32) -> vec4<f32> {
  let at = params.up_offset + row * params.up_stride + column;
#if UP_VECTOR
  return vec4<f32>(key_up[at / 4u]);
#else
  var value = vec4<f32>();
  if (column < params.rank) { value.x = f32(key_up[at]); }
  if (column + 1u < params.rank) { value.y = f32(key_up[at + 1u]); }
  if (column + 2u < params.rank) { value.z = f32(key_up[at + 2u]); }
  if (column + 3u < params.rank) { value.w = f32(key_up[at + 3u]); }
  return value;
#end
}

@compute @workgroup_size($(COLUMNS * SLICES * GROUPS))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  const THREADS = $(COLUMNS * SLICES * GROUPS)u;
  let head = group.y;
  let key_group = head * params.groups / params.heads;
  let first_row = group.x * $(ROWS)u;
  let x_head = params.x_offset + head * params.query_width;
  let out_head = params.out_offset + head * (params.rank + params.rotary);

  for (var at = lane; at < $(ROWS * N_PAD)u; at += THREADS) {
    let row = first_row + at / $(N_PAD)u;
    let i = at % $(N_PAD)u;
    var value = 0.0;
    if (row < params.rows && i < $(N)u) { value = x[x_head + row * params.x_stride + params.nope_at + i]; }
    q_tile[at] = value;
  }
  if (group.z == 0u) {
    for (var at = lane; at < $(ROWS)u * params.rotary; at += THREADS) {
      let row = first_row + at / params.rotary;
      let i = at % params.rotary;
      if (row < params.rows) {
        out[out_head + row * params.out_stride + params.rotary_to + i] =
          x[x_head + row * params.x_stride + params.rotary_at + i];
      }
    }
  }
  workgroupBarrier();

  let part = lane / $(COLUMNS)u;
  let slice = part % $(SLICES)u;
  let own_rows = (part / $(SLICES)u) * $(RT)u;
  let column = 4u * (group.z * $(COLUMNS)u + lane % $(COLUMNS)u);
  // Threads past the last column load the first: they must reach the barrier.
  let start = select(0u, column, column < params.rank);
  let up_row = key_group * params.group_rows;
#for r in 0..RT
  var acc$(r) = vec4<f32>();
#end
  for (var i = slice * $(N_PAD / SLICES)u; i < (slice + 1u) * $(N_PAD / SLICES)u; i += $(AHEAD)u) {
#for u in 0..AHEAD
    // q is 0 past the last dim.
    let w$(u) = load_up(up_row + min(i + $(u)u, $(N - 1)u), start);
#end
#for r in 0..RT
    {
      let at = (own_rows + $(r)u) * $(N_PAD)u + i;
#for u in 0..AHEAD
      acc$(r) = fma(vec4<f32>(q_tile[at + $(u)u]), w$(u), acc$(r));
#end
    }
#end
  }
#if SLICES > 1
  if (slice > 0u) {
#for r in 0..RT
    slices[((slice - 1u) * $(RT)u + $(r)u) * $(COLUMNS)u + lane % $(COLUMNS)u] = acc$(r);
#end
  }
  workgroupBarrier();
  if (slice > 0u) { return; }
#for s in 0..SLICES - 1
#for r in 0..RT
  acc$(r) += slices[$((s * RT + r) * COLUMNS)u + lane % $(COLUMNS)u];
#end
#end
#end
#for r in 0..RT
  {
    let row = first_row + own_rows + $(r)u;
    if (row < params.rows) {
      let at = out_head + row * params.out_stride + params.latent_to + column;
      if (column < params.rank) { out[at] = acc$(r).x; }
      if (column + 1u < params.rank) { out[at + 1u] = acc$(r).y; }
      if (column + 2u < params.rank) { out[at + 2u] = acc$(r).z; }
      if (column + 3u < params.rank) { out[at + 3u] = acc$(r).w; }
    }
  }
#end
}
