// Causal flash attention by matrices of 16x16 halves with f32 sums. A workgroup takes
// $ROWS query rows of one head; each of its $SUBGROUPS subgroups has $OWN_ROWS of them to
// itself: their queries and sums in registers, their scores and weights in parts of
// workgroup memory that no other subgroup touches. Keys and values come in tiles of
// $KEYS that all share; rows of tiles are 16 bytes longer than they need be, which
// spreads them over the banks.
//
// Weights times values of a tile and the scores of the next tile are one phase,
// softmax and the filling of the tiles the other: so a tile's keys are in place one
// phase before its values, and two barriers a tile are enough. What is filled next is
// on its way from memory meanwhile.
//
// exp2 is of a score less its row's reference, which follows the row's maximum only
// where that has grown by more than $GROWTH: sums are then scaled, through workgroup
// memory, as no row of a matrix can be reached in registers. Until then a weight is
// at most 2^$GROWTH, well within halves.

const LOWEST = -3.0e38;
// Vectors of 8 halves in a row of keys, of values, of weights.
const KEY_LINE = $(W / 8 + 1)u;
const VALUE_LINE = $(V / 8 + 1)u;
const WEIGHT_LINE = $(KEYS / 8 + 1)u;
// Vectors of four scores in a row.
const SCORE_LINE = $(KEYS / 4 + 1)u;

var<workgroup> key_tile: array<vec4<u32>, $(KEY_LINES * (W / 8 + 1))>;
var<workgroup> value_tile: array<vec4<u32>, $(VALUE_LINES * (V / 8 + 1))>;
var<workgroup> weights: array<vec4<u32>, $(ROWS * (KEYS / 8 + 1))>;
// In vectors, as everything that matrices are stored to: with single numbers NVIDIA's
// driver for Vulkan was found to store them elsewhere than they are read.
var<workgroup> scores: array<vec4<f32>, $(ROWS * (KEYS / 4 + 1))>;
// Whether some row's sums must be scaled.
var<workgroup> grown: u32;

// Eight columns of a query, its scale in it.
fn query_unit(row: u32, head: u32, c: u32) -> vec4<u32> {
  let start = params.query_offset + row * params.query_stride + head * $(W)u + 8u * c;
#if M > 0
  let at = (start + select(params.query_nope, params.query_rotary - $(N)u, c >= $(N / 8)u)) / 4u;
#else
  let at = (start + params.query_nope) / 4u;
#end
  return halves(params.scale * query[at], params.scale * query[at + 1u]);
}

// Eight columns of a key.
fn key_unit(sequence: u32, position: u32, key_group: u32, c: u32) -> vec4<u32> {
#if M > 0
  if (c >= $(N / 8)u) {
    let row = sequence * params.capacity + position;
    return rotary_key[(params.rotary_offset + row * params.rotary_stride) / 8u + c - $(N / 8)u];
  }
#end
  let row = sequence * params.key_capacity + position;
  return key[(params.key_offset + row * params.key_stride + key_group * params.key_group_stride) / 8u + c];
}

// Eight columns of a value.
fn value_unit(sequence: u32, position: u32, key_group: u32, c: u32) -> vec4<u32> {
  let row = sequence * params.value_capacity + position;
  return values[(params.value_offset + row * params.value_stride + key_group * params.value_group_stride) / 8u + c];
}

