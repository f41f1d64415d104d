// The inspector's page of a guest with a network card: a row for each TCP socket, whose figures are
// the machine's, and its clients'.
import { once } from "node:events";
import { truncateSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect } from "vitest";
import type { MachineView } from "../../host/inspect/inspector.ts";
import type { SocketView } from "../../host/inspect/sockets.ts";
import { bytesText } from "../../web/inspector/dom.ts";
import { Appliance, has, makeFolder, removeFolders, until } from "../support/appliance.ts";
import { closeBrowser, openPage } from "../support/browser.ts";
import { witness } from "../support/outside-program.ts";

/** More than all buffers on the way to a client hold. */
const LARGE_BYTES = 256 << 20;
let appliance: Appliance;
let root: string;

beforeAll(async () => {
  if (!has("chromium")) return;
  const folder = makeFolder();
  writeFileSync(`${folder}/index.html`, "home");
  writeFileSync(`${folder}/large.bin`, "");
  truncateSync(`${folder}/large.bin`, LARGE_BYTES);
  appliance = await Appliance.serveOnCard(folder, "--inspect");
  root = /inspector on (http:\S+)inspect/.exec(appliance.stderr)?.[1] ?? "";
});
afterAll(async () => {
  await closeBrowser();
  await appliance?.stop();
  removeFolders();
});

const state = async (): Promise<MachineView> => (await fetch(`${root}inspect/state`)).json();

/** A client that has sent a request for the path. */
async function ask(path: string): Promise<Socket> {
  const socket = connect(Number(new URL(appliance.url).port), "127.0.0.1");
  await once(socket, "connect");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: guest\r\n\r\n`);
  return socket;
}

/** The row that a socket should have; `address` is that of its client. */
function cells(socket: SocketView, address: string): readonly string[] {
  const { tcp, received, sent } = socket;
  const again = tcp?.retransmits === 0 ? "" : `, ${tcp?.retransmits} sent again`;
  return [
    "tcp",
    `${socket.localPort}`,
    socket.peer,
    socket.state === "listening"
      ? `LISTEN, ${socket.pending} of ${socket.backlog} wait`
      : `${tcp?.state}, cwnd ${tcp?.congestionWindow}, rtt ${tcp?.roundTripUs} us${again}`,
    bytesText(received.bytes),
    `bytes not read: ${received.inFlight} of ${received.window}`,
    bytesText(sent.bytes),
    `bytes not acknowledged: ${sent.inFlight} of ${sent.window}`,
    `${socket.unread} B, pins ${socket.pinned} B`,
    address,
  ];
}

witness("chromium", "IN2: the rows of TCP say what the machine and its clients say", async () => {
  const served = await ask("/index.html");
  let answer = "";
  served.setEncoding("latin1").on("data", (text) => {
    answer += text;
  });
  const stopped = await ask("/large.bin"); // nobody reads from it
  await until(async () => {
    const sent = (await state()).sockets?.listed.map((one) => one.sent) ?? [];
    const isAcknowledged = sent.some((one) => one.bytes === answer.length && one.inFlight === 0);
    return answer.endsWith("home") && isAcknowledged && sent.some(({ inFlight }) => inFlight > 0);
  });
  const { page, errors } = await openPage();
  await page.goto(`${root}inspect`);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("paused", { exact: true }).waitFor();
  const { sockets, netConnections, connections } = await state();
  expect([connections.total, netConnections.total, sockets?.total]).toEqual([0, 2, 3]);
  expect(netConnections.listed.map(({ address }) => address)).toEqual(["127.0.0.1", "127.0.0.1"]);
  const expected = sockets?.listed.map((one) => cells(one, one.peer === "" ? "" : "127.0.0.1"));
  const rows = page.getByRole("table", { name: "Sockets of the guest" }).locator("tbody tr");
  const shown = await rows.evaluateAll((all) =>
    all.map((row) =>
      [...row.querySelectorAll("td")].map(
        (cell) => cell.querySelector("[role=img]")?.getAttribute("aria-label") ?? cell.textContent,
      ),
    ),
  );
  expect(shown).toEqual(expected);
  // And the machine says what its clients have seen.
  const sent = sockets?.listed.filter(({ peer }) => peer !== "").map((one) => one.sent);
  const waiting = sent?.filter(({ inFlight }) => inFlight > 0);
  expect(sent).toContainEqual(expect.objectContaining({ bytes: answer.length, inFlight: 0 }));
  expect(waiting).toHaveLength(1);
  expect(waiting?.[0]?.bytes).toBeLessThan(LARGE_BYTES);
  expect(errors).toEqual([]);
  for (const client of [served, stopped]) client.destroy();
  await page.close();
});
