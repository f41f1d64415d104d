// The buffers of a card's receive ring (virtio 5.1.6.3): making, posting and taking them back.
import { NetHdr } from "../../abi/net";
import { hasReceiveRoom } from "../../kernel/net/link/interface";
import { isInline, Packet, payloadOf, wireHeaderOf } from "../../kernel/net/link/packet";
import { FITTED_BYTES, FreePacket, isFitted, takeBuffer } from "../../kernel/net/link/pool";
import { NetDriver, NetPair, pairAt } from "./driver";

/** Posts buffers until the ring has enough, memory is out or too many frames wait (NW17). */
export function replenish(pair: NetPair): void {
  while (mayPost(pair) && hasReceiveRoom(pair.driver.iface)) {
    const packet = makeBuffer(pair);
    if (!packet) break;
    post(pair, packet);
  }
  pair.rx.kick();
}

function mayPost(pair: NetPair): bool {
  return pair.posted < pair.driver.wanted && pair.rx.hasRoom(pair.driver.segments);
}

function makeBuffer(pair: NetPair): Packet | null {
  const driver = pair.driver;
  const large = pair.larges < driver.largeWanted ? takeBuffer(driver.large) : null;
  const packet = large || takeBuffer(driver.size);
  if (!packet || driver.parts == 0) return packet;
  for (let i: u32 = 0; i < driver.parts; i++) {
    const part = takeBuffer(driver.size);
    if (!part) {
      FreePacket(packet);
      return null;
    }
    part.next = packet.parts;
    packet.parts = part;
  }
  return packet;
}

/** Is it one of the large buffers of a mixed ring? */
function isLarge(driver: NetDriver, packet: Packet): bool {
  return driver.largeWanted != 0 && packet.size == driver.large;
}

/** Gives a buffer to the device. kick() has to follow. */
export function post(pair: NetPair, packet: Packet): void {
  const driver = pair.driver;
  const rx = pair.rx;
  const header = wireHeaderOf(packet, NetHdr.sizeof);
  packet.iface = changetype<usize>(driver.iface);
  packet.received = true;
  packet.queue = <u8>pair.index;
  packet.length = 0;
  rx.begin(isSplit(packet) ? 2 + driver.parts : 1 + driver.parts);
  if (isFitted(packet)) {
    rx.writable(header, NetHdr.sizeof + FITTED_BYTES);
    rx.writable(payloadOf(packet) + FITTED_BYTES, packet.capacity - FITTED_BYTES);
  } else if (isInline(packet)) {
    rx.writable(header, NetHdr.sizeof + packet.capacity);
  } else {
    rx.writable(header, NetHdr.sizeof);
    rx.writable(payloadOf(packet), packet.capacity);
  }
  let part = packet.parts;
  while (part) {
    rx.writable(payloadOf(part), part.capacity);
    part = part.next;
  }
  rx.add(changetype<usize>(packet));
  pair.posted++;
  if (isLarge(driver, packet)) pair.larges++;
}

function isSplit(packet: Packet): bool {
  return isFitted(packet) || !isInline(packet);
}

/** The next buffer that the device has used, or null: none, or the device has failed. */
export function takeUsed(pair: NetPair): Packet | null {
  const token = pair.rx.take();
  if (token == 0) return null;
  const packet = changetype<Packet>(token);
  assert(packet.received && pair.posted != 0, "no receive buffer");
  pair.posted--;
  if (isLarge(pair.driver, packet)) pair.larges--;
  return packet;
}

/**
 * A frame has been consumed, or was none: posts its buffer again, or frees it if it is none of the
 * ring's, or the ring has enough.
 */
export function recycle(driver: NetDriver, packet: Packet): void {
  const pair = pairAt(driver, packet.queue);
  if (driver.device.failed || !mayPost(pair)) return FreePacket(packet);
  if (packet.pooled && packet.size == driver.size && packet.parts == null && driver.parts == 0) {
    post(pair, packet);
    pair.rx.kick();
    return;
  }
  FreePacket(packet);
  replenish(pair);
}
