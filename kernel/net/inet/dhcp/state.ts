// The states of the DHCP client, and the steps between them.

export const enum DhcpState {
  Off, // no card, or a static address
  Unplugged, // there is a card without a link, and we have no address
  Resting, // a server took its word back; we begin again in a while
  Selecting, // DISCOVER sent: the link is up, a rest or a lease has ended, nobody has answered
  Requesting, // an OFFER has come, REQUEST sent
  Probing, // its ACK has come; nobody else may have the address
  Bound, // the address is ours: nobody had it, or an ACK has prolonged the lease
  Renewing, // T1 has passed: the server is asked to prolong the lease
  Rebinding, // T2 has passed, or the link came back: any server is
}

let state: DhcpState = DhcpState.Off;

export function dhcpState(): DhcpState {
  return state;
}

/** Has the machine an address by DHCP? */
export function hasLease(): bool {
  return state >= DhcpState.Bound;
}

/** Is a REQUEST of ours to be answered? */
export function isRequesting(): bool {
  return (
    state == DhcpState.Requesting || state == DhcpState.Renewing || state == DhcpState.Rebinding
  );
}

/** Makes every step from one state to another. */
export function enterState(next: DhcpState): void {
  assert(isStep(next), "dhcp: no step between these states");
  state = next;
}

function isStep(next: DhcpState): bool {
  switch (next) {
    case DhcpState.Off:
    case DhcpState.Unplugged:
      return true;
    case DhcpState.Resting:
      return isRequesting() || state == DhcpState.Probing;
    case DhcpState.Selecting:
      return state != DhcpState.Off && state != DhcpState.Probing;
    case DhcpState.Requesting:
      return state == DhcpState.Selecting;
    case DhcpState.Probing:
      return state == DhcpState.Requesting;
    case DhcpState.Bound:
      return state == DhcpState.Probing || state > DhcpState.Bound;
    case DhcpState.Renewing:
      return state == DhcpState.Bound;
    default:
      return hasLease();
  }
}
