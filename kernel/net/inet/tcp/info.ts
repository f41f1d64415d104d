// TC51: the numbers of a connection, for those who want to know why it is slow.
import { IPPROTO_TCP } from "../../../../abi/ip";
import { Errno } from "../../../../abi/errno";
import { NO_SOCKET } from "../../socket/socket";
import { socketOf } from "../../socket/table";
import { isAfter } from "./sequence";
import { Tcb, tcbOf, TcpState } from "./tcb";

/** SysTcpInfo() writes it. Counters are of the connection's whole life, and wrap. */
@unmanaged
export class TcpInfo {
  state: u32; // as Linux numbers them: ESTABLISHED is 1
  mss: u32; // payload bytes of a full segment
  rttUs: u32; // smoothed; 0: nothing was measured
  rttVarianceUs: u32;
  rtoUs: u32; // the retransmission time-out, doubled as often as it has fired
  congestionWindow: u32; // bytes
  slowStartThreshold: u32; // bytes; 0xffffffff: no loss yet
  peerWindow: u32; // bytes that the peer allows
  ownWindow: u32; // bytes that we allow
  inFlight: u32; // bytes without an acknowledgement
  queued: u32; // bytes that were not sent yet
  retransmits: u32; // segments sent again
  probes: u32; // of a closed window, and of a silent peer
  segmentsSent: u32; // retransmits and acknowledgements included
  segmentsReceived: u32;
  outOfOrder: u32; // segments that came before others
  duplicates: u32; // segments of which we had a part
}

/**
 * Writes a TcpInfo of a TCP socket to `into`; the bytes that it has moved are in SysSocketStat.
 * Returns 0, -EBADF, -EINVAL (no TCP socket). Does not yield.
 */
export function SysTcpInfo(socket: i32, into: usize): i32 {
  const s = socketOf(socket);
  if (s == NO_SOCKET) return -Errno.EBADF;
  if (s.protocol != IPPROTO_TCP) return -Errno.EINVAL;
  const t = tcbOf(s);
  const info = changetype<TcpInfo>(into);
  info.state = numberOf(t.state);
  info.mss = t.mss;
  info.rttUs = t.srtt;
  info.rttVarianceUs = t.rttvar;
  info.rtoUs = t.rto;
  info.congestionWindow = t.cwnd;
  info.slowStartThreshold = t.ssthresh;
  info.peerWindow = t.wnd;
  info.ownWindow = isAfter(t.edge, t.rcvNxt) ? t.edge - t.rcvNxt : 0;
  info.inFlight = t.top - t.una;
  info.queued = isAfter(t.end, t.top) ? t.end - t.top : 0;
  count(t, info);
  return 0;
}

function count(t: Tcb, info: TcpInfo): void {
  info.retransmits = t.retransmits;
  info.probes = t.probesSent;
  info.segmentsSent = t.segmentsOut;
  info.segmentsReceived = t.segmentsIn;
  info.outOfOrder = t.outOfOrder;
  info.duplicates = t.dupsReceived;
}

/**
 * The numbers of netinet/tcp.h; a listener is none of a connection's states, and reads as closed.
 */
function numberOf(state: TcpState): u32 {
  switch (state) {
    case TcpState.Established:
      return 1;
    case TcpState.SynSent:
      return 2;
    case TcpState.SynReceived:
      return 3;
    case TcpState.FinWait1:
      return 4;
    case TcpState.FinWait2:
      return 5;
    case TcpState.CloseWait:
      return 8;
    case TcpState.LastAck:
      return 9;
    case TcpState.Closing:
      return 11;
    default:
      return 7;
  }
}
