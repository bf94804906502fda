// Image files as pixels. PNG is read here, bit by bit as the Python library reads it: a browser applies what a file says
// of gamma and profiles, cuts 16 bits down, and rounds the colours of what is nearly transparent. The rest is its own.

const MOST_PIXELS = 128_000_000;
const ENOUGH_PIXELS = 16_000_000; // more show nothing in a small image
const LARGE_PIXELS = 1_000_000; // the Python library decodes a JPEG of more at a reduced size,
const OVERSAMPLING = 4; // of which the sides stay so many times as long as needed
const DETAIL = 256; // pixels: content that is cut out of a photograph may be a small part of it

/** A file as { image, size, remarks }; the image has as many channels as the network takes, or 3 for grey content. */
async function decoded(file, [height, width, channels], contentSize) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!bytes.length) throw new Error("it is empty");
  const isPng = PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
  const needed = Math.max(height, width, contentSize ? DETAIL : 0);
  let { image, size, remarks } = isPng ? await decodedPng(bytes) : await decodedByBrowser(file, bytes, needed);
  const wanted = channelsToDecode([height, width, channels], contentSize);
  if (image.channels % 2 === 0 && wanted % 2 === 1) {
    const laid = onGround(converted(image, 4), wanted === 1);
    if (laid.remark) remarks = [...remarks, laid.remark];
    image = laid.image;
  }
  return { image: converted(image, wanted), size, remarks };
}

/** Ink is found on paper by its colour. */
function channelsToDecode([, , channels], contentSize) {
  return contentSize && channels === 1 ? 3 : channels;
}

/** By which whole number to divide the sides, so that there are about enough pixels at most. */
function excess(width, height) {
  return Math.ceil(Math.sqrt((width * height) / ENOUGH_PIXELS));
}

function checkSize(width, height) {
  if (width * height > MOST_PIXELS) {
    throw new Error(`it has ${width} x ${height} pixels, and at most ${MOST_PIXELS.toLocaleString("en")} are read`);
  }
}

async function decodedByBrowser(file, bytes, needed) {
  // Browsers do not agree on the orientation of WebP: Chromium leaves it out.
  const orientation = isWebP(bytes) ? webpOrientation(bytes) : 1;
  const imageOrientation = isWebP(bytes) ? "none" : "from-image";
  const options = { imageOrientation, premultiplyAlpha: "none", colorSpaceConversion: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error("it is not an image, or in a format that this browser does not read");
  });
  const { width, height } = bitmap;
  checkSize(width, height);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  let image = opaque({ width, height, channels: 4, data: new Uint8Array(context.getImageData(0, 0, width, height).data.buffer) });
  const remarks = ["decoded by this browser: its levels may differ a little from the Python library's"];
  if (image.channels === 4) remarks.push("transparent, and no PNG: the browser has rounded its colours");
  if (bytes[0] === 0xff && bytes[1] === 0xd8) image = reduced(image, jpegReduction(image, needed));
  image = upright(reduced(image, excess(image.width, image.height)), orientation);
  return { image, size: orientation >= 5 && orientation <= 8 ? [height, width] : [width, height], remarks };
}

function isWebP(bytes) {
  return text(bytes, 0) === "RIFF" && text(bytes, 8) === "WEBP";
}

/** The orientation in the EXIF chunk of a WebP file, 1 to 8; 1 where it has none. */
function webpOrientation(bytes) {
  const view = viewOf(bytes);
  for (let start = 12; start + 8 <= bytes.length; ) {
    const length = view.getUint32(start + 4, true);
    if (text(bytes, start) === "EXIF") {
      return exifOrientation(bytes.subarray(start + 8, start + 8 + length)) ?? 1;
    }
    start += 8 + length + (length % 2);
  }
  return 1;
}

/** Four bytes as letters. */
function text(bytes, start) {
  return String.fromCharCode(...bytes.subarray(start, start + 4));
}

/** Without the opacity, where there is nothing but. */
function opaque(image) {
  for (let i = 3; i < image.data.length; i += 4) if (image.data[i] < 255) return image;
  return converted(image, 3);
}

/** The scale, 1, 2, 4 or 8, at which the Python library lets a large JPEG be decoded: Pillow's `draft`. */
function jpegReduction({ width, height }, needed) {
  let factor = excess(width, height);
  if (width * height > LARGE_PIXELS) {
    factor = Math.max(factor, Math.floor(Math.max(width, height) / (OVERSAMPLING * needed)));
  }
  const scale = Math.min(...[width, height].map((side) => Math.floor(side / Math.max(1, Math.floor(side / factor)))));
  return [8, 4, 2, 1].find((each) => each <= scale);
}