@compute @workgroup_size($THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let thread = subgroup * 32u + lane;
  let head = group.x;
  // Late tiles see more keys: they go first.
  let block = params.blocks - 1u - group.y;
  let tile = block / params.blocks_per_tile;
  let skipped = (block % params.blocks_per_tile) * $(ROWS)u;
  let key_group = head * params.groups / params.heads;
  let sequence = tiles[4u * tile];
  let tile_rows = tiles[4u * tile + 2u];
  if (skipped >= tile_rows) { return; }
  let rows = min($(ROWS)u, tile_rows - skipped);
  let first_row = tiles[4u * tile + 1u] + skipped;
  let first_position = tiles[4u * tile + 3u] + skipped;
  let keys = first_position + rows;
  let key_tiles = (keys + $(KEYS - 1)u) / $(KEYS)u;
  let first_own = subgroup * $(OWN_ROWS)u;
  // A lane's row in softmax, and its share of every $(16 * SHARERS) columns.
  let row = first_own + lane / $(SHARERS)u;
  let place = lane % $(SHARERS)u;
  let position = first_position + row;
  let own_scores = first_own * SCORE_LINE;
  let own_weights = first_own * WEIGHT_LINE;
  let lane_scores = row * SCORE_LINE + 4u * place;
  let lane_weights = row * WEIGHT_LINE + 2u * place;

  // Eight columns each, as keys and values are filled in.
#for t in 0..KEY_UNITS
  let key_line$(t) = (thread + $(t * THREADS)u) / $(W / 8)u;
  let key_column$(t) = (thread + $(t * THREADS)u) % $(W / 8)u;
  var next_key$(t) = vec4<u32>();
  if (key_line$(t) < keys) { next_key$(t) = key_unit(sequence, key_line$(t), key_group, key_column$(t)); }
#end
#for t in 0..VALUE_UNITS
  let value_line$(t) = (thread + $(t * THREADS)u) / $(V / 8)u;
  let value_column$(t) = (thread + $(t * THREADS)u) % $(V / 8)u;
  var next_value$(t) = vec4<u32>();
  if (value_line$(t) < keys) { next_value$(t) = value_unit(sequence, value_line$(t), key_group, value_column$(t)); }
#end

  // Queries, by way of the weights' part, as many columns at a time as it has.
#for chunk in 0..QUERY_CHUNKS
#if chunk > 0
  workgroupBarrier();
#end
#for t in 0..OWN_ROWS * KEYS / 256
  {
    let at = lane + $(t * 32)u;
    let line = first_own + at / $(KEYS / 8)u;
    let column = at % $(KEYS / 8)u;
    var unit = vec4<u32>();
    if (line < rows && column + $(chunk * (KEYS / 8))u < $(W / 8)u) {
      unit = query_unit(first_row + line, head, column + $(chunk * (KEYS / 8))u);
    }
    weights[line * WEIGHT_LINE + column] = unit;
  }
#end
  workgroupBarrier();
#for j in 0..KEYS / 16
#if chunk * (KEYS / 16) + j < W / 16
#for a in 0..ROW_BLOCKS
  let query$(a)_$(chunk * (KEYS / 16) + j) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, own_weights + $(a * 16)u * WEIGHT_LINE + $(j * 2)u, WEIGHT_LINE);
#end
#end
#end
#end
#for a in 0..ROW_BLOCKS
#for c in 0..V / 16
  var sum$(a)_$(c) = subgroup_matrix_result<f32, 16, 16>();
#end
#end
  var reference = LOWEST;
  var total = vec4<f32>();
#for t in 0..KEY_UNITS
  key_tile[key_line$(t) * KEY_LINE + key_column$(t)] = next_key$(t);
#end
  workgroupBarrier();
#for t in 0..KEY_UNITS
  next_key$(t) = vec4<u32>();
  if ($(KEYS)u + key_line$(t) < keys) { next_key$(t) = key_unit(sequence, $(KEYS)u + key_line$(t), key_group, key_column$(t)); }
