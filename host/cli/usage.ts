// The text of `torito --help`, and errors of the command line.

export const EXIT_USAGE = 2;
export const EXIT_UNAVAILABLE = 69;
export const EXIT_SOFTWARE = 70;
export const EXIT_TIMEOUT = 124;
/** A parent sees only the low byte of an exit code, where a failure must not become 0. */
export const EXIT_MAX = 255;

/** How the process ends, and for how long readers of its output may delay that. */
export interface End {
  readonly code: number;
  readonly patienceMs: number;
}

export function asLongAsItTakes(code: number): End {
  return { code, patienceMs: Number.POSITIVE_INFINITY };
}

/**
 * An error on the command line, or a resource that is not available: one line, and an exit code.
 */
export class CliError extends Error {
  override name = "CliError";
  readonly code: number;

  constructor(message: string, code: number = EXIT_USAGE) {
    super(message);
    this.code = code;
  }
}

export const HELP = `torito: a unikernel and its virtual machine, in one process

Usage
  torito serve DIR [options]         serve a directory with the WebServer appliance
  torito run APP|IMAGE [options]     boot an application by its folder, or any .wasm image
  torito --help | --version

Network
  -p, --publish [HOST:]PORT:GUEST    TCP port of the host -> port of the guest; repeatable;
                                     HOST is 127.0.0.1 unless given; PORT 0 picks a free one
      --connect PORT:[HOST:]TCP      the guest's connections to host port PORT reach that TCP port
      --vsock-uds PATH               hybrid vsock: clients of that socket say CONNECT PORT;
                                     the guest's connections to port P reach PATH_P
      --seqpacket PORT               connections to that port, of the guest or the host, carry
                                     messages; on the host each follows its length: 4 bytes,
                                     little-endian, the highest bit ends a record; repeatable
      --cid N                        the guest's address, 3 or more (3)

Machine
  -v, --volume HOSTDIR:TAG[:ro|rw]   a directory that the guest mounts by its tag, read-only
                                     unless :rw is given; repeatable
  -m, --memory SIZE                  RAM, as in 64M or 1Gi (64M)
      --fs-window SIZE               additional memory for each volume, into which the guest maps
                                     files; 0: none (serve: 16M, run: 0)
      --timeout SECONDS              give up after this time, exit code 124
      --grace SECONDS                time to finish open connections after a signal (10)
      --watchdog SECONDS             kill a guest that does not return for this long; 0: never (10)

Output
      --log-format pretty|json       (pretty)
      --log-level error|warn|info|debug  (info)
      --pcap FILE                    every packet of the vsock device, for Wireshark
      --trace FILE                   threads, entries, interrupts, packets and file requests in
                                     time, for Perfetto or chrome://tracing
      --stats                        at exit: bytes, and copies of each, by direction
                                     guest console on stdout, everything else on stderr

  --  PARAMETERS                     the rest goes to the kernel and the application

Examples
  torito serve ./site
  torito serve ./site -p 0.0.0.0:8080:80
  torito run apps/web-server -p 4000:80 -v ./site:site -m 64M -- root=site
  torito run hello.wasm --timeout 5

Exit codes
  0 power-off or drained, otherwise the guest's own code; 2 usage; 69 cannot bind, mount or
  write; 70 guest panic; 124 timeout; 130 or 143 second SIGINT or SIGTERM
`;

/** The known word nearest to a mistyped one, if it is near enough. */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
