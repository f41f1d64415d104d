// The tour in the Lab: the stops of docs/tour.md, one at a time, beside the machine that runs. Its
// data is made from that page (tools/tour.mjs) and loaded when somebody begins.
import type { Asked, LabStop } from "../../tools/tour.mjs";
import { element } from "../inspector/dom.ts";
import { marked } from "./marked.ts";

/** The machine and the inspector, as the tour uses them. */
export interface TourGuide {
  stops(): Promise<readonly LabStop[]>;
  /** Sends them at once. Resolves with the answers, in words. */
  send(requests: readonly Asked[]): Promise<string>;
  /** Boots another machine, with that parameter of the kernel. */
  boot(parameters: string): Promise<void>;
  /** The timeline shows the events of that stop; null: all events. */
  showStop(stop: number | null): void;
  /** Brings a panel of the inspector into view. False: there is none of that title. */
  showPanel(title: string): boolean;
}

/** The address of a stop within the Lab's page. */
const HASH = /^#tour-(\d+)$/;

export class Tour {
  readonly #root: HTMLElement;
  readonly #guide: TourGuide;
  #stops: readonly LabStop[] = [];
  #at = 0;

  /** `root` has the button that begins the tour, and gets the rest. */
  constructor(root: HTMLElement, guide: TourGuide) {
    this.#root = root;
    this.#guide = guide;
  }

  /** Begins at the stop that the page's address names. False: it names none. */
  async resume(): Promise<boolean> {
    const stop = Number(HASH.exec(location.hash)?.[1] ?? 0);
    if (stop > 0) await this.begin(stop - 1);
    return stop > 0;
  }

  async begin(at = 0): Promise<void> {
    this.#stops = await this.#guide.stops();
    this.#show(Math.min(at, this.#stops.length - 1));
  }

  #end(): void {
    history.replaceState(null, "", `${location.pathname}${location.search}`);
    this.#guide.showStop(null);
    const begin = element("button", { type: "button", click: () => void this.begin() }, "Begin");
    this.#root.replaceChildren(begin);
    begin.focus();
  }

  #show(at: number): void {
    const stop = this.#stops[at];
    if (stop === undefined) return;
    this.#at = at;
    history.replaceState(null, "", `#tour-${stop.stop}`);
    this.#guide.showStop(stop.stop);
    const heading = element("h3", { tabindex: "-1" }, `${stop.stop}. ${stop.title}`);
    this.#root.replaceChildren(
      this.#navigation(),
      heading,
      element("p", { class: "soft" }, element("code", {}, `${stop.file}:${stop.line}`)),
      ...stop.text.map((paragraph) => element("p", {}, ...marked(paragraph))),
      this.#look(stop),
      this.#attempt(stop),
      element("p", {}, element("strong", {}, "Ask: "), ...marked(stop.ask)),
    );
    heading.focus({ preventScroll: true });
  }

  #navigation(): HTMLElement {
    const { length } = this.#stops;
    const go = (by: number, text: string) => {
      const button = element("button", { type: "button" }, text);
      button.addEventListener("click", () => this.#show(this.#at + by));
      button.disabled = this.#stops[this.#at + by] === undefined;
      return button;
    };
    const options = this.#stops.map(({ stop, title }) =>
      element("option", {}, `${stop}. ${title}`),
    );
    const choice = element("select", { "aria-label": `Stop, of ${length}` }, ...options);
    choice.selectedIndex = this.#at;
    choice.addEventListener("change", () => this.#show(choice.selectedIndex));
    const end = element("button", { type: "button", click: () => this.#end() }, "End");
    return element("p", { class: "buttons" }, go(-1, "Back"), go(1, "Next"), choice, end);
  }

  #look({ look }: LabStop): HTMLElement {
    const panel = /^\*([^*]+)\*/.exec(look)?.[1] ?? "";
    const line = element("p", {}, element("strong", {}, "Look: "), ...marked(look));
    if (panel === "") return line;
    const show = () => void this.#guide.showPanel(panel);
    line.append(" ", element("button", { type: "button", click: show }, `Show ${panel}`));
    return line;
  }

  #attempt({ attempt, requests, parameters }: LabStop): HTMLElement {
    const answer = element("output", { "aria-live": "polite" });
    const line = element("p", {}, element("strong", {}, "Try: "), ...marked(attempt), " ");
    const act = (text: string, run: () => Promise<string>) => {
      const press = async () => {
        answer.textContent = "…";
        answer.textContent = await run().catch((error: Error) => error.message);
      };
      line.append(element("button", { type: "button", click: () => void press() }, text), " ");
    };
    if (requests.length > 0) act("Send it from here", () => this.#guide.send(requests));
    if (parameters !== "") {
      act(`Boot with ${parameters}`, async () => {
        await this.#guide.boot(parameters);
        return `The machine runs with ${parameters}.`;
      });
    }
    line.append(answer);
    return line;
  }
}
