// Boxes that scroll sideways can be reached and moved by keyboard, as long as they do scroll.
// The theme does this for code when a page loads; formulas, pictures and folds need it too.
const boxes = "pre, div.math, figure.picture, .pst-scrollable-table-container, .bd-article table";
const mark = () => {
  for (const box of document.querySelectorAll(boxes)) {
    const scrolls = getComputedStyle(box).overflowX === "auto" && box.scrollWidth > box.clientWidth;
    if (scrolls) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", mark);
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true); // a fold opens
