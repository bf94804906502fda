// The drawing board: strokes by pointer or by keyboard, or a picture in their place.

const PAPER_LEVEL = "#fff";
const INK = "#141414";
const PEN = 1 / 14; // of the board's side
const [STRIDE, SMALL_STRIDE] = [1 / 28, 1 / 112]; // of the side, of an arrow key, and with shift
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class Board {
  #canvas;
  #context;
  #cursor; // what shows where the keyboard's pen is
  #strokes = []; // each a list of points [x, y], in pixels of the canvas
  #stroke = null; // the one that is being drawn
  #pen; // the keyboard's, [x, y]
  #changed;

  /** Calls `changed(settled)` after each change: not settled while a stroke is being drawn. */
  constructor(canvas, cursor, changed) {
    this.#canvas = canvas;
    this.#cursor = cursor;
    this.#changed = changed;
    this.#pen = [canvas.width / 2, canvas.height / 2];
    // Held in memory, where pixels are read after each stroke, and painted alike on every machine.
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#draw(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => this.#end());
    canvas.addEventListener("keydown", (event) => this.#type(event));
    canvas.addEventListener("blur", () => this.#end());
    this.#paint();
  }

  get isEmpty() {
    return !this.#strokes.length;
  }

  /** What is drawn, as an image of 3 channels. */
  get pixels() {
    const { width, height } = this.#canvas;
    const data = new Uint8Array(this.#context.getImageData(0, 0, width, height).data.buffer);
    return converted({ width, height, channels: 4, data }, 3);
  }

  undo() {
    this.#strokes.pop();
    this.#stroke = null;
    this.#paint();
    this.#changed(true);
  }

  clear() {
    this.#strokes = [];
    this.#stroke = null;
    this.#paint();
  }

  /** Shows a picture in the place of what was drawn, until the next stroke. */
  show(image) {
    this.clear();
    const { width, height } = this.#canvas;
    const scale = Math.min(width / image.width, height / image.height);
    const [across, down] = [image.width * scale, image.height * scale];
    this.#context.clearRect(0, 0, width, height);
    this.#context.imageSmoothingEnabled = scale < 1;
    this.#context.drawImage(canvasOf(image), (width - across) / 2, (height - down) / 2, across, down);
  }

  #begin(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#canvas.classList.add("by-pointer");
    this.#start(this.#placeOf(event));
  }

  #draw(event) {
    if (!this.#stroke || !event.buttons || !event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? [];
    this.#add(...(events.length ? events : [event]).map((each) => this.#placeOf(each)));
  }

  #placeOf({ clientX, clientY }) {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    return [((clientX - left) / width) * this.#canvas.width, ((clientY - top) / height) * this.#canvas.height];
  }

  #type(event) {
    const { key, shiftKey, ctrlKey, metaKey } = event;
    if ((ctrlKey || metaKey) && key === "z") this.undo();
    else if (key === " ") this.#stroke ? this.#end() : this.#start([...this.#pen]);
    else if (key === "Escape") this.#end();
    else if (key in ARROWS) this.#move(ARROWS[key], shiftKey ? SMALL_STRIDE : STRIDE);
    else return;
    event.preventDefault();
    this.#canvas.classList.remove("by-pointer");
    this.#showPen();
  }

  #move(direction, stride) {
    const { width } = this.#canvas;
    this.#pen = this.#pen.map((place, i) => Math.min(Math.max(place + direction[i] * stride * width, 0), width));
    if (this.#stroke) this.#add([...this.#pen]);
  }

  #showPen() {
    const [x, y] = this.#pen.map((place) => `${(100 * place) / this.#canvas.width}%`);
    Object.assign(this.#cursor.style, { left: x, top: y });
    this.#cursor.classList.toggle("down", this.#stroke !== null);
  }

  #start(point) {
    this.#stroke = [point];
    this.#strokes.push(this.#stroke);
    this.#paint();
    this.#changed(false);
  }

  #add(...points) {
    this.#stroke.push(...points);
    this.#paint();
    this.#changed(false);
  }

  #end() {
    if (!this.#stroke) return;
    this.#stroke = null;
    this.#showPen();
    this.#changed(true);
  }

  #paint() {
    const { width, height } = this.#canvas;
    const context = this.#context;
    context.fillStyle = PAPER_LEVEL;
    context.fillRect(0, 0, width, height);
    Object.assign(context, { strokeStyle: INK, lineWidth: PEN * width, lineCap: "round", lineJoin: "round" });
    for (const points of this.#strokes) {
      context.beginPath();
      context.moveTo(...points[0]);
      for (const point of points) context.lineTo(...point); // of a point alone, too: a dot
      context.stroke();
    }
  }
}

/** An image on a canvas of its size. */
function canvasOf(image) {
  const { width, height, data } = converted(image, 4);
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(data.buffer), width, height), 0, 0);
  return canvas;
}
