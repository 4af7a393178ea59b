// Cells as pixels: for each kind a small picture with its colour and shape, in a few steps of brightness.

const GLOW_STEPS = 4;

/** Where a shape has its marks, in a square of `size` pixels. */
const SHAPES = {
  plain: () => false,
  dot: (x, y, size) => isNear(x, y, (size - 1) / 2, (size - 1) / 2, size / 6),
  row: (x, y, size) => Math.abs(y - (size - 1) / 2) < Math.max(0.6, size / 8),
  column: (x, y, size) => Math.abs(x - (size - 1) / 2) < Math.max(0.6, size / 8),
  falling: (x, y, size) => Math.abs(x - y) < Math.max(0.6, size / 9),
  rising: (x, y, size) => Math.abs(x + y - (size - 1)) < Math.max(0.6, size / 9),
  cross: (x, y, size) => SHAPES.falling(x, y, size) || SHAPES.rising(x, y, size),
  hollow: (x, y, size) => Math.max(Math.abs(x - (size - 1) / 2), Math.abs(y - (size - 1) / 2)) < size / 4,
  pair: (x, y, size) => isNear(x, y, size * 0.22, (size - 1) / 2, size / 7) || isNear(x, y, size * 0.72, (size - 1) / 2, size / 7),
  ring: (x, y, size) => {
    const far = Math.hypot(x - (size - 1) / 2, y - (size - 1) / 2);
    return far > size * 0.16 && far < size * 0.36;
  },
};

function isNear(x, y, centreX, centreY, radius) {
  return Math.hypot(x - centreX, y - centreY) <= Math.max(radius, 0.6);
}

function parseColour(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

function mix(from, to, part) {
  return from.map((value, index) => Math.round(value + (to[index] - value) * part));
}

/** A pixel as canvas memory has it: red in the lowest byte. */
function pack([red, green, blue]) {
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
}

/** The pictures of all kinds at one size: `pixels[kind * GLOW_STEPS + glow]` has width * height pixels, with a gap from five up. */
function makeTiles(kinds, width, height, isDark, emphasised) {
  const background = parseColour(isDark ? "#15191e" : "#c3cad1");
  const bright = parseColour(isDark ? "#ffffff" : "#101010");
  const gap = Math.min(width, height) >= 5 ? 1 : 0;
  const inner = Math.min(width, height) - gap;
  const tiles = [];
  kinds.forEach((kind, index) => {
    let base = parseColour(isDark ? kind.dark : kind.light);
    if (emphasised !== null && emphasised !== index) base = mix(base, background, 0.82);
    const luminance = base[0] * 0.3 + base[1] * 0.59 + base[2] * 0.11;
    const mark = mix(base, luminance > 105 ? [0, 0, 0] : [255, 255, 255], 0.58);
    // Below four pixels a shape would be a speck: brightness has to do.
    const shape = inner >= 4 ? SHAPES[kind.shape] : SHAPES.plain;
    for (let glow = 0; glow < GLOW_STEPS; glow++) {
      const pixels = new Uint32Array(width * height);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const isGap = x >= width - gap || y >= height - gap;
          const colour = isGap ? background : shape(x, y, inner) ? mark : base;
          pixels[y * width + x] = pack(isGap ? colour : mix(colour, bright, glow * 0.24));
        }
      }
      tiles.push(pixels);
    }
  });
  return { pixels: tiles, background: pack(parseColour(isDark ? "#171b21" : "#fafbfc")) };
}

/** A kind's picture for a legend. */
function drawSwatch(canvas, kind, isDark) {
  const size = 16;
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  new Uint32Array(image.data.buffer).set(makeTiles([kind], size, size, isDark, null).pixels[0]);
  canvas.getContext("2d").putImageData(image, 0, 0);
}
