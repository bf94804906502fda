// Runs a graph of ONNX' operators on one image. A tensor is { shape, data: Float32Array }; sums are made in float64.

/** Computes every node of the graph in its order; returns the values of the last one. */
function run({ nodes, constants }, image) {
  const tensors = new Map(Object.entries(constants));
  tensors.set("images", image);
  let last;
  for (const { operator, inputs, output, attributes } of nodes) {
    last = OPERATORS[operator](inputs.map((name) => tensors.get(name)), attributes);
    tensors.set(output, last);
  }
  return last.data;
}

const OPERATORS = {
  Cast: ([x]) => x, // bytes are stored as float32 from the beginning
  Mul: ([x, y]) => elementwise(x, y, (a, b) => a * b),
  Add: ([x, y]) => elementwise(x, y, (a, b) => a + b),
  Div: ([x, y]) => elementwise(x, y, (a, b) => a / b),
  Relu: ([x]) => ({ shape: x.shape, data: x.data.map((value) => Math.max(value, 0)) }),
  Flatten: ([x]) => ({ shape: [1, x.data.length], data: x.data }),
  Transpose: ([x]) => channelsFirst(x),
  Pad: ([x, pads]) => padded(x, pads.data),
  SpaceToDepth: ([x], { blocksize }) => spaceToDepth(x, blocksize),
  Conv: ([x, kernel]) => convolved(x, kernel),
  MaxPool: ([x]) => pooled(x),
  BatchNormalization: ([x, ...parameters], { epsilon }) => normalised(x, parameters, epsilon),
  GlobalAveragePool: ([x]) => means(x),
  MatMul: ([x, kernel]) => dense(x, kernel),
  Gemm: ([x, kernel, bias]) => elementwise(dense(x, kernel), bias, (a, b) => a + b),
  Softmax: ([x]) => softmax(x),
};

function zeros(...shape) {
  return { shape, data: new Float32Array(shape.reduce((product, side) => product * side, 1)) };
}

/** Of tensors of one size, or of a tensor and a scalar. */
function elementwise(x, y, operation) {
  const step = y.data.length > 1 ? 1 : 0;
  return { shape: x.shape, data: x.data.map((value, i) => operation(value, y.data[i * step])) };
}

/** (1, h, w, c) -> (1, c, h, w). */
function channelsFirst({ shape: [, height, width, channels], data }) {
  const y = zeros(1, channels, height, width);
  const area = height * width;
  for (let i = 0; i < data.length; i++) y.data[(i % channels) * area + Math.floor(i / channels)] = data[i];
  return y;
}

/** Zeros at the end of the rows and columns, as many as `pads`, (2 * dimensions), ends with. */
function padded({ shape: [, channels, height, width], data }, pads) {
  const y = zeros(1, channels, height + pads.at(-2), width + pads.at(-1));
  const [, , rows, columns] = y.shape;
  for (let line = 0; line < channels * height; line++) {
    const start = (Math.floor(line / height) * rows + (line % height)) * columns;
    y.data.set(data.subarray(line * width, (line + 1) * width), start);
  }
  return y;
}

/** (1, c, h, w) -> (1, block * block * c, h / block, w / block). */
function spaceToDepth({ shape: [, channels, height, width], data }, block) {
  const [rows, columns] = [height / block, width / block];
  const y = zeros(1, block * block * channels, rows, columns);
  let i = 0;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const depth = ((row % block) * block + (column % block)) * channels + channel;
        y.data[(depth * rows + Math.floor(row / block)) * columns + Math.floor(column / block)] = data[i++];
      }
    }
  }
  return y;
}

