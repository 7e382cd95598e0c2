// Decode attention in latent space by matrices of 16x16 halves with f32 sums: a
// workgroup of eight subgroups takes up to $HEADS heads of a sequence and a share of
// its tokens, $TOKENS at a time. A token's latent and rotary key lie side by side in
// a tile of workgroup memory, from where they are multiplied as keys and, the latent
// alone, as values. Rows of the tile are 8 halves longer than they need be, which
// spreads them over the banks.
//
// Scores: a subgroup keeps its part of the query in registers, $ROW_BLOCKS blocks of 16
// heads times $SLICES slices of columns; the slices are put together in workgroup
// memory, where softmax is by eight threads a head. Values: a subgroup keeps its
// columns of all heads' sums in registers.
//
// exp2 is of a score less its head's reference, which follows the head's maximum only
// where that has grown by more than $GROWTH: sums are then scaled, through workgroup
// memory, as no row of a matrix can be reached in registers. Until then a weight is
// at most 2^$GROWTH, well within halves.

const LOWEST = -3.0e38;
// Vectors of 8 halves in a row of the tile.
const LINE = $(WIDE / 8 + 1)u;
// Vectors of 8 halves in a row of the weights.
const WEIGHT_LINE = $(TOKENS / 8 + 1)u;

var<workgroup> tile: array<vec4<u32>, $(TILE_ROWS * (WIDE / 8 + 1))>;
// [slices, heads, tokens], and where a subgroup's block of it is free, any matrix of its.
var<workgroup> scores: array<f32, $(SLICES * HEADS * TOKENS)>;
// As vectors: beside an array of single halves other arrays were found overwritten.
var<workgroup> weights: array<vec4<u32>, $(HEADS * (TOKENS / 8 + 1))>;
// What a head's sums are to be multiplied by.
var<workgroup> factors: array<f32, $HEADS>;
// Whether some factor is not 1.
var<workgroup> grown: u32;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let thread = subgroup * 32u + lane;
  let sequence = group.y;
  let first_head = group.z * $(HEADS)u;
  let keys = lengths[sequence] + 1u;
  // Shares are of whole tiles.
  let share = (keys + params.splits * $(TOKENS)u - 1u) / (params.splits * $(TOKENS)u) * $(TOKENS)u;
  let start = group.x * share;
  let end = min(keys, start + share);
  // Eight threads a head; where heads are few, the last is computed by all that are left.
  let row = min(thread / 8u, $(HEADS - 1)u);
  let place = thread % 8u;
  let writes = thread < $(8 * HEADS)u && first_head + row < params.heads;
  let part = (sequence * params.heads + first_head + row) * params.splits + group.x;
  if (start >= keys) {
    if (writes && place == 0u) { stats[part] = vec2<f32>(LOWEST, 0.0); }
    return;
  }
  let tiles = (end - start + $(TOKENS - 1)u) / $(TOKENS)u;

  let cached = sequence * params.capacity;
#for u in 0..FIRST_UNITS
  var first$(u) = vec4<u32>();
#end
#for u in 0..SECOND_UNITS
  var second$(u) = vec4<u32>();
#end
$FETCH_FIRST
  // The query, by way of the tile; heads past the last, and columns that only round
  // up the slices, are zero, and such columns are then zero in all tokens as well.
  let query_at = params.query_offset + sequence * params.query_stride;
  // All loads are in flight at once: with few tokens they are most of the time.
#for u in 0..QUERY_UNITS
  var low$(u) = vec4<f32>();
  var high$(u) = vec4<f32>();
  {
    let unit = thread + $(u * 256)u;
    let head = first_head + unit / LINE;
    let column = unit % LINE;
    if (unit / LINE < $(HEADS)u && head < params.heads && column < $((R + M) / 8)u) {
      let at = (query_at + head * $(R + M)u) / 4u + 2u * column;
      low$(u) = query[at];
      high$(u) = query[at + 1u];
    }
  }
#end
#for u in 0..QUERY_UNITS
  if (thread + $(u * 256)u < $(TILE_ROWS)u * LINE) {
    tile[thread + $(u * 256)u] = halves(low$(u) * params.scale, high$(u) * params.scale);
  }
#end
  workgroupBarrier();
  let row_block = subgroup % $(ROW_BLOCKS)u;
  let token_block = subgroup / $(ROW_BLOCKS)u % $(TOKENS / 16)u;
  let slice = subgroup / $(ROW_BLOCKS * (TOKENS / 16))u;
  let slice_at = slice * $(FRAGMENTS * 2)u;
#for f in 0..FRAGMENTS
  let query$(f) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, row_block * 16u * LINE + slice_at + $(f * 2)u, LINE);
#end
  // The subgroup's block of the scores.
  let own = (slice * $(HEADS)u + row_block * 16u) * $(TOKENS)u + token_block * 16u;
#for a in 0..ROW_BLOCKS
#for c in 0..COLUMNS
  var sum$(a)_$(c) = subgroup_matrix_result<f32, 16, 16>();
#end
#end
#for c in 0..COLUMNS
  // What comes of columns past the last is dropped in the end.
  let column$(c) = min(subgroup * $(COLUMNS)u + $(c)u, $(WIDE / 16 - 1)u) * 2u;
#end
  var reference = LOWEST;
  var total = 0.0;
  workgroupBarrier();
#if BUFFERS == 2
$PUT_FIRST
  workgroupBarrier();
$FETCH_SECOND
$SCORE_FIRST
  workgroupBarrier();
