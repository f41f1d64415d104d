// Several connections at once from C sources to rx-zerocopy on the `user` network, and what both
// sides have counted.
import { bulk, splitCores } from "./machines.mjs";
import { NetGuest } from "./net.mjs";

const PORT = 1234;
const CALL_BYTES = 262144;
const CALL_PAGES = 64;
/** A slow reader gets that share of a fast one's bytes. */
const SLOW_SHARE = 0.1;

/**
 * @typedef {{ mb: number, mtu: number, loans?: boolean, receive?: "staging" | "in-place",
 *   whenOut?: "stop" | "copy" | "drop", parameters?: string, connections?: number, pairs?: number,
 *   slow?: number, pages?: number, memoryMB?: number }} Wanted
 * @typedef {{ host: number, guest: number, filled: number, retransmitted: number,
 *   dropped: number, pinned: number }} Counted
 */

/**
 * 10^6 * `mb` bytes over all connections. The rate is that of the fast ones, all together; CPU time
 * is the guest's process's for each megabyte. `host` and `guest`: copies of a byte there.
 * @param {Wanted} wanted
 * @returns {Promise<{ rate: number, cpu: number, counted: Counted }>}
 */
export async function receiveOverNet({
  mb,
  mtu,
  loans = true,
  parameters = "",
  connections = 1,
  pairs = 1,
  slow = 0,
  pages = CALL_PAGES,
  memoryMB,
  ...network
}) {
  const { peer } = splitCores();
  const words = [
    `mode=rx rx=${pages} port=${PORT} connections=${connections} slow=${slow}`,
    `zerocopy=${loans ? 1 : 0} net.pairs=${pairs} ${parameters}`,
  ].join(" ");
  const guest = await NetGuest.start("user", {
    ...{ image: "rx-zerocopy", parameters: words, mtu, memoryMB, port: PORT, network },
    card: { pairs },
  });
  try {
    await guest.guest.said(/(listening on TCP port)/);
    const each = Math.max(1, Math.round(mb / connections));
    const shares = Array.from({ length: connections }, (_, i) =>
      i === 0 && slow > 0 ? Math.max(1, Math.round(each * SLOW_SHARE)) : each,
    );
    const moves = shares.map((share) =>
      bulk("source", "tcp", guest.where, CALL_BYTES, share, peer),
    );
    const ended = await Promise.all(moves);
    const fast = ended.slice(slow > 0 ? 1 : 0);
    const rate =
      fast.reduce((sum, { bytes }) => sum + bytes, 0) /
      1e6 /
      Math.max(...fast.map(({ seconds }) => seconds));
    const bytes = ended.reduce((sum, one) => sum + one.bytes, 0);
    const cpuUs = Number(await guest.guest.said(/^cpu (\d+)/m));
    const card = JSON.parse(await guest.guest.said(/^counted (.*)$/m));
    const user = JSON.parse(await guest.guest.said(/^network (.*)$/m));
    const inside = JSON.parse(await guest.guest.said(/^guest (.*)$/m));
    const counted = {
      host: card.copiedToGuest / bytes,
      guest: (inside.ringToSocket + inside.socketToUser) / bytes,
      filled: (card.bytesToGuest / card.roomToGuest) * 100,
      retransmitted: user.retransmitted,
      dropped: user.dropped.noBuffer,
      pinned: inside.heapMost / 1024,
    };
    return { rate, cpu: cpuUs / (bytes / 1e6), counted };
  } finally {
    await guest.stop();
  }
}
