// One connection of the echo. Its loans form a ring: the kernel lends them, they are sent, and they
// are released, in that order. A short exchange is one send that waits for its buffers; of bulk
// data, further sends start while the device still has the buffers of earlier ones.
import {
  Completion,
  IoVec,
  Loan,
  MSG_DONTWAIT,
  MSG_ZEROCOPY,
  POLLIN,
  SelectEntry,
  SO_ZEROCOPY,
  SysSocketClose,
  SysSocketRecvLoan,
  SysSocketRelease,
  SysSocketSelect,
  SysSocketSendCompletion,
  SysSocketSendVector,
  SysSocketSetOption,
  ToroAllocMem,
  ToroFreeMem,
} from "torito/kernel/api";

/** Loans of one send. */
const BATCH: u32 = 16;
/** Sends whose buffers the device may have. */
const SENDS: u32 = 8;
/** A smaller send waits for its buffers: the next data have not come yet. */
const STREAM_BYTES: u32 = 65536;

@unmanaged
class Echo {
  socket: i32;
  next: u32; // number of the next send with MSG_ZEROCOPY
  pending: u32; // earlier sends that still have their loans
}

// After the record: for each of SENDS the number of its tokens (0: free) and the tokens; then the
// scratch space of one batch.
const SLOTS: usize = offsetof<Echo>();
const SLOT_BYTES: u32 = (BATCH + 1) * 4;
const LOANS: usize = SLOTS + SENDS * SLOT_BYTES;
const VECTOR: usize = LOANS + BATCH * offsetof<Loan>();
const RANGE: usize = VECTOR + BATCH * offsetof<IoVec>();
const POLL: usize = RANGE + offsetof<Completion>();
const ECHO_BYTES: usize = POLL + offsetof<SelectEntry>();

/** The thread of a connection. */
export function serve(arg: usize): void {
  const socket = <i32>arg;
  const echo = changetype<Echo>(ToroAllocMem(ECHO_BYTES));
  if (changetype<usize>(echo) != 0) {
    echo.socket = socket;
    SysSocketSetOption(socket, SO_ZEROCOPY, 1);
    while (step(echo));
    while (echo.pending != 0 && collect(echo, 0));
    ToroFreeMem(changetype<usize>(echo));
  }
  SysSocketClose(socket);
}

/** Sends received data back. Yields. Returns false at the end of the connection. */
function step(echo: Echo): bool {
  const loans = changetype<usize>(echo) + LOANS;
  const waits = echo.pending == 0;
  const n = SysSocketRecvLoan(echo.socket, loans, BATCH, waits ? 0 : MSG_DONTWAIT);
  if (n > 0) return sendBack(echo, loans, n);
  return !waits && n != 0 && waitForEither(echo);
}

function sendBack(echo: Echo, loans: usize, n: u32): bool {
  const slot = slotOf(echo, echo.next);
  while (load<u32>(slot) != 0) {
    if (!collect(echo, 0)) return false;
  }
  const vector = changetype<usize>(echo) + VECTOR;
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const loan = changetype<Loan>(loans + i * offsetof<Loan>());
    const entry = changetype<IoVec>(vector + i * offsetof<IoVec>());
    entry.base = loan.address;
    entry.length = loan.length;
    bytes += loan.length;
    store<u32>(slot + ((i + 1) << 2), loan.token);
  }
  const stream = bytes >= STREAM_BYTES;
  const sent = SysSocketSendVector(echo.socket, vector, n, stream ? MSG_ZEROCOPY : 0);
  if (!stream || sent <= 0) {
    SysSocketRelease(echo.socket, slot + 4, n);
    return sent == <i32>bytes;
  }
  store<u32>(slot, n);
  echo.next++;
  echo.pending++;
  return sent == <i32>bytes;
}

/** Waits for data or for buffers. Yields. Returns false when the connection has ended. */
function waitForEither(echo: Echo): bool {
  const entry = changetype<SelectEntry>(changetype<usize>(echo) + POLL);
  entry.socket = echo.socket;
  entry.events = <u16>POLLIN;
  if (SysSocketSelect(changetype<usize>(entry), 1, -1) < 0) return false;
  return (entry.revents & POLLIN) != 0 || collect(echo, MSG_DONTWAIT);
}

/** Releases the loans of finished sends. Yields. Returns false when there were none. */
function collect(echo: Echo, flags: u32): bool {
  const range = changetype<Completion>(changetype<usize>(echo) + RANGE);
  if (SysSocketSendCompletion(echo.socket, changetype<usize>(range), flags) != 1) return false;
  for (let i = range.first; i != range.last + 1; i++) {
    const slot = slotOf(echo, i);
    SysSocketRelease(echo.socket, slot + 4, load<u32>(slot));
    store<u32>(slot, 0);
    echo.pending--;
  }
  return true;
}

function slotOf(echo: Echo, send: u32): usize {
  return changetype<usize>(echo) + SLOTS + (send % SENDS) * SLOT_BYTES;
}
