// The page can be read without this: it lights up what belongs together, and opens everything for print.
(() => {
  "use strict";
  let pinned = null;
  const light = (thing) => {
    for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
    if (thing === null) return;
    for (const one of document.querySelectorAll(`[data-thing="${thing}"]`)) one.classList.add("lit");
  };
  const thingAt = (target) => {
    const found = target instanceof Element ? target.closest("[data-thing]") : null;
    return found ? found.getAttribute("data-thing") : null;
  };
  document.addEventListener("mouseover", (event) => { if (pinned === null) light(thingAt(event.target)); });
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("a, summary, label, input")) return;
    const thing = thingAt(event.target);
    pinned = thing === pinned ? null : thing;
    light(pinned);
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") { pinned = null; light(null); } });
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not([open], .fold, .others)")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
  if (matchMedia("(max-width: 75rem)").matches) {
    const contents = document.querySelector(".contents details");
    if (contents) contents.open = false;
  }
})();
