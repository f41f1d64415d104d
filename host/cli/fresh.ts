// `torito serve --fresh`: a pool of machines from one snapshot, and a machine for each connection.
import type { Log } from "../log.ts";
import { systemClock } from "../node/clock.ts";
import { VsockDevice } from "../node/devices.ts";
import { Machine } from "../node/machine.ts";
import { MachinePool } from "../node/pool.ts";
import type { Snapshot } from "../node/snapshot.ts";
import { NodeSockets } from "../node/sockets/node-sockets.ts";
import type { Watchdog } from "../node/watchdog.ts";
import type { Listener, TcpAddress } from "../ports/sockets.ts";
import { PerConnection, type ServingOptions } from "../snapshot/per-connection.ts";
import type { Command } from "./arguments.ts";
import { untilTimeout } from "./ends.ts";
import type { readImage } from "./image.ts";
import {
  available,
  boot,
  exitCode,
  openDevices,
  presenceOf,
  urlOf,
  usable,
  watches,
} from "./parts.ts";
import { warnOfRoot } from "./service/announce.ts";
import { type Drainable, untilSignal } from "./service/drain.ts";
import type { Signals } from "./service/signals.ts";
import { openSite } from "./site.ts";
import { loadSnapshot, withDevicesOf } from "./snapshots.ts";
import { stdout } from "./streams.ts";
import type { End } from "./usage.ts";

const BACKLOG = 1024;
/** Clients that wait in the kernel when the last one is let in. */
const BACKLOG_MS = 100;

export async function serveFresh(
  given: Command,
  machines: number,
  image: ReturnType<typeof readImage>,
  watchdog: Watchdog | null,
  signals: Signals,
  log: Log,
): Promise<End> {
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const saved = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = saved === null ? given : withDevicesOf(given, saved);
  await watches(watchdog, log);
  warnOfRoot(command, log);
  const sockets = new NodeSockets({ kind: command.sockets });
  let reportsTo: Log | null = log;
  const make = async () => {
    const { cid, connect, seqpacket } = command;
    const vsock = new VsockDevice({ cid, connect, seqpacket, sockets });
    const site = openSite(command, reportsTo);
    reportsTo = null; // each machine reads the same rules
    const others = await openDevices(command, machines + 1);
    const devices = [vsock, ...others, ...(site === null ? [] : [site.device])];
    return { ...image, vsock, devices, console: stdout.write, log, ...presenceOf(watchdog) };
  };
  const snapshot = saved ?? (await bootAndSave(command, await make()));
  // One that panics is replaced, which must not go unnoticed.
  const living = new Set<Pick<Machine, "control">>();
  let isRetired = false;
  const created = (machine: Pick<Machine, "control" | "exited">) => {
    living.add(machine);
    machine.control.draining = isRetired;
    machine.exited
      .then(
        (exit) => void exitCode(exit, log),
        (error: Error) => log("error", "torito", `a fault of the host: ${error.stack}`),
      )
      .finally(() => living.delete(machine));
  };
  const pool = new MachinePool<ServingOptions>(snapshot, { size: machines, make, created });
  await usable(pool.fill());
  const clients = new PerConnection(pool, log, systemClock);
  const listeners = await listen(command, sockets, clients, log);
  const service: Drainable = {
    isReady: true,
    retire: () => {
      isRetired = true;
      for (const { control } of living) control.draining = true;
    },
    drain: async () => {
      await Promise.all(listeners.map((listener) => listener.finish?.(BACKLOG_MS)));
      for (const listener of listeners) listener.close();
      await clients.drain();
    },
    reset: () => clients.clients,
  };
  const end = await Promise.race([timeout, untilSignal(signals, service, () => command, log)]);
  pool.close();
  return end;
}

/** A snapshot of a machine whose guest listens on all published ports. */
async function bootAndSave(
  { memoryBytes, parameters, publish }: Command,
  { vsock, ...options }: ServingOptions & { readonly image: Uint8Array<ArrayBuffer> },
): Promise<Snapshot> {
  const machine = await usable(Machine.create({ ...options, memoryBytes, parameters }));
  boot(machine);
  await usable(Promise.all(publish.map(({ guestPort }) => vsock.probe(guestPort))));
  const snapshot = await usable(machine.snapshot());
  machine.dispose();
  return snapshot;
}

/** Opens the published ports, and says which. */
async function listen(
  { publish }: Command,
  sockets: NodeSockets,
  clients: PerConnection,
  log: Log,
): Promise<Listener[]> {
  const listeners: Listener[] = [];
  const urls: string[] = [];
  for (const { host, port, guestPort } of publish) {
    const listening = sockets.listen({ host, port }, BACKLOG, {
      accepted: (socket) => clients.accepted(socket, guestPort),
      refused: (error) => log("warn", "torito", `a client was turned away: ${error.message}`),
    });
    const listener = await available(listening);
    listeners.push(listener);
    urls.push(`  ${urlOf({ ...(listener.address as TcpAddress), guestPort })}`);
  }
  log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
  return listeners;
}
