// What is wider than its place scrolls by keyboard too.
addEventListener("load", () => {
  for (const each of document.querySelectorAll("pre, .table-wrapper")) {
    if (each.scrollWidth > each.clientWidth) each.tabIndex = 0;
  }
});
