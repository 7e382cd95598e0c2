// Units of a row of projections: a rotary pair, or a column that only goes to a cache.
// Pairs are rotated in place, or where queries go out elsewhere, out with them. Where
// all regions allow it, a number is a vector of $LANES, and all columns count vectors.

struct Target { start: u32, width: u32, rotary_start: u32, pairs: u32, unit: u32 }

fn rotate_or_store(row: u32, unit: u32) {
  let first_unit = params.query_units;
  let second_unit = first_unit + params.first_units;
  var to = Target(params.query_start, params.query_width, params.query_rotary, params.query_pairs, unit);
  if (unit >= second_unit) {
    to = Target(params.second_start, params.second_width, params.second_rotary, params.second_pairs, unit - second_unit);
  } else if (unit >= first_unit) {
    to = Target(params.first_start, params.first_width, params.first_rotary, params.first_pairs, unit - first_unit);
  }
  // Of the query only pairs are units: its other columns stay, or are mapped.
  let per_head = select(to.width - to.pairs, to.pairs, unit < first_unit);
  let head = to.unit / per_head;
  let k = to.unit % per_head;
#if STORES
#if IN_PLACE
  let slot = row_sequence[row] * params.capacity + row_position[row];
#else
  // A row a sequence, in order.
  let slot = row * params.capacity + row_position[row];
#end
#end
  let x_row = params.x_offset + row * params.x_stride + to.start;
#if ROTATES
  if (k < to.pairs) {
#if HALF
    let re_dim = k;
    let im_dim = k + to.pairs;
#else
    let re_dim = 2u * k;
    let im_dim = re_dim + 1u;
#end
    let re = head * to.width + to.rotary_start + re_dim;
    let im = head * to.width + to.rotary_start + im_dim;
    let angle = row_position[row] * to.pairs + k;
    let c = cosines[angle];
    let s = sines[angle];
    let a = x[x_row + re];
    let b = x[x_row + im];
    let turned_re = a * c - b * s;
    let turned_im = b * c + a * s;
#if IN_PLACE
    x[x_row + re] = turned_re;
    x[x_row + im] = turned_im;
#else
    if (unit < first_unit) {
      let at = params.out_offset + row * params.out_stride + head * (params.rank + 2u * to.pairs) + params.rotary_to;
      out[at + re_dim] = turned_re;
      out[at + im_dim] = turned_im;
    }
#end
#if STORES_FIRST
    if (unit >= first_unit && unit < second_unit) {
      let at = params.first_to_offset + slot * params.first_to_stride;
      first_to[at + re] = $FIRST_TYPE(turned_re);
      first_to[at + im] = $FIRST_TYPE(turned_im);
    }
#end
#if STORES_SECOND
    if (unit >= second_unit) {
      let at = params.second_to_offset + slot * params.second_to_stride;
      second_to[at + re] = $SECOND_TYPE(turned_re);
      second_to[at + im] = $SECOND_TYPE(turned_im);
    }
#end
    return;
  }
#end
  let plain = k - to.pairs;
  let column = head * to.width + plain + select(0u, 2u * to.pairs, plain >= to.rotary_start);
#if STORES_FIRST
  if (unit >= first_unit && unit < second_unit) {
    first_to[params.first_to_offset + slot * params.first_to_stride + column] = $FIRST_TYPE(x[x_row + column]);
  }
#end
#if STORES_SECOND
  if (unit >= second_unit) {
    second_to[params.second_to_offset + slot * params.second_to_stride + column] = $SECOND_TYPE(x[x_row + column]);
  }
#end
}

