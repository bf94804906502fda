// PNG (ISO/IEC 15948) as Pillow reads it: samples as they are stored, whatever the file says of gamma and profiles.

const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const [GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA] = [0, 2, 3, 4, 6];
const SAMPLES = { [GREY]: 1, [COLOUR]: 3, [PALETTE]: 1, [GREY_ALPHA]: 2, [COLOUR_ALPHA]: 4 };
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
// of an interlaced image: the first column and row, and the steps from one to the next

/** The pixels of a file, upright, with { size, remarks }. Throws where it is broken. */
async function decodedPng(bytes) {
  const chunks = chunksOf(bytes);
  const header = viewOf(chunks.IHDR[0]);
  const [width, height] = [header.getUint32(0), header.getUint32(4)];
  const [depth, kind, , , interlaced] = chunks.IHDR[0].subarray(8);
  checkSize(width, height);
  const samples = samplesOf(await inflated(chunks.IDAT), { width, height, depth, count: SAMPLES[kind], interlaced });
  const remarks = [];
  let image = { width, height, channels: SAMPLES[kind], data: samples };
  const transparent = chunks.tRNS?.[0];
  if (kind === PALETTE) image = withPalette(image, chunks.PLTE[0], transparent);
  const factor = excess(width, height);
  if (depth === 16 && kind === GREY) {
    const { levels, remark } = scaledLevels(reduced(image, factor));
    image = levels;
    remarks.push(remark);
  } else {
    if (depth < 8 && kind === GREY) samples.forEach((value, i) => (samples[i] = (value * 255) / (2 ** depth - 1)));
    if (depth === 16) {
      image = { ...image, data: Uint8Array.from(samples, (value) => value >> 8) };
      remarks.push("of 16 bits a channel: the upper 8 are used, which leaves images of 12 bits dark");
    }
    image = reduced(image, factor);
    if (transparent && kind !== PALETTE) image = withTransparentColour(image, viewOf(transparent), depth);
  }
  const orientation = await orientationOf(chunks);
  const turned = upright(image, orientation);
  return { image: turned, size: orientation >= 5 ? [height, width] : [width, height], remarks };
}

/** The contents of the chunks by their types, in their order. Up to the pixels, their checksums must be right. */
function chunksOf(bytes) {
  const view = viewOf(bytes);
  const chunks = {};
  for (let start = PNG_SIGNATURE.length; start + 12 <= bytes.length; ) {
    const length = view.getUint32(start);
    const type = text(bytes, start + 4);
    const end = start + 8 + length;
    if (!chunks.IDAT && type !== "IDAT") {
      const right = end + 4 <= bytes.length && crc32(bytes.subarray(start + 4, end)) === view.getUint32(end);
      if (!right) throw new Error("it is a broken PNG");
    }
    (chunks[type] ??= []).push(bytes.subarray(start + 8, start + 8 + length));
    start += length + 12;
  }
  if (!chunks.IHDR || !chunks.IDAT) throw new Error("it is a broken PNG");
  return chunks;
}

function crc32(bytes) {
  let found = -1;
  for (const byte of bytes) {
    found ^= byte;
    for (let bit = 0; bit < 8; bit++) found = (found >>> 1) ^ (found & 1 ? 0xedb88320 : 0);
  }
  return ~found >>> 0;
}

async function inflated(parts) {
  try {
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Error("it is a broken PNG");
  }
}

/** The samples of all pixels, (height, width, count), of 8 bits or less, or of 16. */
function samplesOf(bytes, { width, height, depth, count, interlaced }) {
  const samples = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * count);
  let start = 0;
  for (const [left, top, across, down] of interlaced ? PASSES : [[0, 0, 1, 1]]) {
    const [columns, rows] = [Math.ceil((width - left) / across), Math.ceil((height - top) / down)];
    if (columns <= 0 || rows <= 0) continue;
    const length = Math.ceil((columns * count * depth) / 8);
    let above = new Uint8Array(length);
    for (let row = 0; row < rows; row++, start += length + 1) {
      const line = bytes.subarray(start + 1, start + 1 + length);
      if (line.length < length) throw new Error("it is a broken PNG");
      unfilter(line, above, bytes[start], Math.max(1, (count * depth) >> 3));
      const target = (top + row * down) * width + left;
      for (let i = 0; i < columns * count; i++) {
        const pixel = target + Math.floor(i / count) * across;
        samples[pixel * count + (i % count)] = sampleAt(line, i, depth);
      }
      above = line;
    }
  }
  return samples;
}

