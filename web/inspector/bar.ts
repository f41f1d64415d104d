// The bar: what the machine does, and the commands that stop it, step it and let it go on.
import type { Breakpoint } from "../../host/inspect/breakpoints.ts";
import type { MachineView, StepBy } from "../../host/inspect/inspector.ts";
import { bytesText, element, panel } from "./dom.ts";
import type { MachineSource } from "./source.ts";

export class Bar {
  readonly element: HTMLElement;
  readonly #state = element("output", { class: "state", "aria-live": "polite" }, "connecting");
  readonly #pause: HTMLButtonElement;
  readonly #turn: HTMLButtonElement;
  readonly #thread: HTMLButtonElement;
  readonly #kick: HTMLButtonElement;
  /** The keys, for below the bar, which stays in view. */
  readonly note = element("p", { class: "soft" });
  readonly #figures = new Map<string, HTMLElement>();
  readonly #source: MachineSource;
  #isPaused = false;

  constructor(source: MachineSource) {
    this.#source = source;
    this.#pause = this.#button("Pause", () => this.toggle());
    this.#turn = this.#button("Step turn", () => this.step("turn"));
    this.#thread = this.#button("Step thread", () => this.step("thread"));
    this.#kick = this.#button("Step kick", () => this.step("kick"));
    const names = ["switches", "kicks", "interrupts", "to guest", "from guest"];
    const figures = names.map((name) => {
      const value = element("dd");
      this.#figures.set(name, value);
      return element("div", {}, element("dt", {}, name), value);
    });
    this.element = element(
      "header",
      { class: "bar" },
      element("h1", {}, "torito inspector"),
      this.#state,
      this.#pause,
      this.#turn,
      this.#thread,
      this.#kick,
      element("dl", {}, ...figures),
    );
  }

  toggle(): void {
    this.#run(this.#isPaused ? this.#source.resume() : this.#source.pause());
  }

  step(by: StepBy): void {
    this.#run(this.#source.step(by));
  }

  show(view: MachineView): void {
    const { state, stopsInKicks, devices, switches, copies } = view;
    this.#isPaused = state === "paused" || state === "stopped";
    this.#say(state, stateText(view));
    this.#pause.textContent = this.#isPaused ? "Run" : "Pause";
    this.#pause.disabled = state === "ended";
    this.#turn.disabled = this.#kick.disabled = !this.#isPaused;
    this.#thread.disabled = state !== "paused"; // in a kick one is running
    this.#kick.hidden = !stopsInKicks;
    const { kickHint = "" } = this.#source;
    this.note.textContent = stopsInKicks ? KEYS_AND_KICK : `${KEYS}${kickHint}`;
    const kicks = devices.flatMap(({ queues }) => queues.map((one) => one.kicks));
    const sum = (counts: readonly number[]) => counts.reduce((a, b) => a + b, 0);
    const values: Record<string, string> = {
      switches: `${switches}`,
      kicks: `${sum(kicks)}`,
      interrupts: `${sum(devices.map(({ interrupts }) => interrupts))}`,
      "to guest": bytesText(copies?.toGuest.bytes ?? 0),
      "from guest": bytesText(copies?.fromGuest.bytes ?? 0),
    };
    for (const [name, value] of Object.entries(values)) {
      const shown = this.#figures.get(name);
      if (shown !== undefined) shown.textContent = value;
    }
  }

  lost(reason = "not connected"): void {
    this.#say("gone", reason);
    this.#pause.disabled = this.#turn.disabled = true;
    this.#thread.disabled = this.#kick.disabled = true;
  }

  /** Text that changes only when it differs, so that it is read out once. */
  #say(state: string, text: string): void {
    this.#state.dataset.state = state;
    if (this.#state.textContent !== text) this.#state.textContent = text;
  }

  #button(text: string, act: () => void): HTMLButtonElement {
    return element("button", { type: "button", disabled: "", click: act }, text);
  }

  #run(command: Promise<void>): void {
    command.catch((error: Error) => this.#say("error", error.message));
  }
}

const KEYS_AND_KICK =
  "Keys: space stops and goes on, . steps a turn, t a thread, k to the next kick; comma and " +
  "semicolon move in the record.";
const KEYS =
  "Keys: space stops and goes on, . steps a turn, t a thread; comma and semicolon move in the " +
  "record, which is the way to look inside a turn: the thread of this machine may not block, so " +
  "it stops between turns.";

function stateText({ state, stoppedAt }: MachineView): string {
  if (stoppedAt === null) return state;
  if (state !== "stopped") return `${state} at ${stoppedAt.name}`;
  return `stopped in a kick of ${stoppedAt.args?.name ?? "a queue"}`;
}

/** Events to stop at. */
export class Breakpoints {
  readonly element: HTMLElement;
  readonly #list = element("ul");
  readonly #fault = element("output", { "aria-live": "polite" });
  readonly #kind: HTMLSelectElement;
  readonly #text: HTMLInputElement;
  readonly #source: MachineSource;
  #present: readonly Breakpoint[] = [];

  constructor(source: MachineSource) {
    this.#source = source;
    const kinds: [Breakpoint["on"], string][] = [
      ["packet", "a packet (RW, RST, TCP, SYN, ...)"],
      ["file", "a file request (LOOKUP, READ, ...)"],
      ["thread", "a thread (part of its name)"],
      ["kick", "a kick (name of the queue)"],
      ["error", "an error answer or a reset"],
    ];
    this.#kind = element(
      "select",
      {},
      ...kinds.map(([value, text]) => element("option", { value }, text)),
    );
    this.#text = element("input", { type: "text", size: "12" });
    const form = element(
      "form",
      { class: "break", submit: (event) => this.#add(event) },
      element("label", {}, "Stop at", this.#kind),
      element("label", {}, "named, if you like", this.#text),
      element("button", {}, "Add"),
    );
    this.element = panel("breakpoints", "Breakpoints", false, form, this.#fault, this.#list);
  }

  show({ breakpoints }: MachineView): void {
    if (JSON.stringify(breakpoints) === JSON.stringify(this.#present)) return;
    this.#present = breakpoints;
    const rows = breakpoints.map((one, i) => {
      const text = Object.values(one).join(" ");
      const remove = () => this.#set(breakpoints.filter((_, n) => n !== i));
      const button = element("button", { type: "button", click: remove }, "Remove");
      button.setAttribute("aria-label", `Remove ${text}`);
      return element("li", {}, `${text} `, button);
    });
    this.#list.replaceChildren(...rows);
  }

  #add(event: Event): void {
    event.preventDefault();
    const on = this.#kind.value as Breakpoint["on"];
    const text = this.#text.value.trim();
    const field = { packet: "op", file: "op", thread: "name", kick: "queue", error: "" }[on];
    const named = text === "" || field === "" ? {} : { [field]: text };
    this.#set([...this.#present, { on, ...named } as Breakpoint]);
    this.#text.value = "";
  }

  #set(breakpoints: readonly Breakpoint[]): void {
    this.#fault.textContent = "";
    this.#source.breakAt(breakpoints).catch((error: Error) => {
      this.#fault.textContent = error.message;
    });
  }
}
