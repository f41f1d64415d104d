// The kind of a frame, by its first bytes: for people who look at a ring or a trace. The guest has
// written them, and they may say anything.
import { ETH_P_IP, EthernetHdr } from "../../../abi/ethernet.ts";
import { IP_OFFMASK, IPPROTO_TCP, IPPROTO_UDP, IpHdr } from "../../../abi/ip.ts";
import { TcpHdr } from "../../../abi/tcp.ts";

/** Ethernet, IPv4 with all options, TCP with all options. */
export const HEADERS_BYTES = EthernetHdr.sizeof + 60 + 60;
const WORD_BYTES = 4;
/** Up to here TCP's header says all that is looked at. */
const FLAGS_END = TcpHdr.flags + 1;

/** The headers of a frame, read once. Fields that its protocol does not have are 0. */
export class Headline {
  /** EtherType. */
  type = 0;
  /** Of IPv4. */
  protocol = 0;
  source = 0;
  destination = 0;
  /** Of TCP and UDP; `hasPorts`: they were read. */
  hasPorts = false;
  sourcePort = 0;
  destPort = 0;
  /** Of TCP. */
  flags = 0;
  /** Of TCP: where its payload begins in the frame, and its bytes, as the headers say. */
  payloadAt = 0;
  payloadBytes = 0;

  /** `frame`: its first bytes, of `bytes`; 14 at least. Fragments but the first have no ports. */
  read(frame: DataView, bytes: number): void {
    this.type = frame.getUint16(EthernetHdr.h_proto);
    this.protocol = this.source = this.destination = 0;
    this.hasPorts = false;
    this.sourcePort = this.destPort = this.flags = this.payloadAt = this.payloadBytes = 0;
    const at = EthernetHdr.sizeof;
    if (this.type !== ETH_P_IP || frame.byteLength < at + IpHdr.sizeof) return;
    this.protocol = frame.getUint8(at + IpHdr.protocol);
    this.source = frame.getUint32(at + IpHdr.saddr);
    this.destination = frame.getUint32(at + IpHdr.daddr);
    const isFirst = (frame.getUint16(at + IpHdr.frag_off) & IP_OFFMASK) === 0;
    const next = at + (frame.getUint8(at) & 15) * WORD_BYTES;
    if (!isFirst || next < at + IpHdr.sizeof || frame.byteLength < next + WORD_BYTES) return;
    if (this.protocol !== IPPROTO_TCP && this.protocol !== IPPROTO_UDP) return;
    this.hasPorts = true;
    this.sourcePort = frame.getUint16(next + TcpHdr.source);
    this.destPort = frame.getUint16(next + TcpHdr.dest);
    if (this.protocol !== IPPROTO_TCP || frame.byteLength < next + FLAGS_END) return;
    this.flags = frame.getUint8(next + TcpHdr.flags);
    const headerBytes = (frame.getUint8(next + TcpHdr.doff) >> 4) * WORD_BYTES;
    this.payloadAt = next + headerBytes;
    // Without what pads a short frame.
    const end = Math.min(bytes, at + frame.getUint16(at + IpHdr.tot_len));
    this.payloadBytes = Math.max(0, end - this.payloadAt);
  }
}
