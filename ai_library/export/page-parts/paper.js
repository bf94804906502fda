// `paper.py` of the Python library: frees what is written or drawn from the paper that it was photographed on.

const SHEET_SIDE = 384; // pixels of the longer side that a sheet is brought to, where it has more
const GROUND_SIDE = 24; // of the shorter side, for the search of its ground
const WINDOW = 0.45; // of the shorter side, over which the ground is sought
const PAPER = 65; // percent: more than half of the levels may be ink's
const DARK = 24; // levels, below which differences are not made larger by how dark the ground is
const BLUR = 0.7; // pixels
const WEAK = 0.45; // of the strongest difference, below which nothing belongs to strokes
const FEW_PIXELS = 40;
const EVEN = 0.06; // of the contrast, within which nearly all of an even ground lies

/** Whether content lies on a ground of one level. */
function isEven({ width, height, data }) {
  const step = Math.max(1, Math.floor(Math.max(width, height) / SHEET_SIDE));
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const level = new Float32Array(columns * rows);
  for (let i = 0; i < level.length; i++) {
    level[i] = data[Math.floor(i / columns) * step * width + (i % columns) * step];
  }
  const ground = median(border({ width: columns, height: rows, channels: 1, data: level }));
  const difference = level.map((value) => Math.abs(value - ground));
  const contrast = most(difference);
  const near = difference.filter((value) => value < 0.5 * contrast);
  return contrast === 0 || near.length === 0 || percentile(near, 85) <= EVEN * contrast;
}

/** What was drawn on a sheet of 1 or 3 channels, as levels from 0, the paper, to 255, the ink. */
function freed(image) {
  const factor = Math.max(image.width, image.height) / SHEET_SIDE;
  if (factor > 1) image = shrunk(image, factor);
  const { width, height, channels } = image;
  const ground = groundOf(image);
  const relative = new Float32Array(image.data.length);
  for (let start = 0; start < relative.length; start += channels) {
    let sum = 0;
    for (let i = start; i < start + channels; i++) sum += ground[i];
    for (let i = start; i < start + channels; i++) relative[i] = (image.data[i] - ground[i]) / (sum / channels + DARK);
  }
  const ink = alongInk(filtered(relative, width, height, channels, gaussian(BLUR)), channels);
  const noise = 1.4826 * median(ink.map(Math.abs));
  const strongest = highest(ink, FEW_PIXELS);
  const threshold = Math.max(WEAK * (strongest.reduce((sum, value) => sum + value, 0) / strongest.length), 3 * noise);
  const pieces = piecesOf(ink, width, height, threshold);
  const levels = { width, height, channels: 1, data: new Float32Array(ink.length) };
  if (!pieces.length) return levels;
  const drawing = drawingOf(pieces, ink).flatMap((piece) => piece.pixels);
  const full = percentile(drawing.map((pixel) => ink[pixel]), 75);
  const low = Math.min(2 * noise, 0.3 * full);
  for (const pixel of surroundings(drawing, width, height, 2)) {
    const level = (ink[pixel] - low) / Math.max(full - low, 1e-6);
    levels.data[pixel] = 255 * Math.min(Math.max(level, 0), 1);
  }
  return levels;
}

function shrunk(image, factor) {
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, rounded(side / factor)));
  return resized(image, width, height, BOX);
}

/** The paper's colour at each place. */
function groundOf(image) {
  const { channels } = image;
  const small = shrunk(image, Math.max(1, Math.min(image.width, image.height) / GROUND_SIDE));
  const { width, height, data } = small;
  const window = Math.max(3, rounded(WINDOW * Math.min(width, height)) | 1);
  const distances = (ground) => lengths(Float32Array.from(data, (value, i) => value - ground[i]), channels);
  const differing = (ground) => {
    const limits = lengths(ground, channels);
    return distances(ground).reduce((sum, distance, i) => sum + Math.min(distance, 0.2 * limits[i]), 0);
  };
  const [dark, light] = [PAPER, 100 - PAPER].map((percent) => ranked(small, percent, window)); // of the ink
  let ground = differing(light) < differing(dark) ? light : dark;
  // The ink is now known nearly enough to be left out.
  const paper = distances(ground);
  const limit = 0.3 * highest(paper, 4)[0];
  const free = eroded(paper.map((distance) => (distance < limit ? 1 : 0)), width, height);
  const near = (window >> 1) | 1;
  const mean = new Float64Array(near).fill(1 / near);
  const weight = filtered(free, width, height, 1, mean);
  const nearer = filtered(Float32Array.from(data, (value, i) => value * free[Math.floor(i / channels)]), width, height, channels, mean);
  ground = ground.map((value, i) => {
    const share = weight[Math.floor(i / channels)];
    return share > 0.15 ? nearer[i] / Math.max(share, 1e-3) : value;
  });
  return resized({ width, height, channels, data: ground }, image.width, image.height, BILINEAR).data;
}

/** How far each pixel's difference from the paper goes in the direction of the ink's colour. */
function alongInk(difference, channels) {
  const length = lengths(difference, channels);
  const [least] = highest(length, FEW_PIXELS);
  const direction = new Float64Array(channels);
  length.forEach((value, pixel) => {
    if (value < least) return;
    for (let i = 0; i < channels; i++) direction[i] += difference[pixel * channels + i];
  });
  const norm = Math.max(Math.hypot(...direction), 1e-6);
  return length.map((_, pixel) => {
    let sum = 0;
    for (let i = 0; i < channels; i++) sum += (difference[pixel * channels + i] * direction[i]) / norm;
    return sum;
  });
}

