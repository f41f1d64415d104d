// Packets that we send to ourselves: they wait here until the sender has returned, and then go
// through the same input as those of the card (TC63). They need a card, but neither its device nor
// its link.
import { NetHdr } from "../../../abi/net";
import { nowNs } from "../../clock";
import { startTimer, stopTimer, Timer } from "../../timer";
import { Packet, PacketQueue, payloadOf, segmentOf, wireHeaderOf } from "../link/packet";
import { AllocatePacket, FreePacket } from "../link/pool";
import { inetStats } from "./stats";

/** A further one is dropped, as a network would. */
const WAITING_MAX: u32 = 64;

const waiting = changetype<PacketQueue>(memory.data(offsetof<PacketQueue>()));
const timer = changetype<Timer>(memory.data(offsetof<Timer>()));
let isDraining: bool = false;

/** `handler` is the table index of (arg: usize): void, which calls takeLoopback(). */
export function loopbackInit(handler: u32): void {
  timer.handler = handler;
}

/** The card is gone, and with it what waits. */
export function loopbackEnd(): void {
  stopTimer(timer);
  for (let packet = waiting.pop(); packet; packet = waiting.pop()) FreePacket(packet);
}

/** Queues a packet to ourselves, and owns it. It arrives when the running thread has halted. */
export function sendToSelf(packet: Packet): void {
  if (waiting.count == WAITING_MAX) {
    inetStats().loopbackFull++;
    return FreePacket(packet);
  }
  const flat = packet.segments == 0 ? packet : flatten(packet);
  if (!flat) return;
  waiting.push(flat);
  if (!isDraining && timer.place == 0) startTimer(timer, nowNs());
}

/** A copy of a packet that lists its parts, which is freed; null: no memory. */
function flatten(packet: Packet): Packet | null {
  const flat = AllocatePacket(packet.length);
  if (flat) {
    const from = wireHeaderOf(packet, NetHdr.sizeof);
    memory.copy(wireHeaderOf(flat, NetHdr.sizeof), from, NetHdr.sizeof);
    for (let i: u32 = 0; i < packet.segments; i++) {
      const part = segmentOf(packet, i);
      memory.copy(payloadOf(flat) + flat.length, part.base, part.length);
      flat.length += part.length;
    }
  }
  FreePacket(packet);
  return flat;
}

/**
 * The timer is due: the next packet, for the caller to take in and free; null: that is all for now.
 * Call it until then, at most as often as a queue has places: what is answered to answers waits for
 * another turn, so that two ends of a connection cannot keep the machine for themselves.
 */
export function takeLoopback(taken: u32): Packet | null {
  isDraining = taken < WAITING_MAX;
  const packet = isDraining ? waiting.pop() : null;
  if (packet) return packet;
  isDraining = false;
  if (waiting.count != 0) startTimer(timer, nowNs() + 1); // a timer starts none that is due
  return null;
}