#end
$SCORE
  workgroupBarrier();

  for (var i = 0u; i < key_tiles; i++) {
    let first_key = i * $(KEYS)u;
    var factor = 1.0;
    {
#for g in 0..SHARES
#for k in 0..4
      var score$(g * 4 + k) = scores[lane_scores + $(g * 4 * SHARERS + k)u];
#end
#end
      if (first_key + $(KEYS - 1)u > first_position) {
        let key = vec4<u32>(first_key + 16u * place) + vec4<u32>(0u, 1u, 2u, 3u);
#for g in 0..SHARES
#for k in 0..4
        score$(g * 4 + k) = select(score$(g * 4 + k), vec4<f32>(LOWEST), key + $(g * 16 * SHARERS + 4 * k)u > vec4<u32>(position));
#end
#end
      }
      var tops = score0;
#for k in 1..4 * SHARES
      tops = max(tops, score$(k));
#end
      var top = max(max(tops.x, tops.y), max(tops.z, tops.w));
#if SHARERS == 2
      top = max(top, subgroupShuffleXor(top, 1u));
#end
      if (i == 0u) {
        reference = top;
      } else if (top > reference + $(GROWTH).0) {
        factor = exp2(reference - top);
        reference = top;
        total *= factor;
        grown = 1u;
      }
#for k in 0..4 * SHARES
      let weight$(k) = exp2(score$(k) - reference);
      total += weight$(k);
#end
#for g in 0..SHARES
#for k in 0..2
      weights[lane_weights + $(g * 2 * SHARERS + k)u] = vec4<u32>(
        pack2x16float(weight$(g * 4 + 2 * k).xy),
        pack2x16float(weight$(g * 4 + 2 * k).zw),
        pack2x16float(weight$(g * 4 + 2 * k + 1).xy),
        pack2x16float(weight$(g * 4 + 2 * k + 1).zw),
      );
#end
#end
    }
    // Of the tiles before both were done with at the last barrier.
#for t in 0..KEY_UNITS
    key_tile[key_line$(t) * KEY_LINE + key_column$(t)] = next_key$(t);
#end
#for t in 0..VALUE_UNITS
    value_tile[value_line$(t) * VALUE_LINE + value_column$(t)] = next_value$(t);
#end
    if (workgroupUniformLoad(&grown) != 0u) {
#for chunk in 0..VALUE_CHUNKS
#for j in 0..KEYS / 16
#if chunk * (KEYS / 16) + j < V / 16
#for a in 0..ROW_BLOCKS
      subgroupMatrixStore<row_major>(&scores, own_scores + $(a * 16)u * SCORE_LINE + $(j * 4)u, sum$(a)_$(chunk * (KEYS / 16) + j), SCORE_LINE);
#end
#end
#end
      workgroupBarrier();
#for g in 0..SHARES
#for k in 0..4
      scores[lane_scores + $(g * 4 * SHARERS + k)u] *= factor;
#end
#end
      workgroupBarrier();
#for j in 0..KEYS / 16
#if chunk * (KEYS / 16) + j < V / 16
#for a in 0..ROW_BLOCKS
      sum$(a)_$(chunk * (KEYS / 16) + j) = subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&scores, own_scores + $(a * 16)u * SCORE_LINE + $(j * 4)u, SCORE_LINE);
#end
#end
#end
#end
      if (thread == 0u) { grown = 0u; }
    }
#for t in 0..KEY_UNITS
    next_key$(t) = vec4<u32>();
    if (first_key + $(2 * KEYS)u + key_line$(t) < keys) { next_key$(t) = key_unit(sequence, first_key + $(2 * KEYS)u + key_line$(t), key_group, key_column$(t)); }
#end
#for t in 0..VALUE_UNITS
    next_value$(t) = vec4<u32>();
    // Beyond the last key lies what may be anything, and 0 times NaN is NaN.
    if (first_key + $(KEYS)u + value_line$(t) < keys) { next_value$(t) = value_unit(sequence, first_key + $(KEYS)u + value_line$(t), key_group, value_column$(t)); }
#end
#for t in 0..KEYS / 16
    {
#for a in 0..ROW_BLOCKS
      let weight$(a) = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&weights, own_weights + $(a * 16)u * WEIGHT_LINE + $(t * 2)u, WEIGHT_LINE);
#end
#for c in 0..V / 16
      let value$(c) = subgroupMatrixLoad<subgroup_matrix_right<f16, 16, 16>, row_major>(&value_tile, $(t * 16)u * VALUE_LINE + $(c * 2)u, VALUE_LINE);
#for a in 0..ROW_BLOCKS
      sum$(a)_$(c) = subgroupMatrixMultiplyAccumulate(weight$(a), value$(c), sum$(a)_$(c));
#end
#end
    }
#end
    // Past the last tile, what was left of keys: nobody reads these scores.
$SCORE
    workgroupBarrier();
  }

  var sum = (total.x + total.y) + (total.z + total.w);
#if SHARERS == 2
  sum += subgroupShuffleXor(sum, 1u);
#end
  let scale = 1.0 / sum;
  let out_row = (params.out_offset + (first_row + row) * params.out_stride + head * $(V)u) / 4u;
#for chunk in 0..VALUE_CHUNKS
#if chunk > 0
  workgroupBarrier();
#end
#for j in 0..KEYS / 16
#if chunk * (KEYS / 16) + j < V / 16
#for a in 0..ROW_BLOCKS
  subgroupMatrixStore<row_major>(&scores, own_scores + $(a * 16)u * SCORE_LINE + $(j * 4)u, sum$(a)_$(chunk * (KEYS / 16) + j), SCORE_LINE);
#end
#end
#end
  workgroupBarrier();
  if (row < rows) {
#for g in 0..SHARES
    if ($(chunk * KEYS + g * 16 * SHARERS)u + 16u * place < $(V)u) {
#for k in 0..4
      out[out_row + 4u * place + $(chunk * (KEYS / 4) + g * 4 * SHARERS + k)u] = vec4<$OUT>(scale * scores[lane_scores + $(g * 4 * SHARERS + k)u]);
#end
    }
#end
  }
#end
}
