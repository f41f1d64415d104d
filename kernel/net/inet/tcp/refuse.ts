// RST for a segment that belongs to no connection (RFC 9293, 3.10.7.1): it repeats the numbers of
// the segment, so that its sender knows that it is the answer.
import { TH_ACK, TH_RST } from "../../../../abi/tcp";
import { sendEmpty } from "./emit";
import { newHeader } from "./header";
import { lengthOf, Segment } from "./segment";

/** Answers by RST; an RST is never answered. */
export function sendRefusal(g: Segment): void {
  if ((g.flags & TH_RST) != 0) return;
  const h = newHeader(g.destPort, g.source, g.sourcePort);
  if ((g.flags & TH_ACK) != 0) {
    h.seq = g.ack;
    h.flags = TH_RST;
  } else {
    h.ack = g.seq + lengthOf(g);
    h.flags = TH_RST | TH_ACK;
  }
  sendEmpty(h);
}
