// The inspector of a Worker's machine, which is loaded when a page first asks for it.
import type { ReadOnlyFsDevice } from "../devices/fs/read-only.ts";
import { REQUEST_TELLER } from "../devices/fs/trace.ts";
import type { SocketDevice } from "../devices/vsock/device.ts";
import { describePacket, PacketTrace } from "../devices/vsock/rings/trace.ts";
import { carryOut } from "../inspect/commands.ts";
import type { HeapMap } from "../inspect/heap.ts";
import { Inspector } from "../inspect/inspector.ts";
import { KickGate } from "../inspect/kick-gate.ts";
import type { Machine } from "../machine.ts";
import type { PausableClock } from "../pausable-clock.ts";
import { Watchers } from "./watchers.ts";
import type { ForInspector, Shared } from "./worker-protocol.ts";

/** The machine that is looked at. Its devices cannot tell yet what they do. */
export interface Inspected {
  readonly machine: Machine;
  readonly clock: PausableClock;
  readonly vsock: SocketDevice;
  readonly site: ReadOnlyFsDevice;
}

export class Inspection {
  readonly #inspector: Inspector;
  readonly #watchers: Watchers;

  /** `held`: the machine is stopped inside a kick, or goes on. */
  constructor(
    { machine, clock, vsock, site }: Inspected,
    shared: Shared | null,
    held: (isHeld: boolean) => void,
  ) {
    vsock.describe = describePacket;
    vsock.tapPackets((trace, next) => new PacketTrace(trace, next));
    site.teller = REQUEST_TELLER;
    this.#inspector = new Inspector({
      machine,
      clock,
      ...(shared !== null && { gate: new KickGate(shared) }),
      held: (isHeld) => {
        held(isHeld);
        if (isHeld) this.#watchers.showNow();
      },
    });
    this.#watchers = new Watchers(this.#inspector);
  }

  /** A page watches over that port. */
  watch(port: MessagePort): void {
    this.#watchers.add(port);
  }

  /** Throws an Error that is for people. */
  run(command: ForInspector): HeapMap | null {
    if (command.name === "heap") return this.#inspector.heapMap();
    carryOut(this.#inspector, command);
    return null;
  }
}
