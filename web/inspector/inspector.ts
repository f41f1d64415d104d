// The inspector of one machine: shows in an element what a source tells of it.
import type { MachineView } from "../../host/inspect/inspector.ts";
import { Bar, Breakpoints } from "./bar.ts";
import { element } from "./dom.ts";
import { Heap } from "./heap.ts";
import { Recording } from "./record.ts";
import { OneRequest } from "./request.ts";
import { Rings } from "./rings.ts";
import type { MachineSource } from "./source.ts";
import { Connections, Copies, Threads } from "./tables.ts";
import { Requests, Timeline } from "./timeline.ts";

/** An inspector in a page. */
export interface ShownInspector {
  end(): void;
  /** As Timeline.showStop(). */
  showStop(stop: number | null): void;
  /** Brings the panel of that title into view. False: there is none. */
  showPanel(title: string): boolean;
}

/**
 * Fills `main`. `sources`: where files of the project can be read, by their paths after it; null:
 * nowhere.
 */
export function showInspector(
  main: HTMLElement,
  source: MachineSource,
  sources: string | null = null,
): ShownInspector {
  const recording = new Recording();
  const bar = new Bar(source);
  const breakpoints = new Breakpoints(source);
  const rings = new Rings();
  const timeline = new Timeline(recording);
  const request = new OneRequest(recording, sources);
  const requests = new Requests(recording);
  const panels = [new Threads(), new Connections(), new Copies(), new Heap(source)];
  let view: MachineView | null = null;
  let asked = 0; // of requestAnimationFrame; 0: none

  const draw = () => {
    asked = 0;
    if (view === null) return;
    bar.show(view);
    breakpoints.show(view);
    rings.show(view.devices);
    for (const one of panels) one.show(view);
    timeline.draw();
    request.draw();
    requests.draw();
  };
  const later = () => {
    if (asked === 0) asked = requestAnimationFrame(draw);
  };
  const keys = (event: KeyboardEvent) => {
    const { target } = event;
    const isOn = (kinds: string) => target instanceof Element && target.closest(kinds) !== null;
    if (isOn("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && isOn("button, summary")) return; // it presses them
    if (event.key === " ") bar.toggle();
    else if (event.key === ".") bar.step("turn");
    else if (event.key === "t") bar.step("thread");
    else if (event.key === "k") bar.step("kick");
    else if (event.key === ",") timeline.move(-1);
    else if (event.key === ";") timeline.move(1);
    else return;
    event.preventDefault();
  };

  main.classList.add("inspector");
  main.replaceChildren(
    bar.element,
    bar.note,
    element(
      "div",
      { class: "panels" },
      rings.element,
      timeline.element,
      request.element,
      ...panels.map((one) => one.element),
      requests.element,
      breakpoints.element,
    ),
  );
  document.addEventListener("keydown", keys);
  const end = source.watch({
    view(next) {
      view = next;
      later();
    },
    events(events, lost) {
      recording.add(events, lost);
      later();
    },
    connected(isConnected, reason) {
      if (isConnected) return recording.rejoin();
      view = null; // which may be about to be drawn
      bar.lost(reason);
    },
  });
  return {
    end() {
      end();
      document.removeEventListener("keydown", keys);
      if (asked !== 0) cancelAnimationFrame(asked);
    },
    showStop: (stop) => timeline.showStop(stop),
    showPanel(title) {
      const headings = [...main.querySelectorAll("h2")];
      const heading = headings.find(({ textContent }) => textContent?.startsWith(title));
      heading?.scrollIntoView({ block: "start" });
      return heading !== undefined;
    },
  };
}