/** What hangs together above a threshold, corners included: each piece with its pixels and the box around them. */
function piecesOf(ink, width, height, threshold) {
  const seen = new Uint8Array(ink.length);
  const pieces = [];
  for (let start = 0; start < ink.length; start++) {
    if (seen[start] || !(ink[start] > threshold)) continue;
    const pixels = [start];
    seen[start] = 1;
    let box;
    for (let next = 0; next < pixels.length; next++) {
      box = including(box, pixels[next] % width, Math.floor(pixels[next] / width));
      for (const pixel of surroundings([pixels[next]], width, height, 1)) {
        if (seen[pixel] || !(ink[pixel] > threshold)) continue;
        seen[pixel] = 1;
        pixels.push(pixel);
      }
    }
    const atBorder = box.left === 0 || box.top === 0 || box.right === width || box.bottom === height;
    pieces.push({ pixels, box, atBorder });
  }
  return pieces;
}

/** The pieces that are the drawing: the heaviest, and those like it that are near. */
function drawingOf(pieces, ink) {
  const weighed = pieces.map((piece) => {
    const weight = piece.pixels.reduce((sum, pixel) => sum + ink[pixel], 0);
    const strength = weight / piece.pixels.length;
    return { ...piece, weight, strength, chosen: (piece.atBorder ? 0.05 : 1) * weight * strength };
  });
  const main = weighed.reduce((best, piece) => (piece.chosen > best.chosen ? piece : best));
  const { left, right, top, bottom } = main.box;
  const more = 0.25 * Math.max(right - left, bottom - top);
  const isNear = ({ box }) =>
    box.left <= right + more && box.right >= left - more && box.top <= bottom + more && box.bottom >= top - more;
  const isAlike = ({ strength, weight, atBorder }) =>
    strength >= 0.5 * main.strength && weight >= 0.03 * main.weight && !atBorder;
  return weighed.filter((piece) => piece === main || (isAlike(piece) && isNear(piece)));
}

/** The pixels that are at most so far from one of these, diagonally too. */
function surroundings(pixels, width, height, reach) {
  const found = new Set();
  for (const pixel of pixels) {
    const [column, row] = [pixel % width, Math.floor(pixel / width)];
    for (let y = Math.max(0, row - reach); y <= Math.min(height - 1, row + reach); y++) {
      for (let x = Math.max(0, column - reach); x <= Math.min(width - 1, column + reach); x++) found.add(y * width + x);
    }
  }
  return found;
}

/** Without the pixels of which a neighbour to the sides, above or below is none. */
function eroded(mask, width, height) {
  return mask.map((value, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const inside = (x === 0 || mask[i - 1]) && (x === width - 1 || mask[i + 1]);
    return value && inside && (y === 0 || mask[i - width]) && (y === height - 1 || mask[i + width]) ? 1 : 0;
  });
}

/** The value in each window that so many percent are not above; the border's pixels go on outside. */
function ranked({ width, height, channels, data }, percent, window) {
  const reach = window >> 1;
  const rank = Math.trunc((window * window * percent) / 100);
  const values = new Uint8Array(window * window);
  return Float32Array.from(data, (_, i) => {
    const pixel = Math.floor(i / channels);
    const [column, row] = [pixel % width, Math.floor(pixel / width)];
    let count = 0;
    for (let dy = -reach; dy <= reach; dy++) {
      const line = Math.min(Math.max(row + dy, 0), height - 1) * width;
      for (let dx = -reach; dx <= reach; dx++) {
        values[count++] = data[(line + Math.min(Math.max(column + dx, 0), width - 1)) * channels + (i % channels)];
      }
    }
    return values.sort()[rank];
  });
}

/** Each channel convolved with a kernel along the columns and along the rows; the border's pixels go on outside. */
function filtered(data, width, height, channels, kernel) {
  const reach = kernel.length >> 1;
  const along = (source, length, stride) => {
    const found = new Float32Array(source.length);
    for (let i = 0; i < found.length; i++) {
      const place = Math.floor(i / stride) % length;
      let sum = 0;
      for (let tap = -reach; tap <= reach; tap++) {
        const to = Math.min(Math.max(place + tap, 0), length - 1);
        sum += source[i + (to - place) * stride] * kernel[tap + reach];
      }
      found[i] = sum;
    }
    return found;
  };
  return along(along(data, height, width * channels), width, channels);
}

function gaussian(sigma) {
  const reach = Math.trunc(4 * sigma + 0.5);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / sigma) ** 2));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

/** Of each pixel's channels as a vector. */
function lengths(data, channels) {
  const found = new Float32Array(data.length / channels);
  for (let pixel = 0; pixel < found.length; pixel++) {
    let sum = 0;
    for (let i = pixel * channels; i < (pixel + 1) * channels; i++) sum += data[i] * data[i];
    found[pixel] = Math.sqrt(sum);
  }
  return found;
}

/** The highest so many values, or all, in ascending order. */
function highest(values, count) {
  return values.toSorted().slice(-count);
}
