// The guest's console as text of the page: its last lines.

const LINES_MAX = 200;

export class Console {
  readonly #place: HTMLElement;
  #lines: string[] = [];

  constructor(place: HTMLElement) {
    this.#place = place;
  }

  add(text: string): void {
    this.#lines.push(...text.replace(/\n$/, "").split("\n"));
    this.#lines = this.#lines.slice(-LINES_MAX);
    this.#place.textContent = this.#lines.join("\n");
  }
}
