// Where in the sources an event happens: the stops of the tour that have events.
import type { TraceEvent } from "../../host/trace/event.ts";
import { PLACES } from "./places.ts";
import { isWait, THREADS, VCPU } from "./record.ts";

export interface Place {
  readonly stop: number;
  readonly title: string;
  readonly file: string;
  readonly line: number;
}

/** The stop of the tour at which such an event happens; undefined: none. */
export function placeOf(event: TraceEvent, track: string): Place | undefined {
  const kind = kindOf(event, track);
  return PLACES.find(({ event: wanted }) => {
    const [of, names = ""] = wanted.split(": ");
    if (of !== kind) return false;
    return kind === "wait" ? event.name.endsWith(names) : names.split(", ").includes(event.name);
  });
}

/** As in docs/tour.json: a device's track is known by its first word. */
function kindOf(event: TraceEvent, track: string): string {
  if (event.pid === THREADS) return isWait(event) ? "wait" : "thread";
  return event.tid === VCPU ? "vCPU" : (track.split(" ")[0] ?? "");
}

/** Do events happen at that stop of the tour? */
export const hasEvents = (stop: number): boolean => PLACES.some((place) => place.stop === stop);
