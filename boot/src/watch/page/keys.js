// Everything by keyboard.

/** Key, what it does for a person, the name of what is called. */
const KEYS = [
  [" ", "Space", "pause and go on", "togglePause"],
  ["f", "F", "go on until the next page fault", "untilFault"],
  ["r", "R", "go on until the next reclaim pass", "untilReclaim"],
  ["o", "O", "go on until the next page goes out", "untilPageOut"],
  ["s", "S", "slower, and back to full speed", "slower"],
  [",", ",", "one step back in time", "stepBack"],
  [".", ".", "one step forward in time", "stepForward"],
  ["Home", "Home", "to the beginning", "toBeginning"],
  ["End", "End", "to the end: live again", "toEnd"],
  ["m", "M", "the next map: memory, then each swap area", "nextMap"],
  ["+", "+", "zoom in", "zoomIn"],
  ["-", "−", "zoom out", "zoomOut"],
  ["Enter", "Enter", "what the cell under the cursor is", "chooseCursor"],
  ["w", "W", "follow the page, wherever it goes", "follow"],
  ["1", "1–5", "one panel alone; Esc shows all again", "panel"],
  ["d", "D", "dark or light", "toggleTheme"],
  ["?", "?", "this list", "toggleHelp"],
  ["Escape", "Esc", "close what is open", "escape"],
];

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select") && event.key !== "Escape") return;
    // A focused button answers these itself.
    if (event.target.matches("button, summary") && (event.key === " " || event.key === "Enter")) return;
    if (ARROWS[event.key]) actions.moveCursor(...ARROWS[event.key], event.shiftKey ? 8 : 1);
    else if (event.key >= "1" && event.key <= "5") actions.panel(Number(event.key));
    else {
      const key = event.key === "=" ? "+" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const found = KEYS.find(([name]) => name === key);
      if (!found) return;
      actions[found[3]]();
    }
    event.preventDefault();
  });
  byId("help-keys").append(...KEYS.flatMap(([, name, says]) => [element("dt", "", element("kbd", "", name)), element("dd", "", says)]));
}
