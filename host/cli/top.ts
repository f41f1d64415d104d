// `torito top URL`: the machine of an admin listener in a terminal, from the same JSON as the
// inspector's page. Without a terminal it prints the machine once.
import { get } from "node:http";
import type { MachineView } from "../inspect/inspector.ts";
import { stdout } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_UNAVAILABLE } from "./usage.ts";

const PERIOD_MS = 1000;
const PATIENCE_MS = 2000;
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;
const ROWS_DEFAULT = 24;
const COLUMNS_DEFAULT = 100;
const ABSENT = "there is no machine at the moment";
const NO_STATE = "not the state of a machine";
/** To the top left, and clears the screen. */
const CLEAR = "\x1b[H\x1b[2J";

/** Shows the machine until a signal ends the process. */
export async function top(text: string): Promise<End> {
  const url = stateUrl(text);
  const { isTTY = false } = process.stdout;
  let before: MachineView | null = null;
  for (;;) {
    const view = await read(url, isTTY);
    const { rows = ROWS_DEFAULT, columns = COLUMNS_DEFAULT } = process.stdout;
    const lines = view === null ? [ABSENT] : shownLines(url, view, before, isTTY ? rows - 1 : null);
    const shown = lines.map((line) => (isTTY ? line.slice(0, columns) : line));
    stdout.write(`${isTTY ? CLEAR : ""}${shown.join("\n")}\n`);
    if (!isTTY || view?.state === "ended") return asLongAsItTakes(0);
    before = view;
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS));
  }
}

/** Lines that a terminal shows as they are, of whatever has answered. `rowsMax`: null: all. */
function shownLines(
  url: URL,
  view: MachineView,
  before: MachineView | null,
  rowsMax: number | null,
): string[] {
  try {
    const lines = topLines(view, before, rowsMax ?? Number.POSITIVE_INFINITY);
    return lines.map((line) => line.replace(/\p{Cc}/gu, "?"));
  } catch {
    throw new CliError(`top ${url.origin}: ${NO_STATE}`, EXIT_UNAVAILABLE);
  }
}

/** Of the listener, or of one of its pages, which may name a machine. */
function stateUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "http:") throw new CliError(`top ${text}: not a URL of http`);
  return new URL(`/inspect/state${url.search}`, url);
}

/** `waits`: null instead of a failure, if a machine is about to take another's place. */
function read(url: URL, waits: boolean): Promise<MachineView | null> {
  return new Promise((resolve, reject) => {
    const fail = (fault: string) =>
      reject(new CliError(`top ${url.origin}: ${fault}`, EXIT_UNAVAILABLE));
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const request = get(url, { signal }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        body += part;
        if (body.length > ANSWER_BYTES_MAX) request.destroy(new Error("the answer has no end"));
      });
      response.on("error", (error) => fail(error.message));
      response.on("end", () => {
        if (response.statusCode === 404) fail("it has no inspector: start it with --inspect");
        else if (response.statusCode === 503 && waits) resolve(null);
        else if (response.statusCode !== 200) fail(`status ${response.statusCode}`);
        else parse(body, resolve, fail);
      });
    });
    request.on("error", (error) =>
      fail(signal.aborted ? `no answer in ${PATIENCE_MS} ms` : error.message),
    );
  });
}

function parse(
  body: string,
  resolve: (view: MachineView) => void,
  fail: (fault: string) => void,
): void {
  try {
    const view = JSON.parse(body);
    if (view === null) fail(NO_STATE);
    else resolve(view);
  } catch {
    fail(NO_STATE);
  }
}

