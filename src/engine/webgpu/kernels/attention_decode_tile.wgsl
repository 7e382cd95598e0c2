// One query row a sequence against a latent cache whose rows are keys and values:
// a block of $(GROUPS * 4) heads and $(ROUNDS * U) tokens at a time. The tokens' rows
// lie in workgroup memory, as $TILE_TYPE. A subgroup has four heads: its lanes keep
// their columns of the four queries in registers, multiply $U tokens a round, and
// reduce and scatter the products until each lane has the one score whose softmax
// it does. Lane l has head slot h for head h ^ (l / $U) and token slot u for token
// u ^ (l % $U), so that each step of the reduction adds a neighbor's slot to another
// of its own without choosing. Then weights go to workgroup memory, and a thread
// adds all tokens to $VH heads of $(VC * E * 4) columns.
//
#if HALVES
// Products of a lane's columns, and those of a tile's tokens, are added up in halves.
#end
// Arrays are nested so that the indices that vary are few and clamped once.

const LOWEST = -3.0e38;

var<workgroup> tile: array<array<array<array<$TILE_TYPE, $SG>, $PLANES>, $U>, $(BUFFERS * ROUNDS)>;
#if FB > 0
var<workgroup> pair_tile: array<array<array<array<$PAIR_TYPE, $SG>, $FB>, $U>, $(BUFFERS * ROUNDS)>;
#end
// exp2(score - top) by token, then four heads; and what a new top makes of the sums.
var<workgroup> weights: array<array<vec4<$P>, $GROUPS>, $(ROUNDS * U)>;
var<workgroup> factors: array<vec4<f32>, $GROUPS>;

#if E == 2
fn vector_0(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
fn vector_1(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.z), unpack2x16float(raw.w)); }
#end
#if FB > 0
#if HALVES
#else
#if PAIR_RAW == u32
fn pair(raw: u32) -> vec2<f32> { return unpack2x16float(raw); }
#else
fn pair(raw: vec2<f32>) -> vec2<f32> { return raw; }
#end
#end
#end

#if HALVES
fn query_four(value: vec4<f32>) -> vec4<f16> { return vec4<f16>(clamp(value, vec4<f32>(-65504.0), vec4<f32>(65504.0))); }
fn query_two(value: vec2<f32>) -> vec2<f16> { return vec2<f16>(clamp(value, vec2<f32>(-65504.0), vec2<f32>(65504.0))); }
#else
fn query_four(value: vec4<f32>) -> vec4<f32> { return value; }
fn query_two(value: vec2<f32>) -> vec2<f32> { return value; }
#end

