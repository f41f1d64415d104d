// The inspector as a page of the admin listener. Of several machines it shows one, and leads to the
// others.
import { element } from "./dom.ts";
import { HttpSource } from "./http-source.ts";
import { showInspector } from "./inspector.ts";

const root = new URL("inspect/", document.baseURI);
const machine = new URLSearchParams(location.search).get("machine");

async function showOthers(before: HTMLElement): Promise<void> {
  const response = await fetch(new URL("machines", root));
  const { machines } = (await response.json()) as { machines: { machine: number }[] };
  if (machines.length < 2) return;
  const links = machines.map(({ machine: number }) => {
    const isThis = `${number}` === (machine ?? "1");
    const link = element("a", { href: `?machine=${number}` }, `${number}`);
    if (isThis) link.setAttribute("aria-current", "page");
    return element("li", {}, link);
  });
  const nav = element("nav", { class: "machines" }, "Machines", element("ul", {}, ...links));
  nav.setAttribute("aria-label", "Machines");
  before.before(nav);
}

const main = document.getElementById("inspector");
if (main !== null) {
  showInspector(main, new HttpSource(root, machine));
  void showOthers(main);
}
