// Threads, connections and copies, in tables.
import type { MachineView } from "../../host/inspect/inspector.ts";
import type { CreditView } from "../../host/inspect/sockets.ts";
import { bytesText, element, panel, Table } from "./dom.ts";

export class Threads {
  readonly element: HTMLElement;
  readonly #table = new Table("Threads", [
    "id",
    "function",
    "state",
    "waits for",
    "until",
    "stack",
  ]);

  constructor() {
    this.element = panel("threads", "Threads", false, this.#table.element);
  }

  show({ threads, nowNs }: MachineView): void {
    const rows = threads?.listed.map((one) => [
      `${one.id}`,
      one.name,
      one.state,
      one.waitsFor,
      one.deadlineNs === null ? "" : `${((one.deadlineNs - nowNs) / 1e6).toFixed(0)} ms`,
      one.state === "running" ? "" : `${one.savedBytes} of ${one.saveBytes} B`,
    ]);
    this.#table.show(rows ?? [], threads?.total);
  }
}

export class Connections {
  readonly element: HTMLElement;
  readonly #table = new Table("Sockets of the guest", [
    ...["port", "peer", "state", "to the guest", "credit", "from the guest", "credit", "unread"],
    ...["on the host"],
  ]);

  constructor() {
    this.element = panel("connections", "Connections", false, this.#table.element);
  }

  show({ sockets, connections }: MachineView): void {
    const hosts = new Map(
      connections.listed.map((one) => [`${one.guestPort} ${one.peerCid} ${one.hostPort}`, one]),
    );
    const rows = sockets?.listed.map((one) => {
      const host = hosts.get(`${one.localPort} ${one.remoteAddress} ${one.remotePort}`);
      const how = host === undefined ? "" : host.inPlace ? "in place" : "by copies";
      return [
        `${one.localPort}`,
        one.remotePort === 0 ? "" : `${one.remoteAddress}:${one.remotePort}`,
        one.state === "listening" ? `listening, ${one.pending} of ${one.backlog} wait` : one.state,
        bytesText(one.received.bytes),
        credit("the client's", one.received),
        bytesText(one.sent.bytes),
        credit("the guest's", one.sent),
        `${one.unread} B, pins ${one.pinned} B`,
        how,
      ];
    });
    this.#table.show(rows ?? [], sockets?.total);
  }
}

/** A bar of the bytes in flight in their window. */
function credit(whose: string, { inFlight, window }: CreditView): Node {
  const share = window === 0 ? 0 : Math.min(1, inFlight / window);
  const text = `${whose} bytes in flight: ${inFlight} of ${window}`;
  const bar = element("i");
  bar.style.width = `${share * 100}%`;
  return element("span", { class: "credit", role: "img", "aria-label": text, title: text }, bar);
}

export class Copies {
  readonly element: HTMLElement;
  readonly #table = new Table("Copies for each payload byte", [
    ...["direction", "bytes", "on the host", "in the guest"],
  ]);

  constructor() {
    this.element = panel("copies", "Copies a byte", false, this.#table.element);
  }

  show({ copies }: MachineView): void {
    if (copies === null) return;
    const rows = (
      [
        ["to the guest", copies.toGuest],
        ["from the guest", copies.fromGuest],
      ] as const
    ).map(([name, one]) => [
      name,
      bytesText(one.bytes),
      one.hostCopies.toFixed(3),
      one.guestCopies?.toFixed(3) ?? "-",
    ]);
    this.#table.show(rows);
  }
}
