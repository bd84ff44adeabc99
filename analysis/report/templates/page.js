(() => {
  "use strict";

  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // Inside a sandboxed frame storage is refused: the choice is then kept for this view alone.
  const stored = (write) => {
    try {
      return write ? localStorage.setItem("adapert-theme", write) : localStorage.getItem("adapert-theme");
    } catch {
      return null;
    }
  };

  const theme = byId("theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    theme.setAttribute("aria-pressed", String(isDark()));
    theme.textContent = isDark() ? "Light colours" : "Dark colours";
  };
  const kept = stored();
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    stored(root.dataset.theme);
    showTheme();
  });
  prefersDark.addEventListener("change", showTheme);
  showTheme();

  // Numbers before words; what has no value comes last in both directions.
  const compare = (first, second, direction) => {
    if (first === second) return 0;
    if (first === "") return 1;
    if (second === "") return -1;
    const [a, b] = [Number(first), Number(second)];
    if (!Number.isNaN(a) && !Number.isNaN(b)) return direction * (a - b);
    if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? direction : -direction;
    return direction * first.localeCompare(second);
  };
  const sortBy = (table, head, index) => {
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const order = (row) => row.cells[index].dataset.order;
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => compare(order(a), order(b), direction)));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      head.querySelector("button").addEventListener("click", () => sortBy(table, head, index));
    });
  }

  // Without a clipboard the lines are selected, to be copied by hand.
  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  for (const button of document.querySelectorAll("button.copy")) {
    const lines = button.closest(".code").querySelector("pre");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(lines.textContent);
        button.textContent = "Copied";
      } catch {
        select(lines);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