/** Stride 1, zeros around: dot products of every kernel with the neighbourhood of every cell, which lie in rows. */
function convolved(x, { shape: [features, channels, side], data: kernels }) {
  const [, , height, width] = x.shape;
  const [cells, depth] = [height * width, channels * side * side];
  const patches = side === 1 ? channelsLast(x) : neighbourhoods(x, side);
  const y = zeros(1, features, height, width);
  for (let cell = 0; cell < cells; cell++) {
    for (let feature = 0; feature < features; feature += 4) {
      // Four features at once read the neighbourhood once. Where fewer are left, the last one is computed again.
      const b = Math.min(feature + 1, features - 1);
      const c = Math.min(feature + 2, features - 1);
      const d = Math.min(feature + 3, features - 1);
      let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0];
      for (let k = 0, at = cell * depth; k < depth; k++, at++) {
        const value = patches[at];
        sumA += value * kernels[feature * depth + k];
        sumB += value * kernels[b * depth + k];
        sumC += value * kernels[c * depth + k];
        sumD += value * kernels[d * depth + k];
      }
      y.data[feature * cells + cell] = sumA;
      y.data[b * cells + cell] = sumB;
      y.data[c * cells + cell] = sumC;
      y.data[d * cells + cell] = sumD;
    }
  }
  return y;
}

/** (h * w, c). */
function channelsLast({ shape: [, channels, height, width], data }) {
  const area = height * width;
  return data.map((_, i) => data[(i % channels) * area + Math.floor(i / channels)]);
}

/** (h * w, c * side * side): around each cell, with zeros outside. */
function neighbourhoods({ shape: [, channels, height, width], data }, side) {
  const found = new Float32Array(height * width * channels * side * side);
  const reach = (side - 1) / 2;
  let i = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let row = y - reach; row <= y + reach; row++) {
          for (let column = x - reach; column <= x + reach; column++, i++) {
            const inside = row >= 0 && row < height && column >= 0 && column < width;
            if (inside) found[i] = data[(channel * height + row) * width + column];
          }
        }
      }
    }
  }
  return found;
}

/** The largest of each 2x2 cells; of fewer at an odd end. */
function pooled({ shape: [, channels, height, width], data }) {
  const [rows, columns] = [Math.ceil(height / 2), Math.ceil(width / 2)];
  const y = zeros(1, channels, rows, columns);
  y.data.fill(-Infinity);
  for (let i = 0; i < data.length; i++) {
    const [line, column] = [Math.floor(i / width), i % width];
    const row = Math.floor(line / height) * rows + Math.floor((line % height) / 2);
    const to = row * columns + Math.floor(column / 2);
    if (data[i] > y.data[to]) y.data[to] = data[i];
  }
  return y;
}

function normalised({ shape, data }, [scale, bias, mean, variance], epsilon) {
  const area = data.length / scale.data.length;
  const factors = scale.data.map((value, channel) => value / Math.sqrt(variance.data[channel] + epsilon));
  const scaled = (value, i) => {
    const channel = Math.floor(i / area);
    return (value - mean.data[channel]) * factors[channel] + bias.data[channel];
  };
  return { shape, data: data.map(scaled) };
}

function means({ shape: [, channels, height, width], data }) {
  const y = zeros(1, channels, 1, 1);
  const area = height * width;
  for (let channel = 0; channel < channels; channel++) {
    let sum = 0;
    for (let i = channel * area; i < (channel + 1) * area; i++) sum += data[i];
    y.data[channel] = sum / area;
  }
  return y;
}

/** (1, i) @ (i, o). */
function dense({ data }, { shape: [, width], data: kernel }) {
  const sums = new Float64Array(width);
  for (let i = 0; i < data.length; i++) {
    for (let j = 0; j < width; j++) sums[j] += data[i] * kernel[i * width + j];
  }
  return { shape: [1, width], data: Float32Array.from(sums) };
}

function softmax({ shape, data }) {
  const largest = data.reduce((most, value) => Math.max(most, value), -Infinity);
  const exponentials = Float64Array.from(data, (value) => Math.exp(value - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return { shape, data: exponentials.map((value) => value / sum) };
}
