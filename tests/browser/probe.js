// What a reader would stumble over, as lists of words.
const root = document.documentElement;

function shown(element) {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility === "visible";
}

function channels(colour) {
  const found = colour.match(/[\d.]+/g).map(Number);
  return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
}

// Relative luminance and contrast: WCAG 2.2.
function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

// The first ground behind an element that is not see-through.
function ground(element) {
  for (let at = element; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour.alpha === 1) return colour.rgb;
  }
  return [255, 255, 255];
}

function words(element) {
  return element.textContent.trim().slice(0, 60);
}

const texts = [...document.querySelectorAll("body *")].filter(
  (element) => shown(element) && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
);
const plots = [...document.querySelectorAll("figure svg")].filter(shown);

return {
  title: document.title,
  overflow: root.scrollWidth - root.clientWidth,
  texts: texts.length,
  pale: texts
    .map((element) => {
      const style = getComputedStyle(element);
      const colour = element.closest("svg") ? style.fill : style.color;
      return [contrast(channels(colour).rgb, ground(element)), words(element)];
    })
    .filter(([ratio]) => ratio < 4.5),
  outside: texts
    .filter((element) => !element.closest(".scroll, pre"))
    .map((element) => [element.getBoundingClientRect(), words(element)])
    .filter(([box]) => box.left < 0 || box.right > root.clientWidth)
    .map(([, said]) => said),
  figures: [...document.querySelectorAll("figure")].filter(shown).length,
  // Per plot: the marks whose colour is told from the ground (3:1, as WCAG asks of graphics).
  marks: plots.map(
    (plot) =>
      [...plot.querySelectorAll(".mark-rect path, .mark-area path, .mark-symbol path, .mark-line path")].filter((mark) => {
        const style = getComputedStyle(mark);
        const colour = style.fill !== "none" && style.fill !== "rgba(0, 0, 0, 0)" ? style.fill : style.stroke;
        return shown(mark) && colour !== "none" && contrast(channels(colour).rgb, ground(plot)) >= 3;
      }).length
  ),
};
