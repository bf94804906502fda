// `fit_image` of the Python library: brings pixels of any size into the image that the network takes.

/** Fits an image, without bending it, into one of (height, width, channels); see `fit_image` for what happens. */
function fitted(image, [height, width, channels], contentSize) {
  if (image.channels % 2 === 0 && (contentSize || channels % 2 === 1)) {
    image = onGround(converted(image, 4), channels < 3).image;
  }
  if (contentSize) image = withContent(image, width, height, contentSize);
  image = converted(image, channels);
  if (image.width === width && image.height === height) return image;
  const scale = Math.min(width / image.width, height / image.height);
  const columns = Math.max(1, rounded(image.width * scale));
  const rows = Math.max(1, rounded(image.height * scale));
  const canvas = blank(width, height, channels);
  for (let channel = 0; channel < channels; channel++) {
    const level = Math.trunc(median(border(image, channel)));
    for (let i = channel; i < canvas.data.length; i += channels) canvas.data[i] = level;
  }
  const content = resized(image, columns, rows, BICUBIC);
  paste(canvas, content, Math.floor((width - columns) / 2), Math.floor((height - rows) / 2));
  return canvas;
}

const VISIBLE = 64; // levels, as the mean of a drawing's difference from its ground

/** Lays a transparent image on white, or on black where the drawing is nearly white; says which. */
function onGround(image, grey) {
  const { data } = image;
  let [total, darkness, opaque] = [0, 0, true];
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3];
    const [red, green, blue] = [data[i], data[i + 1], data[i + 2]];
    opaque &&= alpha === 255;
    total += alpha;
    darkness += alpha * (255 - (grey ? luma(red, green, blue) : Math.min(red, green, blue)));
  }
  if (opaque) return { image: converted(image, 3) };
  const light = total > 0 && darkness / total < VISIBLE;
  const remark = light ? "transparent and light: laid on black" : "transparent: laid on white";
  return { image: composited(image, light ? 0 : 255), remark };
}

/** Light content on black, of the size and at the place that the network knows. */
function withContent(pixels, width, height, contentSize) {
  const invert = median(border(pixels)) > 127;
  const light = invert ? { ...pixels, data: pixels.data.map((value) => 255 - value) } : pixels;
  const grey = converted(light, 1);
  const level = { ...grey, data: Float32Array.from(grey.data) };
  if (pixels.width === width && pixels.height === height && isNormal(level, contentSize)) return light;
  return centred(isEven(level) ? level : freed(pixels), width, height, contentSize);
}

/** Whether light content on black has the size that the network knows, and its centre of mass in the middle. */
function isNormal(level, contentSize) {
  const strongest = most(level.data);
  const [x, y] = centreOf(level);
  const shift = Math.max(Math.abs(x - level.width / 2), Math.abs(y - level.height / 2));
  // As it was made, and after a compression with losses.
  for (const [threshold, tolerance, off] of [[0, 1, 1], [0.25, 2, 1.5]]) {
    const box = boxOf(level, threshold * strongest);
    if (!box) return true;
    const size = Math.max(box.right - box.left, box.bottom - box.top);
    if (Math.abs(size - contentSize) <= tolerance && shift <= off) return true;
  }
  return false;
}

/** Light content, cut out, scaled, and put by its centre of mass on black. */
function centred(level, width, height, contentSize) {
  const canvas = blank(width, height, 1);
  const ground = median(border(level));
  const range = Math.fround(most(level.data) - ground);
  const box = boxOf(level, ground + 0.25 * range);
  if (!box) return canvas;
  const cut = blank(box.right - box.left, box.bottom - box.top, 1);
  const factor = Math.fround(255 / range); // in float32 as in Python: the fraction is cut off
  for (let y = 0, i = 0; y < cut.height; y++) {
    for (let x = 0; x < cut.width; x++, i++) {
      const value = Math.max(0, Math.fround(level.data[(box.top + y) * level.width + box.left + x] - ground));
      cut.data[i] = Math.fround(value * factor);
    }
  }
  const scale = contentSize / Math.max(cut.width, cut.height);
  const columns = Math.max(1, rounded(cut.width * scale));
  const rows = Math.max(1, rounded(cut.height * scale));
  const content = resized(cut, columns, rows, BICUBIC);
  if (!most(content.data)) return canvas; // specks that vanish where the image shrinks
  const [x, y] = centreOf(content);
  const within = (place, room) => Math.min(Math.max(rounded(place), 0), room);
  paste(canvas, content, within(width / 2 - x, width - columns), within(height / 2 - y, height - rows));
  return canvas;
}

/** The centre of mass (x, y), in pixels. */
function centreOf({ width, data }) {
  let [total, across, down] = [0, 0, 0];
  for (let i = 0; i < data.length; i++) {
    total += data[i];
    across += data[i] * ((i % width) + 0.5);
    down += data[i] * (Math.floor(i / width) + 0.5);
  }
  return [across / total, down / total];
}

/** The box around what is above a level; undefined where nothing is. */
function boxOf({ width, data }, level) {
  let box;
  for (let i = 0; i < data.length; i++) {
    if (data[i] > level) box = including(box, i % width, Math.floor(i / width));
  }
  return box;
}

/** A box that a pixel lies in, too. */
function including(box, x, y) {
  box ??= { left: x, right: x + 1, top: y, bottom: y + 1 };
  box.left = Math.min(box.left, x);
  box.right = Math.max(box.right, x + 1);
  box.top = Math.min(box.top, y);
  box.bottom = Math.max(box.bottom, y + 1);
  return box;
}

/** The values along the border, the corners twice: of one channel, or of all. */
function border({ width, height, channels, data }, channel) {
  const found = [];
  const add = (x, y) => {
    const start = (y * width + x) * channels;
    if (channel !== undefined) found.push(data[start + channel]);
    else for (let i = 0; i < channels; i++) found.push(data[start + i]);
  };
  for (const y of [0, height - 1]) for (let x = 0; x < width; x++) add(x, y);
  for (const x of [0, width - 1]) for (let y = 0; y < height; y++) add(x, y);
  return found;
}

function blank(width, height, channels) {
  return { width, height, channels, data: new Uint8Array(width * height * channels) };
}

function paste(canvas, { width, height, channels, data }, left, top) {
  for (let row = 0; row < height; row++) {
    const line = data.subarray(row * width * channels, (row + 1) * width * channels);
    canvas.data.set(line, ((top + row) * canvas.width + left) * channels);
  }
}

function median(values) {
  return percentile(values, 50);
}

/** Between two values, as far as it lies from one to the other: numpy's `percentile`. */
function percentile(values, percent) {
  const sorted = Float64Array.from(values).sort();
  const place = (percent / 100) * (sorted.length - 1);
  const low = sorted[Math.floor(place)];
  return low + (sorted[Math.ceil(place)] - low) * (place % 1);
}

function most(values) {
  return values.reduce((largest, value) => (value > largest ? value : largest), -Infinity);
}

/** To the nearest whole number, of two equally near ones to the even: Python's `round`. */
function rounded(x) {
  const low = Math.floor(x);
  const rest = x - low;
  return rest === 0.5 ? low + (low % 2 === 0 ? 0 : 1) : Math.round(x);
}
