// Interrupts: calls the driver of a line, which acknowledges and drains. Handlers never yield.

const LINES: u32 = 32;

@unmanaged
class Line {
  handler: u32; // table index of a function (arg: usize): void; 0: nobody
  arg: usize;
}

const lines: usize = memory.data(32 * 8);

function line(irq: u32): Line {
  return changetype<Line>(lines + irq * offsetof<Line>());
}

/** Routes `irq` to handler(arg). Returns false when there is no such line or it is taken. */
export function registerInterrupt(irq: u32, handler: u32, arg: usize): bool {
  if (irq >= LINES || line(irq).handler != 0) return false;
  line(irq).handler = handler;
  line(irq).arg = arg;
  return true;
}

/** The host's entry. An interrupt without a handler is ignored. */
export function interrupt(irq: u32): void {
  if (irq >= LINES) return;
  const l = line(irq);
  if (l.handler != 0) call_indirect<void>(l.handler, l.arg);
}
