// Units of a row as in rotate_store, of latent attention: a rotary pair, which goes
// out with its query or to a cache, or a column that only goes to a cache.

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
  // Of the query only pairs are units: its other columns are mapped.
  let per_head = select(to.width - to.pairs, to.pairs, unit < first_unit);
  let head = to.unit / per_head;
  let k = to.unit % per_head;
  // A row a sequence, in order.
  let slot = row * params.capacity + row_position[row];
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
    let turned = vec2<f32>(a * c - b * s, b * c + a * s);
    if (unit < first_unit) {
      let at = params.out_offset + row * params.out_stride + head * (params.rank + 2u * to.pairs) + params.rotary_to;
      out[at + re_dim] = turned.x;
      out[at + im_dim] = turned.y;
    }
#if STORES_FIRST
    if (unit >= first_unit && unit < second_unit) {
      let at = params.first_to_offset + slot * params.first_to_stride;
      first_to[at + re] = $FIRST_TYPE(turned.x);
      first_to[at + im] = $FIRST_TYPE(turned.y);
    }
#end
#if STORES_SECOND
    if (unit >= second_unit) {
      let at = params.second_to_offset + slot * params.second_to_stride;
      second_to[at + re] = $SECOND_TYPE(turned.x);
      second_to[at + im] = $SECOND_TYPE(turned.y);
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

