// What tests/test_site.py asks of a page, from inside the page. Each function lists what is wrong.

const content = (selector) => [...document.querySelectorAll(`article :is(${selector})`)];
const start = (element) => element.outerHTML.slice(0, 160);

globalThis.siteChecks = {
  // Formulas without size, and TeX that nobody recognised.
  formulas() {
    const flat = (box) => {
      const size = box.querySelector("math")?.getBoundingClientRect();
      return !size || size.width < 2 || size.height < 2;
    };
    const article = document.querySelector("article").cloneNode(true);
    for (const code of article.querySelectorAll("pre, code, math")) code.remove();
    const raw = article.textContent.match(/\$\$|\\\(|\\\[|\$\\?\w[^$\n]{0,60}\$/g) ?? [];
    return [...content(".math").filter(flat).map(start), ...raw];
  },

  // What reaches beyond the window, outside any box that scrolls by itself.
  sideways() {
    const scrolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
    const boxed = (e) => e.tagName !== "ARTICLE" && (scrolls(e) || boxed(e.parentElement));
    const out = content("*")
      .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
      .filter((e) => e.checkVisibility() && !boxed(e.parentElement));
    const page = document.scrollingElement.scrollWidth;
    return [...out.map(start), ...(page > innerWidth ? [`the page is ${page} px wide`] : [])];
  },

  // Pictures without a real text: too short, a file name, or not announced as a picture.
  pictures() {
    const named = (e) =>
      (e.getAttribute("aria-labelledby") ?? "")
        .split(" ")
        .map((id) => document.getElementById(id)?.textContent ?? "")
        .join(" ");
    const words = (e) =>
      (
        e.getAttribute("aria-label") ??
        e.getAttribute("alt") ??
        e.querySelector("figcaption")?.textContent ??
        named(e)
      ).trim();
    const role = (e) => (e.querySelector("a") ? "group" : "img"); // links inside stay links
    return content("img, svg, canvas, figure")
      .filter((e) => !e.closest("button, a.headerlink") && !e.parentElement.closest("svg"))
      .filter((e) => !(e.tagName === "FIGURE" && e.querySelector("img, svg, canvas")))
      .filter(
        (e) =>
          words(e).length < 20 ||
          /^\S+\.\w{2,4}$/.test(words(e)) ||
          (e.tagName === "svg" && e.getAttribute("role") !== role(e)),
      )
      .map(start);
  },

  // The characters that style sheets draw as icons.
  icons() {
    const all = [...document.querySelectorAll("*")].flatMap((e) =>
      ["::before", "::after"].map((side) => getComputedStyle(e, side).content),
    );
    return [...new Set(all.join("").match(/[\ue000-\uf8ff]/g))];
  },

  // What a reader of the page would miss on paper.
  unprinted() {
    return content("h2, h3, p, li, pre, table, figure, math, svg[role=img]")
      .filter((e) => !e.closest("summary, button, .mfl-live")) // a widget prints its twin
      .filter((e) => !e.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true }))
      .map(start);
  },

  // Of the code, show one token of each kind on each background, or all of it again: a chapter has
  // thousands, and axe looks at each. What is hidden keeps its place.
  thin(on) {
    const seen = new Set();
    for (const code of content(".highlight pre, dt.sig")) {
      const { color, backgroundColor } = getComputedStyle(code);
      for (const token of code.querySelectorAll("span[class]:not(:has(*))")) {
        const kind = `${token.className} ${color} ${backgroundColor}`;
        token.style.visibility = on && seen.has(kind) ? "hidden" : "";
        seen.add(kind);
      }
    }
  },

  // The page as it was when it came: nothing unfolded.
  fold(open) {
    document.querySelectorAll("article details").forEach((fold) => {
      fold.open = open;
    });
  },
};