/** The machine in at most `rowsMax` lines. Rates are since `before`, if that is known. */
export function topLines(view: MachineView, before: MachineView | null, rowsMax: number): string[] {
  const seconds = before === null ? 0 : (view.nowNs - before.nowNs) / 1e9;
  const rate = (of: (one: MachineView) => number) =>
    before === null || seconds <= 0 ? "" : ` (${Math.round((of(view) - of(before)) / seconds)}/s)`;
  const kicks = (one: MachineView) =>
    sum(one.devices.flatMap(({ queues }) => queues.map((queue) => queue.kicks)));
  const interrupts = (one: MachineView) => sum(one.devices.map((device) => device.interrupts));
  const tcp = tcpLines(view);
  const lines = [
    `torito  ${view.state}  up ${(view.nowNs / 1e9).toFixed(1)} s`,
    [
      `switches ${view.switches}${rate((one) => one.switches)}`,
      `kicks ${kicks(view)}${rate(kicks)}`,
      `interrupts ${interrupts(view)}${rate(interrupts)}`,
    ].join("   "),
    ...copies(view),
    ...heap(view),
    "",
    row("QUEUE", "SIZE", "AVAIL", "TAKEN", "USED", "HELD", "KICKS"),
    ...view.devices.flatMap(({ name, queues }) =>
      queues.flatMap(({ name: queue, size, kicks: count, ring }) => {
        if (ring === null || (ring.takenIdx === 0 && ring.usedIdx === 0)) return [];
        const { availIdx, takenIdx, usedIdx, heldCount } = ring;
        return row(`${name} ${queue}`, size, availIdx, takenIdx, usedIdx, heldCount, count);
      }),
    ),
    "",
    `THREADS ${view.threads?.total ?? "-"}`,
    ...(view.threads?.listed ?? []).map(
      ({ id, name, state, waitsFor }) =>
        `${`${id}`.padStart(10)}  ${state.padEnd(9)} ${waitsFor.padEnd(36)} ${name}`,
    ),
    "",
    `CONNECTIONS ${view.connections.total + tcp.length}`,
    ...view.connections.listed.map(
      ({ guestPort, peerCid, hostPort, bytesToGuest, bytesFromGuest, inPlace }) =>
        `${`${guestPort}`.padStart(10)}  ${`${peerCid}:${hostPort}`.padEnd(14)} ` +
        `${bytesToGuest} B in, ${bytesFromGuest} B out${inPlace ? ", in place" : ""}`,
    ),
    ...tcp,
  ];
  return lines.length <= rowsMax ? lines : [...lines.slice(0, rowsMax - 1), "..."];
}

/** Connections of TCP, as the guest sees them; the clients' addresses, where they end here. */
function tcpLines({ sockets, netConnections }: MachineView): string[] {
  const addresses = new Map(
    netConnections.listed.map(({ guestPort, peer, address }) => [`${guestPort} ${peer}`, address]),
  );
  const all = sockets?.listed.filter(({ tcp, peer }) => tcp !== null && peer !== "") ?? [];
  return all.map(({ localPort, peer, tcp, received, sent }) => {
    const address = addresses.get(`${localPort} ${peer}`) ?? "";
    const from = address === "" ? "" : `, ${address}`;
    return (
      `${`${localPort}`.padStart(10)}  ${peer.padEnd(21)} ${tcp?.state ?? ""}, ` +
      `${received.bytes} B in, ${sent.bytes} B out${from}`
    );
  });
}

function copies({ copies: both }: MachineView): string[] {
  if (both === null) return [];
  return Object.entries(both).map(([way, { bytes, hostCopies, guestCopies }]) => {
    const name = way === "toGuest" ? "to guest" : "from guest";
    const guest = guestCopies === null ? "-" : guestCopies.toFixed(3);
    const host = hostCopies.toFixed(3);
    return `${name.padEnd(10)} ${bytes} B, copies a byte: host ${host}, guest ${guest}`;
  });
}

function heap({ heap: of }: MachineView): string[] {
  if (of === null) return [];
  const mib = (bytes: number) => (bytes / 1024 / 1024).toFixed(1);
  return [`heap ${mib(of.inUse)} of ${mib(of.bytes)} MiB, at most ${mib(of.peak)}`];
}

function row(name: string, ...cells: (string | number)[]): string {
  return `${name.padEnd(20)}${cells.map((cell) => `${cell}`.padStart(8)).join("")}`;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((a, b) => a + b, 0);
}
