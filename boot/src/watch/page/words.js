// Numbers as people read them.

function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

function pages(value) {
  return value === 1 ? "1 page" : `${count(value)} pages`;
}

function were(value) {
  return value === 1 ? "was" : "were";
}

/** So many pages, as memory: always in MiB, so that two figures can be compared. */
function mebibytes(value) {
  return (value / 256).toFixed(1);
}

function hex(value) {
  return `0x${value.toString(16)}`;
}

/** The virtual address of a page. */
function address(page) {
  return hex(page * 4096);
}

/** From when on time is told, in microseconds of the guest's clock. */
let timeOrigin = 0;

/** Microseconds of the guest's clock as seconds. */
function seconds(time) {
  return ((time - timeOrigin) / 1e6).toFixed(2);
}

function percent(part, whole) {
  return whole > 0 ? `${Math.round(100 * part / whole)} %` : "0 %";
}

/** An element with text and children; `classes` may be empty. */
function element(tag, classes, ...children) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

/** Changes the text of an element only if it is another: unchanged text costs no layout. */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}
