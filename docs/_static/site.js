// Elements wider than the page can also be scrolled with the keyboard.
addEventListener("load", () => {
  for (const each of document.querySelectorAll("pre, .table-wrapper")) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  }
});
