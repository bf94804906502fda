// What the Python library does to pixels through Pillow, bit by bit. An image is { width, height, channels, data };
// data is a Uint8Array, or a Float32Array of one channel. 1 channel is grey, 2 are grey and its opacity, 3 and 4 colour.

const BICUBIC = {
  support: 2,
  weight(x) {
    x = Math.abs(x);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};
const BILINEAR = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };
const BOX = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

const PRECISION = 22; // bits of a weight behind the point, so that sums of 8 bits stay within 32

/** An image in another size: `Image.resize`, along the rows and along the columns, rounded after each. */
function resized(image, width, height, filter) {
  if (image.width === width && image.height === height) return image;
  const { channels } = image;
  let { data } = premultiplied(image);
  const lost = image.height - height;
  const downFirst = lost > 0 && lost > 2 * (image.width - width); // since Pillow 13
  if (downFirst) data = resampled(data, 1, image.height, image.width * channels, height, filter);
  if (image.width !== width) data = resampled(data, downFirst ? height : image.height, image.width, channels, width, filter);
  if (!downFirst && image.height !== height) data = resampled(data, 1, image.height, width * channels, height, filter);
  return unpremultiplied({ width, height, channels, data });
}

/** Data (before, length, after) as (before, size, after). */
function resampled(data, before, length, after, size, filter) {
  const whole = data instanceof Uint8Array;
  const found = new data.constructor(before * size * after);
  const taps = filterTaps(length, size, filter, whole);
  const sums = whole ? new Int32Array(after) : new Float64Array(after);
  for (let line = 0; line < before; line++) {
    for (let to = 0; to < size; to++) {
      const { first, weights } = taps[to];
      sums.fill(whole ? 1 << (PRECISION - 1) : 0);
      for (let tap = 0; tap < weights.length; tap++) {
        const weight = weights[tap];
        const start = (line * length + first + tap) * after;
        for (let i = 0; i < after; i++) sums[i] += data[start + i] * weight;
      }
      const start = (line * size + to) * after;
      for (let i = 0; i < after; i++) found[start + i] = whole ? clipped(sums[i] >> PRECISION) : sums[i];
    }
  }
  return found;
}

/** Of each new pixel: which old one is the first that it is made of, and the weights from there on. */
function filterTaps(length, size, filter, whole) {
  const scale = length / size;
  const stretch = Math.max(scale, 1); // where an image shrinks, the filter is as wide as a new pixel
  const support = filter.support * stretch;
  return Array.from({ length: size }, (_, to) => {
    const centre = (to + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(end - first);
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      weights[i] = filter.weight((i + first - centre + 0.5) * (1 / stretch));
      sum += weights[i];
    }
    const rounded = (weight) => Math.trunc(weight * 2 ** PRECISION + (weight < 0 ? -0.5 : 0.5));
    return { first, weights: weights.map((weight) => (whole ? rounded(weight / sum) : weight / sum)) };
  });
}

/** Means of factor x factor pixels: `Image.reduce`. At the far ends, of those that are left. */
function reduced(image, factor) {
  if (factor === 1) return image;
  const { channels, data: source } = premultiplied(image);
  const [width, height] = [Math.ceil(image.width / factor), Math.ceil(image.height / factor)];
  const data = new image.data.constructor(width * height * channels);
  for (let y = 0; y < height; y++) {
    const bottom = Math.min((y + 1) * factor, image.height);
    for (let x = 0; x < width; x++) {
      const right = Math.min((x + 1) * factor, image.width);
      const count = (bottom - y * factor) * (right - x * factor);
      for (let channel = 0; channel < channels; channel++) {
        let sum = 0;
        for (let row = y * factor; row < bottom; row++) {
          for (let column = x * factor; column < right; column++) {
            sum += source[(row * image.width + column) * channels + channel];
          }
        }
        data[(y * width + x) * channels + channel] = meanOf(sum, count, data);
      }
    }
  }
  return unpremultiplied({ width, height, channels, data });
}

function meanOf(sum, count, data) {
  if (!(data instanceof Uint8Array)) return Math.round(sum / count);
  const multiplier = Math.floor(2 ** 24 / count); // Pillow divides by a product and a shift
  return Math.floor(((sum + Math.floor(count / 2)) * multiplier) / 2 ** 24);
}

/** An image in so many channels: `Image.convert` between L, LA, RGB and RGBA. */
function converted(image, channels) {
  if (image.channels === channels) return image;
  const { width, height, data } = image;
  const from = image.channels;
  const [inColour, toColour] = [from > 2, channels > 2];
  const found = new Uint8Array(width * height * channels);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const [source, target] = [pixel * from, pixel * channels];
    if (toColour) {
      for (let i = 0; i < 3; i++) found[target + i] = data[source + (inColour ? i : 0)];
    } else {
      found[target] = inColour ? luma(data[source], data[source + 1], data[source + 2]) : data[source];
    }
    if (channels % 2 === 0) found[target + channels - 1] = from % 2 === 0 ? data[source + from - 1] : 255;
  }
  return { width, height, channels, data: found };
}

function luma(red, green, blue) {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Colours times opacity, where there is one: what is transparent has no part in a mean. */
function premultiplied(image) {
  return withEachColour(image, (value, alpha) => dividedBy255(value * alpha + 128));
}

/** The way back. */
function unpremultiplied(image) {
  return withEachColour(image, (value, alpha) => (alpha % 255 ? clipped(Math.trunc((255 * value) / alpha)) : value));
}

function withEachColour(image, change) {
  const { channels } = image;
  if (channels % 2) return image;
  const data = image.data.map((value, i) => {
    const last = channels - 1 - (i % channels);
    return last ? change(value, image.data[i + last]) : value;
  });
  return { ...image, data };
}

/** An image with colours and opacity, laid on one level: `Image.alpha_composite`. */
function composited({ width, height, data }, level) {
  const found = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const alpha = data[pixel * 4 + 3];
    for (let i = 0; i < 3; i++) {
      const blended = 128 * (data[pixel * 4 + i] * alpha + level * (255 - alpha));
      found[pixel * 3 + i] = alpha ? dividedBy255(blended + 0x4000) >> 7 : level;
    }
  }
  return { width, height, channels: 3, data: found };
}

/** A pixel (x, y) comes from where EXIF's orientation, 1 to 8, says: `ImageOps.exif_transpose`. */
function upright(image, orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return image;
  const { channels } = image;
  const turned = orientation >= 5;
  const [width, height] = turned ? [image.height, image.width] : [image.width, image.height];
  const [fromRight, fromBottom] = [[2, 3, 7, 8].includes(orientation), [3, 4, 6, 7].includes(orientation)];
  const data = new image.data.constructor(image.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [across, down] = turned ? [y, x] : [x, y];
      const column = fromRight ? image.width - 1 - across : across;
      const row = fromBottom ? image.height - 1 - down : down;
      const source = (row * image.width + column) * channels;
      for (let i = 0; i < channels; i++) data[(y * width + x) * channels + i] = image.data[source + i];
    }
  }
  return { width, height, channels, data };
}

/** x / 255, rounded as Pillow does it. */
function dividedBy255(x) {
  return ((x >> 8) + x) >> 8;
}

function clipped(value) {
  return Math.min(255, Math.max(0, value));
}