fn dot_add(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

@compute @workgroup_size($(SG * GROUPS))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % $(SG)u;
  let subgroup = index / $(SG)u;
  let turn = lane % $(U)u;
  let own = lane / $(U)u;

  let batch = group.z;
  let split = group.y;
  let block_head = group.x * $(GROUPS * 4)u;
  let keys = lengths[batch] + 1u;
  let share = (keys + params.splits - 1u) / params.splits;
  let start = split * share;
  let end = min(keys, start + share);
  if (start >= end) {
    if (index < $(GROUPS * 4)u && block_head + index < params.heads) {
      stats[(batch * params.heads + block_head + index) * params.splits + split] = vec2<f32>(LOWEST, 0.0);
    }
    return;
  }
  let cache_row = batch * params.capacity;

  // Units past the last read the last: their q is 0, their output is dropped.
#for i in 0..FA
  let unit$(i) = min(lane + $(i * SG)u, $(UNITS - 1)u);
#end
#for i in 0..FB
  let pair_unit$(i) = min(lane + $(i * SG)u, $(PAIR_UNITS - 1)u);
#end

#for h in 0..4
  // Heads past the last are the last: their output is dropped.
  let q_at$(h) = params.query_offset + batch * params.query_stride
    + min(block_head + 4u * subgroup + (own ^ $(h)u), params.heads - 1u) * $(A + B)u;
#for i in 0..FA
#for e in 0..E
  var q$(h)_$(i * E + e) = vec4<$P>();
  if (lane + $(i * SG)u < $(UNITS)u) {
    let at = q_at$(h) + 4u * ((lane + $(i * SG)u) * $(E)u + $(e)u);
    q$(h)_$(i * E + e) = query_four(params.scale * vec4<f32>(query[at], query[at + 1u], query[at + 2u], query[at + 3u]));
  }
#end
#end
#for i in 0..FB
  var r$(h)_$(i) = vec2<$P>();
  if (lane + $(i * SG)u < $(PAIR_UNITS)u) {
    let at = q_at$(h) + $(A)u + 2u * (lane + $(i * SG)u);
    r$(h)_$(i) = query_two(params.scale * vec2<f32>(query[at], query[at + 1u]));
  }
#end
#end

  // Of the output: $VH heads, every $(VH / 4)th group of $SG units.
  let value_heads = subgroup / $(VH / 4)u;
  let value_units = subgroup % $(VH / 4)u;
#for h in 0..VH
#for c in 0..VC * E
  var acc$(h)_$(c) = vec4<f32>();
#end
#end

  var top = LOWEST;
  var sum = 0.0;
  let steps = (end - start + $(ROUNDS * U - 1)u) / $(ROUNDS * U)u;
  for (var step = 0u; step <= steps; step += 1u) {
    // The next tile is on its way while the latest is added. Past the last token:
    // the last again, its weight is 0.
#for k in 0..ROWS
    let cached$(k) = cache_row + min(start + step * $(ROUNDS * U)u + $(k * GROUPS)u + subgroup, end - 1u);
    let first_row$(k) = (params.key_offset + cached$(k) * params.key_stride) / $(4 * E)u;
#for i in 0..FA
    let next$(k)_$(i) = first[first_row$(k) + unit$(i)];
#end
#if FB > 0
    let pair_row$(k) = (params.rotary_offset + cached$(k) * params.rotary_stride) / 2u;
#for i in 0..FB
    let next_pair$(k)_$(i) = pairs[pair_row$(k) + pair_unit$(i)];
#end
#end
#end

    if (step > 0u) {
#if BUFFERS == 2
      let past = ((step + 1u) % 2u) * $(ROUNDS)u;
#end
#for j in 0..VH / 4
      let factor$(j) = factors[value_heads * $(VH / 4)u + $(j)u];
#end
#for j in 0..VH / 4
      if (any(factor$(j) != vec4<f32>(1.0))) {
#for h in 0..4
#for c in 0..VC * E
        acc$(4 * j + h)_$(c) *= factor$(j)[$h];
#end
#end
      }
#end
#if HALVES
#for h in 0..VH
#for c in 0..VC
      var added$(h)_$(c) = vec4<f16>();
#end
#end
#end
#for r in 0..ROUNDS
#for u in 0..U
      {
#for j in 0..VH / 4
        let p$(j) = weights[$(r * U + u)][value_heads * $(VH / 4)u + $(j)u];
#end
#for c in 0..VC
#if PACKED
        let raw$(c) = tile[$PAST $(r)u][$(u)u][min(value_units + $(c * VH / 4)u, $(FA - 1)u)][lane];
#for e in 0..E
        let value$(c * E + e) = vector_$(e)(raw$(c));
#end
#else
#for e in 0..E
        let value$(c * E + e) = tile[$PAST $(r)u][$(u)u][$(E)u * min(value_units + $(c * VH / 4)u, $(FA - 1)u) + $(e)u][lane];
#end
#end
#end
#for h in 0..VH
#for c in 0..VC * E
#if HALVES
        added$(h)_$(c) = fma(vec4<f16>(p$(h / 4)[$(h % 4)]), value$(c), added$(h)_$(c));
#else
        acc$(h)_$(c) = fma(vec4<f32>(p$(h / 4)[$(h % 4)]), value$(c), acc$(h)_$(c));
#end
#end
#end
      }
#end
#end
#if HALVES
#for h in 0..VH
#for c in 0..VC
      acc$(h)_$(c) += vec4<f32>(added$(h)_$(c));
#end
#end
#end
    }
    if (step == steps) { break; }

#if BUFFERS == 1
    workgroupBarrier();
#else
    let here = (step % 2u) * $(ROUNDS)u;
#end
#for k in 0..ROWS
    {
      let row = subgroup + $(k * GROUPS)u;
      let r = $HERE row / $(U)u;
      let u = row % $(U)u;
#if SPARE_ROWS
      if (row < $(ROUNDS * U)u) {
#end
#for i in 0..FA
#if WIDENED
#for e in 0..E
      tile[r][u][$(i * E + e)u][lane] = vector_$(e)(next$(k)_$(i));
#end
#else
      tile[r][u][$(i)u][lane] = next$(k)_$(i);
#end
#end
#for i in 0..FB
#if WIDENED
      pair_tile[r][u][$(i)u][lane] = pair(next_pair$(k)_$(i));
#else
      pair_tile[r][u][$(i)u][lane] = next_pair$(k)_$(i);
#end
#end
#if SPARE_ROWS
      }
#end
    }
#end
    workgroupBarrier();

#for r in 0..ROUNDS
    let valid$(r) = start + step * $(ROUNDS * U)u + $(r * U)u + turn < end;
    var score$(r) = LOWEST;
    {
#for h in 0..4
#for u in 0..U
      var s$(h)_$(u) = 0.0;
#end
#end
#for u in 0..U
      {
        let slot = turn ^ $(u)u;
#if HALVES
#for i in 0..FA
        let k$(i) = tile[$HERE $(r)u][slot][$(i)u][lane];
#end
#if FB > 0
        let two = pair_tile[$HERE $(r)u][slot][0][lane];
#end
#for h in 0..4
#if FB > 0
        var dot$(h) = r$(h)_0 * two;
#else
        var dot$(h) = vec2<f16>();
#end
#end
#for i in 1..FB
        let two$(i) = pair_tile[$HERE $(r)u][slot][$(i)u][lane];
#for h in 0..4
        dot$(h) = fma(r$(h)_$(i), two$(i), dot$(h));
#end
#end
#for i in 0..FA
#for h in 0..4
        dot$(h) = fma(q$(h)_$(i).xy, k$(i).xy, dot$(h));
#end
#for h in 0..4
        dot$(h) = fma(q$(h)_$(i).zw, k$(i).zw, dot$(h));
#end
#end
#for h in 0..4
        s$(h)_$(u) = f32(dot$(h).x) + f32(dot$(h).y);
#end
#else
#for i in 0..FB
#if WIDENED
        let two$(i) = pair_tile[$HERE $(r)u][slot][$(i)u][lane];
#else
        let two$(i) = pair(pair_tile[$HERE $(r)u][slot][$(i)u][lane]);
#end
#for h in 0..4
        s$(h)_$(u) = fma(r$(h)_$(i).x, two$(i).x, fma(r$(h)_$(i).y, two$(i).y, s$(h)_$(u)));
#end
#end
#for i in 0..FA
#if PACKED
        let raw$(i) = tile[$HERE $(r)u][slot][$(i)u][lane];
#end
#for e in 0..E
        {
#if PACKED
          let k = vector_$(e)(raw$(i));
#else
          let k = tile[$HERE $(r)u][slot][$(i * E + e)u][lane];
#end
#for h in 0..4
          s$(h)_$(u) = dot_add(q$(h)_$(i * E + e), k, s$(h)_$(u));
#end
        }
#end
#end
#end
      }
#end
$REDUCE
      score$(r) = select(LOWEST, s0_0, valid$(r));
    }
#end
    var new_top = top;
#for r in 0..ROUNDS
    new_top = max(new_top, score$(r));
#end
$MAX_OVER_TOKENS
    let factor = exp2(top - new_top);
    top = new_top;
    sum *= factor;
#for r in 0..ROUNDS
    let p$(r) = $ROUND(select(0.0, exp2(score$(r) - top), valid$(r)));
    sum += p$(r);
#end
#for r in 0..ROUNDS
    let four$(r) = vec4<f32>(
      subgroupShuffle(p$(r), turn),
      subgroupShuffle(p$(r), turn + $(U)u),
      subgroupShuffle(p$(r), turn + $(2 * U)u),
      subgroupShuffle(p$(r), turn + $(3 * U)u),
    );
    if (own == 0u) { weights[$(r * U)u + turn][subgroup] = vec4<$P>(four$(r)); }
#end
    let four_factors = vec4<f32>(
      subgroupShuffle(factor, 0u),
      subgroupShuffle(factor, $(U)u),
      subgroupShuffle(factor, $(2 * U)u),
      subgroupShuffle(factor, $(3 * U)u),
    );
    if (lane == 0u) { factors[subgroup] = four_factors; }
    workgroupBarrier();
  }

$SUM_OVER_TOKENS
  let own_head = block_head + 4u * subgroup + own;
  if (turn == 0u && own_head < params.heads) {
    stats[(batch * params.heads + own_head) * params.splits + split] = vec2<f32>(top, sum);
  }
#for h in 0..VH
  {
    let head = block_head + value_heads * $(VH)u + $(h)u;
    let part = ((batch * params.heads + head) * params.splits + split) * $(V4)u;
#for c in 0..VC
    {
      let unit = (value_units + $(c * VH / 4)u) * $(SG)u + lane;
      if (head < params.heads && unit < $(UNITS)u) {
#for e in 0..E
        partial[part + unit * $(E)u + $(e)u] = acc$(h)_$(c * E + e);
#end
      }
    }
#end
  }
#end
}
