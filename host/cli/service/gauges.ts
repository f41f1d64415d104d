// Numbers of this moment, of one machine.
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Machine } from "../../machine.ts";
import { readGuestLoad } from "../../stats.ts";
import type { Card } from "../net/card.ts";
import type { Gauges } from "./report.ts";
import { shownBy } from "./totals.ts";

/** A machine and what its clients come by. null: there is none now. */
export interface Doors {
  readonly vsock: VsockDevice | null;
  readonly card: Card | null;
  /** As many as the vsock device may have. */
  readonly connections: number;
}

/** Connections that there are, and as many as there may be. */
interface Crowd {
  readonly open: number;
  readonly most: number;
}

const crowdsOf = ({ vsock, card, connections }: Doors): [Crowd, Crowd] => [
  { open: vsock?.stats.connections ?? 0, most: connections },
  { open: card?.user?.connectionCount ?? 0, most: card?.user?.connectionsMax ?? 0 },
];

/** Of the device that has the least room for more. */
export function fullestOf(doors: Doors): Crowd {
  const [vsock, net] = crowdsOf(doors);
  return net.open * vsock.most > vsock.open * net.most ? net : vsock;
}

/** `waiting`: clients that no machine has yet. */
export function gaugesOf(doors: Doors, machine: Machine | null, waiting: number): Gauges {
  const load = machine === null ? null : readGuestLoad(machine.memory);
  const [vsock, net] = crowdsOf(doors);
  return {
    open: vsock.open + net.open,
    waiting,
    most: vsock.most + net.most,
    flows: { tcp: net.open, udp: doors.card?.user?.stats.udpFlows ?? 0 },
    threads: load?.threads ?? 0,
    heapBytes: load?.heapBytes ?? 0,
    heapInUse: load?.heapInUse ?? 0,
    application: machine === null ? new Map() : shownBy(machine, "gauge"),
  };
}
