// One query row a sequence against its cache, in registers: no barrier until the
// end. $LK lanes share a key, each with its own columns of q and of the output for
// $HB heads; a subgroup has $KG such groups, each with $U keys a step, the next
// step's loaded ahead. Partial scores are reduced and scattered, so that a lane
// has the one score (head, key) whose softmax it does, and weights come back by
// shuffles. $HS subgroups take different heads of the same keys (read once, then
// from the cache), $KS take different keys, merged in workgroup memory.

const LOWEST = -3.0e38;

#if KS > 1
var<workgroup> tops: array<f32, $(HS * KS * HB)>;
var<workgroup> sums: array<f32, $(HS * KS * HB)>;
var<workgroup> parts: array<vec4<f32>, $(HS * KS * HB * V4)>;
#end

// Units of loads as vectors of f32.
#if FIRST_PACKED
fn first_0(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
fn first_1(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.z), unpack2x16float(raw.w)); }
#else
fn first_0(raw: $FIRST_RAW) -> vec4<f32> { return vec4<f32>(raw); }
#end
#if VALUE_PACKED
fn value_0(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.x), unpack2x16float(raw.y)); }
fn value_1(raw: vec4<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(raw.z), unpack2x16float(raw.w)); }
#else
fn value_0(raw: $VALUE_RAW) -> vec4<f32> { return vec4<f32>(raw); }
#end
#if FB > 0
#if PAIR_PACKED
fn pair(raw: u32) -> vec2<f32> { return unpack2x16float(raw); }
#else
fn pair(raw: vec2<f32>) -> vec2<f32> { return raw; }
#end
#end

fn dot_add(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}

@compute @workgroup_size($(SG * HS * KS))
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % $(SG)u;
  let subgroup = index / $(SG)u;
  let head_slot = subgroup / $(KS)u;
  let key_slot = (subgroup % $(KS)u) * $(KG)u + lane / $(LK)u;
  // Within the lanes of a key.
  let turn = lane % $(LK)u;
  let base = lane - turn;

  let batch = group.z;
  let split = group.y;
  let head_group = group.x / params.blocks;
  // Head h belongs to group floor(h G / H).
  let head_end = ((head_group + 1u) * params.heads + params.groups - 1u) / params.groups;
  let block_head = (head_group * params.heads + params.groups - 1u) / params.groups
    + (group.x % params.blocks) * $(HS * HB)u;
  let first_head = block_head + head_slot * $(HB)u;
  let keys = lengths[batch] + 1u;
  let share = (keys + params.splits - 1u) / params.splits;
  let start = split * share;
  let end = min(keys, start + share);
  if (start >= end) {
    if (index < $(HS * HB)u && block_head + index < head_end) {
      stats[(batch * params.heads + block_head + index) * params.splits + split] = vec2<f32>(LOWEST, 0.0);
    }
    return;
  }
  let cache_row = batch * params.capacity;
  let key_at = params.key_offset + (head_group * params.key_groups / params.groups) * params.key_group_stride;
  let value_at = params.value_offset + (head_group * params.value_groups / params.groups) * params.value_group_stride;

  // Units past the last read the last: their q is 0, their output is dropped.
#for i in 0..FA
  let first_unit$(i) = min(turn + $(i * LK)u, $(FIRST_UNITS - 1)u);
#end
#if !VALUE_IS_KEY
#for i in 0..FV
  let value_unit$(i) = min(turn + $(i * LK)u, $(VALUE_UNITS - 1)u);
#end
#end
#for i in 0..FB
  let pair_unit$(i) = min(turn + $(i * LK)u, $(PAIR_UNITS - 1)u);
#end

#for h in 0..HB
  let q_at$(h) = params.query_offset + batch * params.query_stride
    + min(first_head + $(h)u, params.heads - 1u) * $(A + B)u;
