// The page: images come from the board or from files, and answers go to the list of classes.

const MOST_BARS = 12; // of more classes, the most probable are shown

const model = readModel();
const { class_names: names, image_shape: shape, content_size: contentSize, abstain_below: threshold } = model;
const element = (id) => document.getElementById(id);
const board = new Board(element("board"), element("pen"), boardChanged);
let asked = 0; // how many images were asked about: an answer that comes late is not shown

/** What the page holds of the classifier, with its constants as tensors. */
function readModel() {
  const found = JSON.parse(document.getElementById("model").textContent);
  const text = atob(document.getElementById("weights").textContent.trim());
  const weights = new Float32Array(Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer);
  for (const [name, { shape, start }] of Object.entries(found.constants)) {
    const size = shape.reduce((product, side) => product * side, 1);
    found.constants[name] = { shape, data: weights.subarray(start, start + size) };
  }
  return found;
}

/** The answer to an image, with the image that the network sees, and the milliseconds that it took. */
function answerTo(image) {
  const start = performance.now();
  const seen = fitted(image, shape, contentSize);
  const probabilities = Array.from(run(model, { shape: [1, ...shape], data: Float32Array.from(seen.data) }));
  const label = probabilities.indexOf(Math.max(...probabilities));
  const confidence = probabilities[label];
  const sure = threshold === null || confidence >= threshold;
  return { seen, probabilities, label, confidence, sure, milliseconds: performance.now() - start };
}

function boardChanged(settled) {
  const question = ++asked;
  element("several").hidden = true;
  tellRemarks([]);
  if (board.isEmpty) return showNothing();
  requestAnimationFrame(() => {
    if (question !== asked) return;
    show(answerToDrawing(), settled);
  });
}

function answerToDrawing() {
  return answerTo(converted(board.pixels, channelsToDecode(shape, contentSize)));
}

/** One file is shown on the board, several in a table. */
async function takeFiles(files) {
  const question = ++asked;
  const rows = element("rows");
  rows.replaceChildren();
  element("several").hidden = files.length < 2;
  for (const [index, file] of files.entries()) {
    const { image, answer, remarks, error } = await answerToFile(file);
    if (question !== asked) return;
    if (files.length > 1) rows.append(rowOf(file.name, answer, error));
    if (index === 0) {
      tellRemarks(error ? [] : remarks);
      if (error) showError(file.name, error);
      else {
        board.show(image);
        show(answer, true);
      }
    }
    // Whoever embeds the page, or measures it, hears of each file.
    const { probabilities, milliseconds } = answer ?? {};
    document.dispatchEvent(new CustomEvent("answer", { detail: { name: file.name, probabilities, milliseconds, error } }));
  }
}

async function answerToFile(file) {
  try {
    const { image, size, remarks } = await decoded(file, shape, contentSize);
    return { image, answer: answerTo(image), remarks: [`${file.name}: ${size.join(" x ")} pixels`, ...remarks] };
  } catch (error) {
    return { error: error.message };
  }
}

function show({ seen, probabilities, label, confidence, sure }, settled) {
  element("hint").hidden = true;
  const name = names[label];
  const doubt = `perhaps ${name}, ${percent(confidence)}`;
  element("headline").textContent = sure ? name : "not sure";
  element("headline").classList.remove("waiting");
  element("confidence").textContent = sure ? percent(confidence) : doubt;
  if (settled) element("status").textContent = sure ? `${name}, ${percent(confidence)}` : `not sure: ${doubt}`;
  showBars(probabilities, sure ? label : -1);
  const canvas = canvasOf(seen);
  const target = element("seen");
  Object.assign(target, { width: canvas.width, height: canvas.height });
  target.getContext("2d").drawImage(canvas, 0, 0);
  target.hidden = false;
}

function showNothing() {
  element("hint").hidden = false;
  element("headline").textContent = "Draw something";
  element("headline").classList.add("waiting");
  element("confidence").textContent = "or choose an image";
  element("status").textContent = "";
  element("seen").hidden = true;
  showBars(null, -1);
}

function showError(name, error) {
  board.clear();
  showNothing();
  element("confidence").textContent = `${name} cannot be read: ${error}`;
  element("status").textContent = element("confidence").textContent;
}

/** A line for each class, or for the most probable ones; the answer's is marked. */
function showBars(probabilities, answer) {
  let labels = [...names.keys()];
  if (names.length > MOST_BARS) {
    if (probabilities) labels.sort((a, b) => probabilities[b] - probabilities[a]);
    labels = labels.slice(0, MOST_BARS);
  }
  element("bars").replaceChildren(
    ...labels.map((label) => {
      const share = probabilities?.[label] ?? 0;
      const fill = made("span", "fill");
      fill.style.width = `${100 * share}%`;
      const bar = made("span", "bar");
      bar.append(fill);
      const line = made("li", label === answer ? "answer" : "");
      line.append(made("span", "name", names[label]), bar, made("span", "value", probabilities ? percent(share) : ""));
      return line;
    }),
  );
}

function rowOf(name, answer, error) {
  const row = made("tr");
  const [picture, word, value] = [made("td"), made("td"), made("td", "value")];
  if (answer) {
    picture.append(canvasOf(answer.seen));
    word.textContent = answer.sure ? names[answer.label] : `not sure, perhaps ${names[answer.label]}`;
    value.textContent = percent(answer.confidence);
  } else {
    word.textContent = `cannot be read: ${error}`;
  }
  const head = Object.assign(made("th", "", name), { scope: "row" });
  row.append(picture, head, word, value);
  return row;
}

function tellRemarks(remarks) {
  element("remarks").replaceChildren(...remarks.map((remark) => made("li", "", remark)));
}

function made(tag, className = "", text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

/** Never 100%, which nothing is. */
function percent(share) {
  return share >= 0.9995 ? ">99.9%" : `${(100 * share).toFixed(1)}%`;
}

function listen() {
  element("undo").addEventListener("click", () => board.undo());
  element("clear").addEventListener("click", () => {
    board.clear();
    boardChanged(true);
  });
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", async () => {
      const files = [...input.files];
      input.value = ""; // so that the same file can be chosen again
      if (files.length) await takeFiles(files);
    });
  }
  addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && takeFiles([...clipboardData.files]));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files.length) takeFiles([...event.dataTransfer.files]);
  });
}

element("classes").textContent = names.join(", ");
element("threshold").textContent =
  threshold === null
    ? "This model has no threshold: it was saved without the table that says when it is not sure, and always answers."
    : `Below ${percent(threshold)}, the line in each bar, this model is not sure. Of the images that it was evaluated on, the ` +
      "most certain 99% are above.";
if (threshold !== null) element("bars").style.setProperty("--threshold", `${100 * threshold}%`);
element("bars").classList.toggle("limited", threshold !== null);
element("photograph").hidden = navigator.maxTouchPoints === 0; // elsewhere it would choose a file
listen();
showNothing();
setTimeout(answerToDrawing); // so that the code is compiled before the first stroke
