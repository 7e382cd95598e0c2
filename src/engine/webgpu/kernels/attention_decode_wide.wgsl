// Decode attention in latent space by matrices of 16x16 halves with f32 sums, of rows
// that are too wide for workgroup memory: a workgroup of eight subgroups takes up to
// 16 heads of a sequence and a share of its tokens, 16 at a time, whose rows pass
// through workgroup memory $CHUNK columns after columns. All columns are multiplied as
// keys, then $OUT_CHUNKS chunks of the latent as values: workgroups along z share the
// chunks, and each computes the scores for itself. Rows of the tile are 8 halves longer
// than they need be, which spreads them over the banks.
//
// A subgroup keeps its slice of every chunk of the query in registers, and its columns
// of all heads' sums. Its part of the scores and those of the others are put together
// in workgroup memory, where softmax is by eight threads a head: four of them have four
// tokens each of half of the slices, four the same tokens of the other half.
//
// exp2 is of a score less its head's reference, which follows the head's maximum only
// where that has grown by more than $GROWTH; see attention_decode_matrix.wgsl. All that
// matrices are loaded from and stored to lies in vectors.

const LOWEST = -3.0e38;
// Vectors of 8 halves in a row of the tile, with its padding, and in a chunk.
const LINE = $(CHUNK / 8 + 1)u;
const UNITS = $(CHUNK / 8)u;
// Vectors of 8 halves in a row of the weights.
const WEIGHT_LINE = 3u;

var<workgroup> tile: array<vec4<u32>, $(16 * (CHUNK / 8 + 1))>;
// [slices, heads, tokens / 4], and where a subgroup's block of it is free, any matrix of its.
var<workgroup> scores: array<vec4<f32>, 512>;
var<workgroup> weights: array<vec4<u32>, 48>;
// What a head's sums are to be multiplied by.
var<workgroup> factors: array<f32, 16>;
// Whether some factor is not 1.
var<workgroup> grown: u32;

// Eight columns of a token: of its latent, then of its rotary key. Tokens past the end
// and columns past the last are zero.
fn cached_unit(cached: u32, token: u32, end: u32, column: u32) -> vec4<u32> {
  if (token >= end || column >= $((R + M) / 8)u) { return vec4<u32>(); }
  if (column < $(R / 8)u) { return first[params.first_offset + (cached + token) * params.first_line + column]; }
  return second[params.second_offset + (cached + token) * params.second_line + column - $(R / 8)u];
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let thread = subgroup * 32u + lane;
  let sequence = group.y;
  let first_head = group.z / $(VALUE_BLOCKS)u * 16u;
  let first_chunk = group.z % $(VALUE_BLOCKS)u * $(OUT_CHUNKS)u;
  let keys = lengths[sequence] + 1u;
  // Shares are of whole tiles.
  let share = (keys + params.splits * 16u - 1u) / (params.splits * 16u) * 16u;
  let start = group.x * share;
  let end = min(keys, start + share);
  // Eight threads a head; the last head is computed by all that are left.
  let row = min(thread / 8u, 15u);
  let place = thread % 8u;
  let quarter = place % 4u;
  let writes = thread < 128u && place == 0u && first_chunk == 0u && first_head + row < params.heads;
  let part = (sequence * params.heads + first_head + row) * params.splits + group.x;
  if (start >= keys) {
    if (writes) { stats[part] = vec2<f32>(LOWEST, 0.0); }
    return;
  }
  let tiles = (end - start + 15u) / 16u;
  let cached = sequence * params.capacity;
  // Of a tile's chunk, as threads bring it.
#for u in 0..FRAGMENTS
  let line$(u) = (thread + $(u * 256)u) / UNITS;
  let column$(u) = (thread + $(u * 256)u) % UNITS;
  var next$(u) = cached_unit(cached, start + line$(u), end, column$(u));
#end

  // The query, by way of the tile; heads past the last are zero.
  let query_at = params.query_offset + sequence * params.query_stride;
  let slice_at = subgroup * $(FRAGMENTS * 2)u;
#for c in 0..CHUNKS
#if c > 0
  workgroupBarrier();
#end
#for u in 0..FRAGMENTS
  {
    let column = $(c)u * UNITS + column$(u);
    var unit = vec4<u32>();
    if (first_head + line$(u) < params.heads && column < $((R + M) / 8)u) {
      let at = (query_at + (first_head + line$(u)) * $(R + M)u) / 4u + 2u * column;
      unit = halves(query[at] * params.scale, query[at + 1u] * params.scale);
    }
    tile[line$(u) * LINE + column$(u)] = unit;
  }
#end
  workgroupBarrier();
#for f in 0..FRAGMENTS
  let query$(c * FRAGMENTS + f) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, slice_at + $(f * 2)u, LINE);
#end
#end
#for c in 0..OUT_CHUNKS * FRAGMENTS
  var sum$(c) = subgroup_matrix_result<f32, 16, 16>();
