// All of latent attention's work before the attention in one dispatch, since each
// dispatch costs a barrier. Workgroups y < heads map query rows of a head into the
// latent space: $(RG * RT) rows and $(CT * E * 4) columns, a thread $RT rows of one load
// of weights, $AHEAD loads in flight; $SLICES slices of the nope dims work side by
// side and are summed in workgroup memory, from where rows go out in order. The
// workgroups after them have units of a row as in rotate_store: a rotary pair, or
// a column that only goes to a cache.

var<workgroup> q_tile: array<array<vec4<f32>, $(N_PAD / 4)>, $(RG * RT)>;
var<workgroup> sums: array<vec4<f32>, $(SLICES * RG * RT * CT * E)>;

#if E == 2
fn vector_0(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
fn vector_1(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.z), unpack2x16float(raw.w)); }
#else
fn vector_0(raw: vec4<f32>) -> vec4<f32> { return raw; }
#end

@compute @workgroup_size($(CT * SLICES * RG))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  const THREADS = $(CT * SLICES * RG)u;
  if (group.y >= params.heads) {
    let part = (group.x * groups.z + group.z) * (groups.y - params.heads) + group.y - params.heads;
    let units = params.query_units + params.first_units + params.second_units;
    let item = part * THREADS + lane;
    if (item < params.rows * units) { rotate_or_store(item / units, item % units); }
    return;
  }
  let head = group.y;
  let first_row = group.x * $(RG * RT)u;
  let column = lane % $(CT)u;
  let slice = (lane / $(CT)u) % $(SLICES)u;
  let own_row = lane / $(CT * SLICES)u * $(RT)u;
  // Threads past the last column load the last: they must reach the barriers.
  let unit = min(group.z * $(CT)u + column, params.rank / $(4 * E)u - 1u);
  let up_row = (head * params.groups / params.heads) * params.group_rows;
  let up_at = params.up_offset / $(4 * E)u + unit;
  let up_line = params.up_stride / $(4 * E)u;
  let first_dim = slice * $(N_PAD / SLICES)u;

  // On their way while q is fetched; q is 0 past the last dim.
#for u in 0..AHEAD
  var next$(u) = key_up[up_at + (up_row + min(first_dim + $(u)u, $(N - 1)u)) * up_line];
#end
  for (var at = lane; at < $(RG * RT * N_PAD / 4)u; at += THREADS) {
    let row = min(first_row + at / $(N_PAD / 4)u, params.rows - 1u);
    let i = 4u * (at % $(N_PAD / 4)u);
    let q_at = params.x_offset + row * params.x_stride + params.query_start + head * params.query_width + params.nope_at + i;
    var value = vec4<f32>();
#if N % 4 == 0
    if (i < $(N)u) { value = vec4<f32>(x[q_at], x[q_at + 1u], x[q_at + 2u], x[q_at + 3u]); }
#else
    if (i < $(N)u) { value.x = x[q_at]; }
    if (i + 1u < $(N)u) { value.y = x[q_at + 1u]; }
    if (i + 2u < $(N)u) { value.z = x[q_at + 2u]; }
    if (i + 3u < $(N)u) { value.w = x[q_at + 3u]; }
#end
    q_tile[at / $(N_PAD / 4)u][at % $(N_PAD / 4)u] = value;
  }
  workgroupBarrier();

#for r in 0..RT
#for e in 0..E
  var acc$(r)_$(e) = vec4<f32>();
#end
#end
#if TURNS > 1
  for (var turn = 0u; turn < $(TURNS)u; turn += 1u) {
    let dim = first_dim + turn * $(AHEAD)u;
#else
  {
    let dim = first_dim;
#end
#for u in 0..AHEAD
    let w$(u) = next$(u);
#end
#if TURNS > 1
#for u in 0..AHEAD
    next$(u) = key_up[up_at + (up_row + min(dim + $(AHEAD + u)u, $(N - 1)u)) * up_line];
#end
#end
#for v in 0..AHEAD / 4
    {
#for u in 0..4
#for e in 0..E
      let w$(u)_$(e) = vector_$(e)(w$(4 * v + u));
#end
#end
#for r in 0..RT
      {
        let q = q_tile[own_row + $(r)u][dim / 4u + $(v)u];
#for u in 0..4
#for e in 0..E
        acc$(r)_$(e) = fma(vec4<f32>(q[$u]), w$(u)_$(e), acc$(r)_$(e));
#end
#end
      }
#end
    }
#end
  }

#for r in 0..RT
#for e in 0..E
  sums[((slice * $(RG * RT)u + own_row + $(r)u) * $(CT)u + column) * $(E)u + $(e)u] = acc$(r)_$(e);
#end
#end
  workgroupBarrier();
  for (var at = lane; at < $(RG * RT * CT * E * 4)u; at += THREADS) {
    let row = first_row + at / $(CT * E * 4)u;
    let j = at % $(CT * E * 4)u;
    let to = group.z * $(CT * E * 4)u + j;
    if (row < params.rows && to < params.rank) {
      var sum = 0.0;
#for s in 0..SLICES
      sum += sums[$(s * RG * RT * CT * E)u + at / 4u][at % 4u];
#end
      out[params.out_offset + row * params.out_stride + head * (params.rank + params.rotary) + params.latent_to + to] = sum;
    }
  }
}
