// Comfort only: without it every link leads to the same facts.
(() => {
  const drawer = document.getElementById("drawer");
  const framed = window.parent !== window;

  // Airflow's own pages open in Airflow, not in its frame: the frame may not navigate it, so a link of its own does.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-airflow]");
    if (!link || !framed || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = link.href;
    window.parent.document.body.append(outside);
    outside.click();
    outside.remove();
  });
  if (!drawer) return;

  const show = (section, search) => {
    drawer.replaceChildren(section);
    if (!drawer.open) drawer.showModal();
    history.replaceState(null, "", search);
  };
  const here = document.getElementById("day");
  if (here) show(here, location.search);

  document.addEventListener("click", async (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const close = event.target.closest("a[data-close]");
    if (close || event.target === drawer) {
      event.preventDefault();
      drawer.close();
      return;
    }
    const link = event.target.closest("a[data-day]");
    if (!link) return;
    event.preventDefault();
    const wanted = new URL(link.href).searchParams;
    const query = wanted.has("obligation") ? `?obligation=${wanted.get("obligation")}` : "";
    const answer = await fetch(`${location.pathname}/day/${wanted.get("day")}${query}`);
    const section = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("day");
    if (!answer.ok || !section) location.assign(link.href);
    else show(section, `?${wanted}`);
  });
  drawer.addEventListener("close", () => history.replaceState(null, "", location.pathname));

  // One stop for the Tab key in the calendar; the arrow keys go from cell to cell.
  const enter = () => {
    const cells = [...document.querySelectorAll("[data-grid] a")];
    cells.forEach((cell, place) => { cell.tabIndex = place === cells.length - 1 ? 0 : -1; });
  };
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  document.addEventListener("keydown", (event) => {
    const cell = event.target.closest?.("[data-grid] a");
    if (!cell || !step[event.key]) return;
    event.preventDefault();
    const rows = [...cell.closest("tbody").rows];
    let row = rows.indexOf(cell.closest("tr"));
    let column = cell.closest("td").cellIndex;
    const [down, right] = step[event.key];
    let next = null;
    while (!next) {
      row += down;
      column += right;
      if (!rows[row]?.cells[column]) return;
      next = rows[row].cells[column].querySelector("a");
    }
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  enter();

  // Fresh once a minute, while somebody looks at it and nothing is open.
  setInterval(async () => {
    const busy = document.activeElement?.closest("form");
    if (drawer.open || document.hidden || busy) return;
    const answer = await fetch(location.pathname).catch(() => null);
    if (!answer?.ok || answer.redirected || drawer.open) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("board");
    const focused = document.activeElement?.closest("[data-grid] a")?.getAttribute("href");
    if (!fresh) return;
    document.getElementById("board").replaceWith(fresh);
    enter();
    if (focused) fresh.querySelector(`[data-grid] a[href="${CSS.escape(focused)}"]`)?.focus();
  }, 60000);
})();
