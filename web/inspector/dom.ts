// Elements of a page.

type Child = Node | string;

/** Attributes by name; a function listens to the event of that name. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | ((event: Event) => void)>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A panel with a heading. */
export function panel(id: string, title: string, isWide: boolean, ...children: readonly Child[]) {
  const heading = element("h2", { id: `${id}-title` }, title);
  return element(
    "section",
    { class: isWide ? "panel wide" : "panel", id, "aria-labelledby": `${id}-title` },
    heading,
    ...children,
  );
}

/** A table whose rows are replaced as a whole. */
export class Table {
  readonly element: HTMLDivElement;
  readonly #body = element("tbody");
  readonly #more = element("p", { class: "soft" });

  constructor(caption: string, heads: readonly string[]) {
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
    const table = element("table", {}, element("thead", {}, head), this.#body);
    table.setAttribute("aria-label", caption);
    this.element = element(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      table,
      this.#more,
    );
  }

  /** `total`: how many there are, of which `rows` are shown. */
  show(rows: readonly (readonly Child[])[], total = rows.length): void {
    const made = rows.map((cells) =>
      element("tr", {}, ...cells.map((one) => element("td", {}, one))),
    );
    this.#body.replaceChildren(...made);
    this.#more.textContent = total > rows.length ? `and ${total - rows.length} more` : "";
  }
}

/** The value of a custom property of the page. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const UNITS = ["B", "KiB", "MiB", "GiB"];

export function bytesText(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
