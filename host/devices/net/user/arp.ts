// ARP (RFC 826): the network answers for its own addresses, and for nothing else (NB21). It never
// asks: it knows its guests.
import {
  ARPHRD_ETHER,
  ARPOP_REPLY,
  ARPOP_REQUEST,
  ArpHdr,
  ETH_P_ARP,
  ETH_P_IP,
  EtherArp,
  EthernetHdr,
  MAC_BYTES,
} from "../../../../abi/ethernet.ts";
import type { Frame } from "../frame.ts";
import { writeMac } from "../mac.ts";
import { isOwn, macOfOwn } from "./address.ts";
import type { Arrival } from "./arrival.ts";
import type { Departure } from "./departure.ts";

const IP_BYTES = 4;

/** The answer to a frame of that type, whole in memory, for the card `mac`. null: there is none. */
export function answerArp(arrival: Arrival, departure: Departure, mac: number): Frame | null {
  const { view } = arrival;
  const at = arrival.at + EthernetHdr.sizeof;
  const isWhole = arrival.frameBytes >= EthernetHdr.sizeof + EtherArp.sizeof;
  if (!isWhole || !isEthernet(view, at)) return null;
  if (view.getUint16(at + ArpHdr.ar_op) !== ARPOP_REQUEST) return null;
  const asked = view.getUint32(at + EtherArp.arp_tpa);
  if (!isOwn(asked)) return null;
  const asker = view.getUint32(at + EtherArp.arp_spa);
  const reply = departure.ethernet(mac, asked, ETH_P_ARP);
  writeFixed(departure.view, reply);
  writeMac(departure.view, reply + EtherArp.arp_sha, macOfOwn(asked));
  departure.view.setUint32(reply + EtherArp.arp_spa, asked);
  writeMac(departure.view, reply + EtherArp.arp_tha, mac);
  departure.view.setUint32(reply + EtherArp.arp_tpa, asker);
  return departure.finish(EtherArp.sizeof);
}

function isEthernet(view: DataView, at: number): boolean {
  return (
    view.getUint16(at + ArpHdr.ar_hrd) === ARPHRD_ETHER &&
    view.getUint16(at + ArpHdr.ar_pro) === ETH_P_IP &&
    view.getUint8(at + ArpHdr.ar_hln) === MAC_BYTES &&
    view.getUint8(at + ArpHdr.ar_pln) === IP_BYTES
  );
}

function writeFixed(view: DataView, at: number): void {
  view.setUint16(at + ArpHdr.ar_hrd, ARPHRD_ETHER);
  view.setUint16(at + ArpHdr.ar_pro, ETH_P_IP);
  view.setUint8(at + ArpHdr.ar_hln, MAC_BYTES);
  view.setUint8(at + ArpHdr.ar_pln, IP_BYTES);
  view.setUint16(at + ArpHdr.ar_op, ARPOP_REPLY);
}
