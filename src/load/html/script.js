// Owns: the reading of a chart at one place, by pointer or by arrow keys. Without it the page shows the same, and the tables have the values.
"use strict";
for (const figure of document.querySelectorAll("figure[data-places]")) {
  const { at, words } = JSON.parse(figure.dataset.places);
  const said = figure.querySelector("output");
  let place = -1;
  const show = (next) => {
    place = Math.max(0, Math.min(at.length - 1, next));
    for (const svg of figure.querySelectorAll("svg.chart")) {
      const x = Number(svg.dataset.left) + at[place] * Number(svg.dataset.width);
      const cursor = svg.querySelector(".cursor");
      cursor.setAttribute("transform", `translate(${x} 0)`);
      cursor.setAttribute("visibility", "visible");
    }
    said.textContent = words[place];
  };
  const nearest = (part) => at.reduce((best, one, index) => (Math.abs(one - part) < Math.abs(at[best] - part) ? index : best), 0);
  if (at.length === 0) continue;
  for (const svg of figure.querySelectorAll("svg.chart")) {
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      show(nearest((x - Number(svg.dataset.left)) / Number(svg.dataset.width)));
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: place - 1, ArrowRight: place + 1, PageUp: place + 10, PageDown: place - 10, Home: 0, End: at.length - 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(step);
    });
  }
}