function sampleAt(line, i, depth) {
  if (depth === 8) return line[i];
  if (depth === 16) return (line[2 * i] << 8) | line[2 * i + 1];
  const bit = i * depth;
  return (line[bit >> 3] >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

/** Adds to the bytes of a line, in place, what its filter predicts from those to the left and above. */
function unfilter(line, above, filter, step) {
  for (let i = 0; i < line.length; i++) {
    const left = i < step ? 0 : line[i - step];
    const up = above[i];
    if (filter === 1) line[i] += left;
    else if (filter === 2) line[i] += up;
    else if (filter === 3) line[i] += (left + up) >> 1;
    else if (filter === 4) line[i] += paeth(left, up, i < step ? 0 : above[i - step]);
  }
}

/** Which of the three is nearest to left + up - corner. */
function paeth(left, up, corner) {
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function withPalette({ width, height, data }, colours, opacity) {
  const channels = opacity ? 4 : 3;
  const found = new Uint8Array(width * height * channels);
  data.forEach((index, pixel) => {
    for (let i = 0; i < 3; i++) found[pixel * channels + i] = colours[3 * index + i] ?? 0;
    if (opacity) found[pixel * channels + 3] = opacity[index] ?? 255;
  });
  return { width, height, channels, data: found };
}

/** With an opacity that is 0 where a pixel has the one colour that a file names; Pillow takes its lower 8 bits. */
function withTransparentColour({ width, height, channels, data }, colour, depth) {
  const level = (i) => (depth === 1 ? colour.getUint16(i) && 255 : colour.getUint16(i) & 255);
  const wanted = Array.from({ length: channels }, (_, i) => level(2 * i));
  const found = new Uint8Array(width * height * (channels + 1));
  for (let pixel = 0; pixel < width * height; pixel++) {
    let same = true;
    for (let i = 0; i < channels; i++) {
      const value = data[pixel * channels + i];
      found[pixel * (channels + 1) + i] = value;
      same &&= value === wanted[i];
    }
    found[pixel * (channels + 1) + channels] = same ? 0 : 255;
  }
  return { width, height, channels: channels + 1, data: found };
}

/** Levels of 16 bits as ones of 8, by the range that they use: `scaled_levels` of the Python library. */
function scaledLevels({ width, height, data }) {
  let [low, high] = [Infinity, -Infinity];
  let [innerLow, innerHigh] = [Infinity, -Infinity];
  const neighbours = (one, other) => {
    innerLow = Math.min(innerLow, Math.max(one, other));
    innerHigh = Math.max(innerHigh, Math.min(one, other));
  };
  data.forEach((value, i) => {
    low = Math.min(low, value);
    high = Math.max(high, value);
    if (i % width) neighbours(data[i - 1], value);
    if (i >= width) neighbours(data[i - width], value);
  });
  // A dead or hot pixel has no neighbour like it, the smallest thing that is shown has.
  if (Math.min(width, height) > 1 && innerLow < innerHigh) [low, high] = [innerLow, innerHigh];
  const known = high - low >= 1 << 15 || high === low;
  const scale = 255 / (high - low);
  const level = (value) => (known ? value >> 8 : rounded((Math.min(Math.max(value, low), high) - low) * scale));
  return {
    levels: { width, height, channels: 1, data: Uint8Array.from(data, level) },
    remark: known ? "of 16 bits: the upper 8 are used" : "of more than 8 bits: scaled by the range of levels that it uses",
  };
}

/** 1 to 8, of EXIF's tags, which ImageMagick writes as a hexadecimal text, or of XMP; 1 where there is none. */
async function orientationOf(chunks) {
  const lines = chunks.eXIf ? [] : (await textNamed("Raw profile type exif", chunks)).split("\n").slice(3);
  const pairs = lines.join("").match(/[0-9a-f]{2}/gi) ?? [];
  const tags = chunks.eXIf?.at(-1) ?? Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
  const xmp = await textNamed("XML:com.adobe.xmp", chunks);
  const found = exifOrientation(tags) ?? Number(xmp.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1]);
  return found >= 2 && found <= 8 ? found : 1;
}

/** The first text of this name, compressed or not; empty where there is none. */
async function textNamed(name, chunks) {
  const letters = (bytes) => String.fromCharCode(...bytes.subarray(0, 80));
  for (const type of ["tEXt", "zTXt", "iTXt"]) {
    for (const chunk of chunks[type] ?? []) {
      if (!letters(chunk).startsWith(`${name}\0`)) continue;
      let start = name.length + 1;
      const packed = type === "zTXt" || (type === "iTXt" && chunk[start]);
      if (type === "zTXt") start += 1; // the method of compression
      if (type === "iTXt") start = chunk.indexOf(0, chunk.indexOf(0, start + 2) + 1) + 1; // language, translated name
      const content = chunk.subarray(start);
      const unpacked = packed ? await inflated([content]).catch(() => new Uint8Array()) : content;
      return new TextDecoder("latin1").decode(unpacked);
    }
  }
  return "";
}

/** 1 to 8, of the first directory of EXIF's tags; undefined where it has none. */
function exifOrientation(tags) {
  const view = viewOf(text(tags, 0) === "Exif" ? tags.subarray(6) : tags);
  const numbers = { 1: "getUint8", 3: "getUint16", 4: "getUint32" }; // by the type of a tag
  try {
    const little = view.getUint16(0) === 0x4949;
    const start = view.getUint32(4, little);
    for (let tag = 0; tag < view.getUint16(start, little); tag++) {
      const entry = start + 2 + 12 * tag;
      if (view.getUint16(entry, little) !== 0x0112) continue;
      const read = numbers[view.getUint16(entry + 2, little)];
      return read ? view[read](entry + 8, little) : undefined;
    }
  } catch {
    // A damaged tag turns nothing.
  }
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