#end
  // The subgroup's block of the scores.
  let own = subgroup * 64u;
  var reference = LOWEST;
  var total = 0.0;
  workgroupBarrier();

  for (var i = 0u; i < tiles; i++) {
    let begin = start + i * 16u;
    var score = subgroup_matrix_result<f32, 16, 16>();
#for c in 0..CHUNKS
#for u in 0..FRAGMENTS
    tile[line$(u) * LINE + column$(u)] = next$(u);
#end
    workgroupBarrier();
#for u in 0..FRAGMENTS
#if c + 1 < CHUNKS
    next$(u) = cached_unit(cached, begin + line$(u), end, $(c + 1)u * UNITS + column$(u));
#else
    next$(u) = cached_unit(cached, begin + line$(u), end, first_chunk * UNITS + column$(u));
#end
#end
#for f in 0..FRAGMENTS
    {
      let key = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, col_major>(&tile, slice_at + $(f * 2)u, LINE);
      score = subgroupMatrixMultiplyAccumulate(query$(c * FRAGMENTS + f), key, score);
    }
#end
#if c + 1 == CHUNKS
    subgroupMatrixStore<row_major>(&scores, own, score, 4u);
#end
    workgroupBarrier();
#end
    // Values are in place when the weights are.
#for u in 0..FRAGMENTS
    tile[line$(u) * LINE + column$(u)] = next$(u);
#end
    {
      let at = row * 4u + quarter + place / 4u * 256u;
      var four = (scores[at] + scores[at + 64u]) + (scores[at + 128u] + scores[at + 192u]);
      four += vec4<f32>(
        subgroupShuffleXor(four.x, 4u),
        subgroupShuffleXor(four.y, 4u),
        subgroupShuffleXor(four.z, 4u),
        subgroupShuffleXor(four.w, 4u),
      );
      let present = vec4<u32>(begin + 4u * quarter) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(end);
      four = select(vec4<f32>(LOWEST), four, present);
      var top = max(max(four.x, four.y), max(four.z, four.w));
      top = max(top, subgroupShuffleXor(top, 1u));
      top = max(top, subgroupShuffleXor(top, 2u));
      var factor = 1.0;
      if (i == 0u) {
        reference = top;
      } else if (top > reference + $(GROWTH).0) {
        factor = exp2(reference - top);
        reference = top;
        total *= factor;
        grown = 1u;
      }
      let weight = select(vec4<f32>(), exp2(four - reference), present);
      let pairs = vec2<u32>(pack2x16float(weight.xy), pack2x16float(weight.zw));
      // The sum is of what the values are multiplied by.
      let low = unpack2x16float(pairs.x);
      let high = unpack2x16float(pairs.y);
      total += (low.x + low.y) + (high.x + high.y);
      let rest = vec2<u32>(subgroupShuffleXor(pairs.x, 1u), subgroupShuffleXor(pairs.y, 1u));
      if (thread < 128u && place % 2u == 0u && place < 4u) {
        weights[row * WEIGHT_LINE + place / 2u] = vec4<u32>(pairs, rest);
      }
      if (thread < 128u && place == 0u) { factors[row] = factor; }
    }
    if (workgroupUniformLoad(&grown) != 0u) {
#for c in 0..OUT_CHUNKS * FRAGMENTS
      subgroupMatrixStore<row_major>(&scores, own, sum$(c), 4u);
      workgroupBarrier();
      scores[own + lane] *= factors[lane / 4u];
      scores[own + lane + 32u] *= factors[lane / 4u + 8u];
      workgroupBarrier();
      sum$(c) = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, own, 4u);
#end
      if (thread == 0u) { grown = 0u; }
    }
    let weight = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, 0u, WEIGHT_LINE);
#for o in 0..OUT_CHUNKS
#if o > 0
#for u in 0..FRAGMENTS
    tile[line$(u) * LINE + column$(u)] = next$(u);
#end
    workgroupBarrier();
#end
#for u in 0..FRAGMENTS
#if o + 1 < OUT_CHUNKS
    next$(u) = cached_unit(cached, begin + line$(u), end, (first_chunk + $(o + 1)u) * UNITS + column$(u));
#else
    next$(u) = cached_unit(cached, begin + 16u + line$(u), end, column$(u));
#end
#end
#for c in 0..FRAGMENTS
    {
      let value = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&tile, slice_at + $(c * 2)u, LINE);
      sum$(o * FRAGMENTS + c) = subgroupMatrixMultiplyAccumulate(weight, value, sum$(o * FRAGMENTS + c));
    }
#end
    workgroupBarrier();
#end
  }

  total += subgroupShuffleXor(total, 1u);
  total += subgroupShuffleXor(total, 2u);
  if (thread < 128u && place == 0u) { factors[row] = 1.0 / total; }
  if (writes) { stats[part] = vec2<f32>(reference, total); }
#for o in 0..OUT_CHUNKS
#for c in 0..FRAGMENTS
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&scores, own, sum$(o * FRAGMENTS + c), 4u);
  workgroupBarrier();
#for e in 0..2
  {
    let out_row = lane / 4u + $(e * 8)u;
    let head = first_head + out_row;
    let column = (first_chunk + $(o)u) * $(CHUNK)u + (subgroup * $(FRAGMENTS)u + $(c)u) * 16u + lane % 4u * 4u;
    if (head < params.heads && column < $(R)u) {
      let mean = scores[own + lane + $(e * 32)u] * factors[out_row];
      let at = (((sequence * params.heads + head) * params.splits + group.x) * $(R)u + column) / 2u;
      means[at] = pack2x16float(mean.xy);
      means[at + 1u] = pack2x16float(mean.zw);
    }
  }
#end
#end
#end
}
