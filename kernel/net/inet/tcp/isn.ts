// Numbers that nobody may guess: initial sequence numbers (RFC 6528), the offsets of timestamps,
// and where the search for a local port begins (RFC 6056, 3.3.3). All come from a keyed hash.
import { nowNs } from "../../../clock";
import { generationSeed } from "../../../generation";
import { sipHash24 } from "../../../siphash";
import { randomBytes } from "../../../std";
import { ownAddress } from "../local";

const KEY_BYTES: u32 = 16;
const key: usize = memory.data(16);
const INPUT_BYTES: u32 = 16;
const input: usize = memory.data(16);
let hasKey: bool = false;
/** RFC 6528: the clock ticks every 4 microseconds. */
const TICK_NS: u64 = 4000;

const enum Purpose {
  Sequence,
  Timestamp,
  Port,
}

function hashOf(purpose: Purpose, localPort: u32, remoteAddress: u32, remotePort: u32): u64 {
  if (!hasKey) randomBytes(key, KEY_BYTES);
  hasKey = true;
  store<u32>(input, ownAddress());
  store<u32>(input, remoteAddress, 4);
  store<u32>(input, (localPort << 16) | remotePort, 8);
  store<u32>(input, (<u32>generationSeed() << 2) | purpose, 12); // clones do not share it
  return sipHash24(load<u64>(key), load<u64>(key, 8), input, INPUT_BYTES);
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
