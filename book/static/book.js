// What every page of the book does: on paper nothing that is folded or not yet loaded is lost.
"use strict";
window.addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.dataset.folded = "";
    fold.open = true;
  }
  for (const picture of document.querySelectorAll("img[loading=lazy]")) picture.loading = "eager";
});
window.addEventListener("afterprint", () => {
  for (const fold of document.querySelectorAll("details[data-folded]")) {
    delete fold.dataset.folded;
    fold.open = false;
  }
});