#for i in 0..FA
#for e in 0..EA
  var q$(h)_$(i * EA + e) = vec4<f32>();
  if (turn + $(i * LK)u < $(FIRST_UNITS)u) {
    let at = q_at$(h) + 4u * ((turn + $(i * LK)u) * $(EA)u + $(e)u);
    q$(h)_$(i * EA + e) = params.scale * vec4<f32>(query[at], query[at + 1u], query[at + 2u], query[at + 3u]);
  }
#end
#end
#for i in 0..FB
  var r$(h)_$(i) = vec2<f32>();
  if (turn + $(i * LK)u < $(PAIR_UNITS)u) {
    let at = q_at$(h) + $(A)u + 2u * (turn + $(i * LK)u);
    r$(h)_$(i) = params.scale * vec2<f32>(query[at], query[at + 1u]);
  }
#end
#for c in 0..FV * EV
  var acc$(h)_$(c) = vec4<f32>();
#end
#end

  // Of the score that is this lane's own: index h·U + u, on $DUP lanes.
  let own_key = key_slot + ((turn / $(DUP)u) % $(U)u) * $(KS * KG)u;
  var top = LOWEST;
  var sum = 0.0;

#for u in 0..U
#for i in 0..FA
  var next_first$(u)_$(i): $FIRST_RAW;
#end
#if !VALUE_IS_KEY
#for i in 0..FV
  var next_value$(u)_$(i): $VALUE_RAW;
#end
#end
#for i in 0..FB
  var next_pair$(u)_$(i): $PAIR_RAW;
#end
#end
  let steps = (end - start + $(KS * KG * U - 1)u) / $(KS * KG * U)u;
  for (var step = 0u; step <= steps; step += 1u) {
#for u in 0..U
#for i in 0..FA
    let first$(u)_$(i) = next_first$(u)_$(i);
#end
#if !VALUE_IS_KEY
#for i in 0..FV
    let value$(u)_$(i) = next_value$(u)_$(i);
#end
#end
#for i in 0..FB
    let pair$(u)_$(i) = next_pair$(u)_$(i);
#end
    {
      // Past the last key: the last again, its weight is 0.
      let key = min(start + step * $(KS * KG * U)u + $(u * KS * KG)u + key_slot, end - 1u);
      let row = cache_row + key;
      let first_row = (key_at + row * params.key_stride) / $(4 * EA)u;
#for i in 0..FA
      next_first$(u)_$(i) = first[first_row + first_unit$(i)];
#end
#if !VALUE_IS_KEY
      let value_row = (value_at + row * params.value_stride) / $(4 * EV)u;
#for i in 0..FV
      next_value$(u)_$(i) = values[value_row + value_unit$(i)];
#end
#end
#if FB > 0
      let pair_row = (params.rotary_offset + row * params.rotary_stride) / 2u;
#for i in 0..FB
      next_pair$(u)_$(i) = pairs[pair_row + pair_unit$(i)];
#end
#end
    }
#end
    // The first round only loads.
    if (step == 0u) { continue; }

#for u in 0..U
#for h in 0..HB
    var s$(h * U + u) = 0.0;
#for i in 0..FB
    {
      let k = pair(pair$(u)_$(i));
      s$(h * U + u) = fma(r$(h)_$(i).x, k.x, fma(r$(h)_$(i).y, k.y, s$(h * U + u)));
    }
#end
#for i in 0..FA
#for e in 0..EA
    s$(h * U + u) = dot_add(q$(h)_$(i * EA + e), first_$(e)(first$(u)_$(i)), s$(h * U + u));
#end
#end
#end
#end
$REDUCE
    let valid = start + (step - 1u) * $(KS * KG * U)u + own_key < end;
    var new_top = select(LOWEST, s0, valid);
$MAX_OVER_KEYS
    new_top = max(new_top, top);
    let factor = exp2(top - new_top);
    let p = select(0.0, exp2(s0 - new_top), valid);
    sum = sum * factor + p;
    top = new_top;
    let grew = subgroupAny(factor != 1.0);
#for h in 0..HB
    let factor$(h) = subgroupShuffle(factor, base + $(h * U * DUP)u);
#end
    if (grew) {
#for h in 0..HB
#for c in 0..FV * EV
      acc$(h)_$(c) *= factor$(h);
#end
#end
    }
#for u in 0..U
#for h in 0..HB
    let p$(h)_$(u) = subgroupShuffle(p, base + $((h * U + u) * DUP)u);
#end
#for i in 0..FV
#for e in 0..EV
    {
#if VALUE_IS_KEY
      let value = first_$(e)(first$(u)_$(i));
#else
      let value = value_$(e)(value$(u)_$(i));
#end
#for h in 0..HB
      acc$(h)_$(i * EV + e) = fma(vec4<f32>(p$(h)_$(u)), value, acc$(h)_$(i * EV + e));
#end
    }
#end
#end
#end
  }

  // Keys of the lanes of a head, then of the groups of lanes.
