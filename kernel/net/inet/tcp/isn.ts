// Numbers that nobody may guess: initial sequence numbers (RFC 6528), the offsets of timestamps, and
// where the search for a local port begins (RFC 6056, 3.3.3). All come from a keyed hash.
import { nowNs } from "../../../clock";
import { generationSeed } from "../../../generation";
import { randomBytes } from "../../../std";
import { ownAddress } from "../local";

const KEY_BYTES: u32 = 16;
const key: usize = memory.data(16);
const input: usize = memory.data(16);
let hasKey: bool = false;
/** RFC 6528: the clock ticks every 4 microseconds. */
const TICK_NS: u64 = 4000;

const enum Purpose {
  Sequence,
  Timestamp,
  Port,
}

function secret(): void {
  if (hasKey) return;
  hasKey = true;
  randomBytes(key, KEY_BYTES);
}

function hashOf(purpose: Purpose, localPort: u32, remoteAddress: u32, remotePort: u32): u64 {
  secret();
  store<u32>(input, ownAddress());
  store<u32>(input, remoteAddress, 4);
  store<u32>(input, (localPort << 16) | remotePort, 8);
  store<u32>(input, (<u32>generationSeed() << 2) | purpose, 12); // clones do not share it
  return siphash16();
}

/** TC25: the first sequence number of a connection. */
export function initialSequence(localPort: u32, remoteAddress: u32, remotePort: u32): u32 {
  const hash = hashOf(Purpose.Sequence, localPort, remoteAddress, remotePort);
  return <u32>hash + <u32>(nowNs() / TICK_NS);
}

export function timestampOffset(localPort: u32, remoteAddress: u32, remotePort: u32): u32 {
  return <u32>hashOf(Purpose.Timestamp, localPort, remoteAddress, remotePort);
}

export function portOffset(remoteAddress: u32, remotePort: u32): u32 {
  return <u32>hashOf(Purpose.Port, 0, remoteAddress, remotePort);
}

// SipHash-2-4 (Aumasson and Bernstein, 2012) of the 16 bytes of `input`.

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

function round(): void {
  v0 += v1;
  v1 = rotl<u64>(v1, 13) ^ v0;
  v0 = rotl<u64>(v0, 32);
  v2 += v3;
  v3 = rotl<u64>(v3, 16) ^ v2;
  v0 += v3;
  v3 = rotl<u64>(v3, 21) ^ v0;
  v2 += v1;
  v1 = rotl<u64>(v1, 17) ^ v2;
  v2 = rotl<u64>(v2, 32);
}

function absorb(word: u64): void {
  v3 ^= word;
  round();
  round();
  v0 ^= word;
}

function siphash16(): u64 {
  const k0 = load<u64>(key);
  const k1 = load<u64>(key, 8);
  v0 = k0 ^ 0x736f_6d65_7073_6575;
  v1 = k1 ^ 0x646f_7261_6e64_6f6d;
  v2 = k0 ^ 0x6c79_6765_6e65_7261;
  v3 = k1 ^ 0x7465_6462_7974_6573;
  absorb(load<u64>(input));
  absorb(load<u64>(input, 8));
  absorb(<u64>16 << 56);
  v2 ^= 0xff;
  for (let i = 0; i < 4; i++) round();
  return v0 ^ v1 ^ v2 ^ v3;
}

/** For a test: the hash of 16 bytes under a key of 16. */
export function siphashOf(keyAt: usize, at: usize): u64 {
  memory.copy(key, keyAt, KEY_BYTES);
  memory.copy(input, at, 16);
  hasKey = true;
  return siphash16();
}
