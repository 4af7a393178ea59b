// Recordings in chapters have the book's theme, whichever is chosen: a frame asks for it, and is told of another one.
(() => {
  const dark = ["coal", "navy", "ayu"];
  const theme = () => (dark.some((name) => document.documentElement.classList.contains(name)) ? "dark" : "light");
  const frames = () => [...document.querySelectorAll("iframe.recording")].map((frame) => frame.contentWindow);
  addEventListener("message", ({ data, source }) => {
    if (data === "which theme?" && frames().includes(source)) source.postMessage(theme(), "*");
  });
  new MutationObserver(() => { for (const frame of frames()) frame.postMessage(theme(), "*"); })
    .observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
})();
