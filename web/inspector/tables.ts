// Threads, connections and copies, in tables.
import type { MachineView } from "../../host/inspect/inspector.ts";
import type { CreditView, SocketView } from "../../host/inspect/sockets.ts";
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
    ...["protocol", "port", "peer", "state", "to the guest", "window", "from the guest", "window"],
    ...["unread", "on the host"],
  ]);

  constructor() {
    this.element = panel("connections", "Connections", false, this.#table.element);
  }

  show({ sockets, connections, netConnections }: MachineView): void {
    const hosts = new Map<string, string>();
    for (const { guestPort, peerCid, hostPort, inPlace } of connections.listed) {
      hosts.set(`vsock ${guestPort} ${peerCid}:${hostPort}`, inPlace ? "in place" : "by copies");
    }
    for (const { guestPort, peer, address } of netConnections.listed) {
      hosts.set(`tcp ${guestPort} ${peer}`, address);
    }
    const rows = sockets?.listed.map((one) => [
      one.protocol,
      `${one.localPort}`,
      one.peer,
      stateText(one),
      bytesText(one.received.bytes),
      credit(one.tcp === null ? "the client's bytes in flight" : "bytes not read", one.received),
      bytesText(one.sent.bytes),
      credit(one.tcp === null ? "the guest's bytes in flight" : "bytes not acknowledged", one.sent),
      `${one.unread} B, pins ${one.pinned} B`,
      hosts.get(`${one.protocol.split(" ")[0]} ${one.localPort} ${one.peer}`) ?? "",
    ]);
    this.#table.show(rows ?? [], sockets?.total);
  }
}

function stateText({ state, tcp, pending, backlog }: SocketView): string {
  const name = tcp?.state ?? state;
  if (state === "listening") {
    const begun = tcp === null || tcp.halfOpen === 0 ? "" : `, ${tcp.halfOpen} begun`;
    return `${name}, ${pending} of ${backlog} wait${begun}`;
  }
  if (tcp === null || tcp.congestionWindow === 0) return name;
  const again = tcp.retransmits === 0 ? "" : `, ${tcp.retransmits} sent again`;
  return `${name}, cwnd ${tcp.congestionWindow}, rtt ${tcp.roundTripUs} us${again}`;
}

/** A bar of the bytes that fill a window. */
function credit(what: string, { inFlight, window }: CreditView): Node {
  const share = window === 0 ? 0 : Math.min(1, inFlight / window);
  const text = `${what}: ${inFlight} of ${window}`;
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