$SUM_OVER_KEYS
  let own_top = top;
$MERGE_TOPS
  let shrink = exp2(own_top - top);
  sum *= shrink;
$MERGE_SUMS
#for h in 0..HB
  {
    let factor = subgroupShuffle(shrink, base + $(h * U * DUP)u);
#for c in 0..FV * EV
    acc$(h)_$(c) *= factor;
#end
  }
#end
$MERGE_PARTS
#if KS > 1
#for h in 0..HB
  if (lane == $(h * U * DUP)u) {
    tops[subgroup * $(HB)u + $(h)u] = top;
    sums[subgroup * $(HB)u + $(h)u] = sum;
  }
#end
  workgroupBarrier();
#for h in 0..HB
  {
    var all_top = LOWEST;
#for k in 0..KS
    all_top = max(all_top, tops[(head_slot * $(KS)u + $(k)u) * $(HB)u + $(h)u]);
#end
    let factor = exp2(tops[subgroup * $(HB)u + $(h)u] - all_top);
#for i in 0..FV
#for e in 0..EV
    if (lane < $(LK)u && turn + $(i * LK)u < $(VALUE_UNITS)u) {
      parts[(subgroup * $(HB)u + $(h)u) * $(V4)u + (turn + $(i * LK)u) * $(EV)u + $(e)u] = factor * acc$(h)_$(i * EV + e);
    }
#end
#end
  }
#end
  workgroupBarrier();
  for (var at = index; at < $(HS * HB * V4)u; at += $(SG * HS * KS)u) {
    let slot = at / $(V4)u;
    let c = at % $(V4)u;
    // parts are [head slot, key slot, head of the slot].
    let part = (slot / $(HB)u) * $(KS * HB)u + slot % $(HB)u;
    if (block_head + slot < head_end) {
      var value = vec4<f32>();
#for k in 0..KS
      value += parts[(part + $(k * HB)u) * $(V4)u + c];
#end
      partial[((batch * params.heads + block_head + slot) * params.splits + split) * $(V4)u + c] = value;
      if (c == 0u) {
        var all_top = LOWEST;
#for k in 0..KS
        all_top = max(all_top, tops[part + $(k * HB)u]);
#end
        var all_sum = 0.0;
#for k in 0..KS
        all_sum += sums[part + $(k * HB)u] * exp2(tops[part + $(k * HB)u] - all_top);
#end
        stats[(batch * params.heads + block_head + slot) * params.splits + split] = vec2<f32>(all_top, all_sum);
      }
    }
  }
#else
#for h in 0..HB
  if (first_head + $(h)u < head_end && lane < $(LK)u) {
    let part = (batch * params.heads + first_head + $(h)u) * params.splits + split;
    if (lane == $(h * U * DUP)u) { stats[part] = vec2<f32>(top, sum); }
#for i in 0..FV
#for e in 0..EV
    if (turn + $(i * LK)u < $(VALUE_UNITS)u) {
      partial[part * $(V4)u + (turn + $(i * LK)u) * $(EV)u + $(e)u] = acc$(h)_$(i * EV + e);
    }
#end
#end
  }
#end
#end
}
