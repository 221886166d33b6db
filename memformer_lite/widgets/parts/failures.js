// A widget that fails says so in words, alone, and shows its still picture.

export function need(condition, words) {
  if (!condition) throw new Error(words);
}

export function guard(node, act) {
  try {
    return act();
  } catch (error) {
    fail(node, error);
    return undefined;
  }
}

export function listen(node, type, act) {
  node.addEventListener(type, (event) => guard(node, () => act(event)));
}

function fail(node, error) {
  const root = node.closest(".mfl-widget");
  if (!root) throw error;
  const words = `This picture cannot answer: ${error.message}. A still picture stands in its place.`;
  const alert = document.createElement("p");
  alert.className = "mfl-error";
  alert.setAttribute("role", "alert");
  alert.textContent = words;
  root.querySelector(".mfl-live").replaceChildren(alert);
  root.dataset.mflState = "failed";
}