#end
  for (var i = 0u; i < tiles; i++) {
#if BUFFERS == 1
    let buffer = 0u;
$PUT
    workgroupBarrier();
$FETCH
$SCORE
    workgroupBarrier();
#else
    let buffer = i % 2u * $(TOKENS)u;
    let other = (i + 1u) % 2u * $(TOKENS)u;
#end
    {
#for j in 0..TOKENS / 8
      // Rows a multiple of 32 banks apart take turns.
      let token$(j) = place + 8u * ((row * $(TOKENS)u / 32u + $(j)u) % $(TOKENS / 8)u);
      let present$(j) = start + i * $(TOKENS)u + token$(j) < end;
      var score$(j) = scores[row * $(TOKENS)u + token$(j)];
#for s in 1..SLICES
      score$(j) += scores[$(s * HEADS * TOKENS)u + row * $(TOKENS)u + token$(j)];
#end
      score$(j) = select(LOWEST, score$(j), present$(j));
#end
      var top = score0;
#for j in 1..TOKENS / 8
      top = max(top, score$(j));
#end
      top = max(top, subgroupShuffleXor(top, 1u));
      top = max(top, subgroupShuffleXor(top, 2u));
      top = max(top, subgroupShuffleXor(top, 4u));
      var factor = 1.0;
      if (i == 0u) {
        reference = top;
      } else if (top > reference + $(GROWTH).0) {
        factor = exp2(reference - top);
        reference = top;
        total *= factor;
        grown = 1u;
      }
#for j in 0..TOKENS / 8
      // The sum is of what the values are multiplied by.
      let weight$(j) = f32(f16(select(0.0, exp2(score$(j) - reference), present$(j))));
      // The weights of eight neighboring tokens are on the head's eight threads.
      let pair$(j) = pack2x16float(vec2<f32>(weight$(j), subgroupShuffleXor(weight$(j), 1u)));
      let four$(j) = vec2<u32>(pair$(j), subgroupShuffleXor(pair$(j), 2u));
      let rest$(j) = vec2<u32>(subgroupShuffleXor(four$(j).x, 4u), subgroupShuffleXor(four$(j).y, 4u));
#end
#if HEADS == 16
      if (thread < 128u) {
#else
      {
#end
#for j in 0..TOKENS / 8
        total += weight$(j);
#end
        if (place == 0u) {
          factors[row] = factor;
#for j in 0..TOKENS / 8
          weights[row * WEIGHT_LINE + token$(j) / 8u] = vec4<u32>(four$(j), rest$(j));
#end
        }
      }
    }
#if BUFFERS == 2
    // The values of the tile before were done with at the last barrier.
$PUT
#end
    if (workgroupUniformLoad(&grown) != 0u) {
#for a in 0..ROW_BLOCKS
#for c in 0..COLUMNS
      subgroupMatrixStore<row_major>(&scores, own, sum$(a)_$(c), $(TOKENS)u);
      workgroupBarrier();
#for e in 0..8
      scores[own + ($(e * 2)u + lane / 16u) * $(TOKENS)u + lane % 16u] *= factors[$(a * 16 + e * 2)u + lane / 16u];
#end
      workgroupBarrier();
      sum$(a)_$(c) = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, own, $(TOKENS)u);
#end
#end
      if (thread == 0u) { grown = 0u; }
    }
#if BUFFERS == 2
$FETCH
#if SKIPS
    if (i + 1u < tiles) {
#else
    {
#end
$SCORE
    }
#end
#for t in 0..TOKENS / 16
    {
#for a in 0..ROW_BLOCKS
      let weight$(a) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, $(a * 16)u * WEIGHT_LINE + $(t * 2)u, WEIGHT_LINE);
#end
#for c in 0..COLUMNS
      let value$(c) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&tile, (buffer + $(t * 16)u) * LINE + column$(c), LINE);
#for a in 0..ROW_BLOCKS
      sum$(a)_$(c) = subgroupMatrixMultiplyAccumulate(weight$(a), value$(c), sum$(a)_$(c));
#end
#end
    }
#end
    workgroupBarrier();
  }

  total += subgroupShuffleXor(total, 1u);
  total += subgroupShuffleXor(total, 2u);
  total += subgroupShuffleXor(total, 4u);
  if (place == 0u) {
    if (thread < $(8 * HEADS)u) { factors[row] = 1.0 / total; }
    if (writes) { stats[part] = vec2<f32>(reference, total); }
  }
  // A lane has two columns of every fourth row of a matrix.
  let out_row = lane / 8u;
  let out_column = lane % 8u * 2u;
#for a in 0..ROW_BLOCKS
#for c in 0..COLUMNS
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&scores, own, sum$(a)_$(c), $(TOKENS)u);
  workgroupBarrier();
#for e in 0..4
  {
    let head = first_head + $(a * 16 + e * 4)u + out_row;
    let column = (subgroup * $(COLUMNS)u + $(c)u) * 16u + out_column;
    if (head < params.heads && column < $(R)u) {
      let at = own + ($(e * 4)u + out_row) * $(TOKENS)u + out_column;
      let mean = vec2<f32>(scores[at], scores[at + 1u]) * factors[$(a * 16 + e * 4)u + out_row];
      let out_part = (sequence * params.heads + head) * params.splits + group.x;
      means[(out_part * $(R)u + column) / 2u] = pack2x16float(mean);
    }
  }
#end
#end
#end
}
