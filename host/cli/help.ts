// The texts of `torito --help` and of `torito COMMAND --help`.

import { SITE_OPTIONS, type SiteOption } from "../site/settings.ts";
import { hostOption, isSiteOption, type OptionName, type OptionSpec } from "./config/options.ts";

const COLUMN = 37;

/** A line for each option, from the table that settings are made from. */
function linesOf(names: readonly OptionName[]): string {
  return names
    .map((name) => {
      const option = isSiteOption(name) ? SITE_OPTIONS[name] : (hostOption(name) as OptionSpec);
      const flag = `      --${name}${placeholderOf(option)}`;
      const { preset } = option;
      const isShown = typeof preset === "string" && option.kind !== "path";
      const text = isShown ? `${option.text} (${preset})` : option.text;
      // A long flag has a line of its own.
      const gap = flag.length < COLUMN ? "" : `\n${" ".repeat(COLUMN - 1)}`;
      return `${flag.padEnd(COLUMN - 1)}${gap} ${text}`;
    })
    .join("\n");
}

const VALUES = {
  ...{ text: "VALUE", list: "VALUE", number: "N", duration: "TIME", size: "SIZE" },
  ...{ path: "PATH", pairs: "NAME=VALUE" },
} as const;

/** The value that follows the flag. A flag that is on by default can only be turned off. */
function placeholderOf(option: OptionSpec | SiteOption): string {
  if (option.kind === "flag") return option.preset === true ? "=off" : "";
  if (option.kind === "choice") return ` ${(option.words ?? []).join("|")}`;
  return ` ${VALUES[option.kind]}`;
}

const SERVICE = `Service: also TORITO_NAME in the environment, and keys of torito.json
${linesOf([
  ...(["config", "check", "print-config", "connections", "sockets"] as const),
  ...(["restart", "replicas", "ready-fd"] as const),
  ...(["access-log", "access-log-format", "access-log-anonymize"] as const),
  ...(["trusted-proxies", "proxy-protocol"] as const),
  ...(["admin", "admin-insecure", "admin-names", "admin-snapshot"] as const),
])}`;

const SITE = `Site: also in torito.json
${linesOf(["root", "port", "host", ...(Object.keys(SITE_OPTIONS) as OptionName[])])}`;

const NETWORK = `Network
  -p, --publish [HOST:]PORT:GUEST    TCP port of the host -> port of the guest; repeatable;
                                     HOST is 127.0.0.1 unless given; PORT 0 picks a free one;
                                     GUEST/net is a TCP port of the guest's card
      --connect PORT:[HOST:]TCP      the guest's connections to host port PORT reach that TCP port
      --seqpacket PORT               connections to that port, of the guest or the host, carry
                                     messages; on the host each follows its length: 4 bytes,
                                     little-endian, the highest bit ends a record; repeatable
      --cid N                        the guest's address, 3 or more (3)`;

const CARD = `
      --net [user][,WORD...]         an Ethernet card, whose TCP/IP ends on sockets of this process;
                                     WORD: allow=PORT, the gateway's port leads to 127.0.0.1;
                                     allow=ADDRESS:PORT; outbound=any, all but closed addresses;
                                     dns=on|off; nothing else leaves
      --net stream:PATH[,listen]     its frames over a socket, as qemu's -netdev stream
      --net passt[,mtu=N]            its frames to a passt of its own
      --net-mac MAC                  its address (02:74:6f:00:00:01)
      --net-mtu N                    bytes of a packet (user, passt: 65520; stream: 1500)`;

const HYBRID = `
      --vsock-uds PATH               hybrid vsock: clients of that socket say CONNECT PORT;
                                     the guest's connections to port P reach PATH_P`;

const MACHINE = `Machine
  -v, --volume HOSTDIR:TAG[:ro|rw]   a directory that the guest mounts by its tag, read-only
                                     unless :rw is given; repeatable
      --device MODULE                a device of your own: a module whose default export is its
                                     class; repeatable
  -m, --memory SIZE                  RAM, as in 64M or 1G (64M)
      --watchdog TIME                kill a guest that does not return for this long; 0: never
                                     (10s)`;

const WINDOW = `
      --fs-window SIZE               additional memory for each volume, into which the guest maps
                                     files; 0: none (serve: 16M, others: 0)`;

const RESTORE = `
      --restore FILE                 go on from a snapshot of the same image and devices, instead of
                                     booting; its connections are reset, deleted files are stale`;

const FRESH = `
      --fresh                        a machine for each connection, which forgets it afterwards:
                                     half a millisecond each, and none keeps a cache; clients wait
                                     while all machines are taken
      --machines N                   how many, at some 1 MiB each (8)`;

const ONE_RUN = `
      --timeout TIME                 give up after this time, as in 500ms, 10s or 2m; exit code 124
      --lame-duck TIME               after a signal, go on while balancers find out (0s; 5s under a
                                     service manager or in a container)
      --grace TIME                   after that, time to finish open connections (20s)`;

const LOG = `      --log-format pretty|json       (pretty)
      --log-level error|warn|info|debug  (info)`;

const RECORDS = `
      --pcap FILE                    every packet of the vsock device, for Wireshark; -: to stdout,
                                     and the guest's console to stderr
      --pcap-format vsock|tcp        as they are, or as TCP, which more tools read (vsock)
      --pcap-port N                  only packets from or to this port
      --pcap-net FILE                every frame of the card, as Ethernet
      --pcap-snaplen N               bytes of each packet and frame that are kept (all)
      --pcap-size SIZE               begin another file after SIZE bytes, as in 1M
      --pcap-files N                 keep the last N of them
      --trace FILE                   threads, entries, interrupts, packets and file requests in
                                     time, for Perfetto or chrome://tracing
      --trace-names                  with paths of requests and names of files, which are the users'
      --inspect [[HOST:]PORT]        a page that shows the machine as it runs; prints its address;
                                     with --replicas, of which 1 will do, it stops inside kicks too
      --inspect-names                traces of that page may have paths and names of files
      --stats                        at exit: bytes over vsock, and copies of each, by direction
                                     guest console on stdout, everything else on stderr`;

const PARAMETERS =
  "  --  PARAMETERS                     the rest goes to the kernel and the application";

const SETTINGS = `Settings in package.json, which options replace
  "torito": { "entry": "src/main.ts", "memory": "64M", "publish": "4000:80",
              "volumes": ["./site:site"], "devices": ["./devices/dice.mjs"],
              "parameters": "root=site" }`;

const COMPILER = `  69 no compiler: npm install --save-dev --save-exact assemblyscript`;

const RUN = `torito run APP|IMAGE [options]: boot an application by its folder, or any .wasm image

A folder with src/main.ts is built first if its image is older than its sources.

${NETWORK}${CARD}${HYBRID}

${MACHINE}${WINDOW}${ONE_RUN}${RESTORE}

${SERVICE}

Output
${LOG}${RECORDS}

${PARAMETERS}

${SETTINGS}

Examples
  torito run . -- root=site
  torito run apps/web-server -p 4000:80 -v ./site:site -m 64M -- root=site
  torito run hello.wasm --timeout 5s

Exit codes
  0 power-off or drained, otherwise the guest's own code; 1 errors in the sources; 2 usage;
  69 cannot bind, mount or write, or no compiler; 70 guest panic; 124 timeout; 130 or 143 second
  SIGINT or SIGTERM
`;

const HELPS: Readonly<Record<string, string>> = {
  run: RUN,
  serve: RUN.replace(
    /^.*\n\n.*\n/,
    "torito serve DIR [options]: serve a directory with WebServer\n",
  )
    .replace(RESTORE, `${RESTORE}${FRESH}`)
    .replace(SERVICE, `${SERVICE}\n\n${SITE}`)
    .replace(`${SETTINGS}\n\n`, "")
    .replace(/ {2}torito run(.|\n)*?\n\n/, "  torito serve ./site -p 0.0.0.0:8080:80\n\n"),
  snapshot: `torito snapshot APP|IMAGE -o FILE [options]: boot, warm up, and save the machine

The guest is saved once it listens on the guest ports of all --publish, which bind nothing here, and
has answered the requests of --after. Restore it with torito run APP --restore FILE, or serve.
The file holds all that the guest knows, secrets included: only its owner may read it. It belongs to
this image and this version. Open files are found again by name, or are stale.

  -o, --output FILE                  the snapshot
      --after "METHOD PATH"          a request to the first of the guest's ports, or 80; repeatable

${NETWORK}

${MACHINE}${WINDOW}
      --timeout TIME                 give up after this time, exit code 124

Output
${LOG}

${PARAMETERS}

Examples
  torito snapshot apps/web-server -v ./site:site --after "GET /" -o warm.torito
  torito serve ./site --restore warm.torito

Exit codes
  0; 1 errors in the sources; 2 usage; 69 cannot write; 70 the guest has ended; 124 timeout
`,
  precompress: `torito precompress DIR: compressed siblings of a site's files, for torito serve

FILE.br, FILE.gz and, from Node 22.15 on, FILE.zst are written beside files over 1 KiB whose types
compress, if they are 5 % smaller. They are as old as their files: those that are up to date are
left alone, and a changed file's are not sent until they are written again.

Exit codes
  0; 2 no such directory; 69 cannot read or write
`,
  check: `torito check URL: is a service well? For health checks where there is no curl

Exit codes
  0 an answer below 400 within a second; 1 another one, or none; 2 not a URL of http
`,
  inspect: `torito inspect FILE: what a snapshot is of, and how large; nothing that its guest knew

Exit codes
  0; 2 not a snapshot, or damaged
`,
  new: `torito new DIR [-t TEMPLATE] [--force]: a project for an application of your own

DIR may be "." and may hold .git; otherwise it must be empty. Its last part gives the name.

  -t, --template NAME    hello   prints a line and ends (the default)
                         echo    sends back what it receives, with a thread per connection
                         http    a JSON API over HTTP
                         files   reads and writes a directory of the host
                         device  brings a device of its own: its model and its driver
      --force            adds what is missing to a folder that is not empty; overwrites nothing

Exit codes
  0; 2 not empty, no name, unknown template; 69 cannot write
`,
  dev: `torito dev [ENTRY] [options]: build, boot, and do so again after every change

ENTRY is the main file or its folder (src/main.ts). Images are not optimised and have checks: see
torito test. After an error the last good build goes on serving; published ports stay open. TCP
port 4000 leads to port 80 of the guest, unless --publish or package.json say otherwise.

${NETWORK}${CARD}

${MACHINE}${WINDOW}

Output
${LOG}

${PARAMETERS}

${SETTINGS}

Exit codes
  0 SIGINT or SIGTERM; 2 usage; 69 the port is taken
${COMPILER}
`,
  build: `torito build [ENTRY] [-o FILE] [--log-format pretty|json]: an optimised image and its map

ENTRY is the main file or its folder (src/main.ts); the image is build/NAME.wasm unless -o is given.

Exit codes
  0; 1 errors in the sources; 2 usage; 69 cannot write
${COMPILER}
`,
  test: `torito test [FILES] [options]: run the tests that are written in the guest's language

Every exported function test_* of *.test.ts, below src/ or below FILES, runs on a machine of its
own, whose clock moves only when all threads wait. It fails by assert() or throw. A function
panics_* must panic. Images have checks: a global variable must not keep objects of a scope that
has ended, and memory of such objects is poisoned.

  -f, --filter TEXT                  only tests whose names contain it
  -w, --watch                        run tests again when their sources change
      --coverage                     lines of the project's sources that ran

${MACHINE}

Output
${LOG}

Exit codes
  0 all passed; 1 a test failed or does not compile; 2 usage, or there are no tests
${COMPILER}
`,
};

const ALL = `torito: a unikernel and its virtual machine, in one process

Usage
  torito serve DIR [options]         serve a directory with the WebServer appliance
  torito run APP|IMAGE [options]     boot an application by its folder, or any .wasm image
  torito snapshot APP -o FILE        boot, warm up, and save the machine for --restore
  torito precompress DIR             compressed siblings of a site's files
  torito inspect FILE                what a snapshot is of
  torito check URL                   is a service well?
  torito top URL                     the machine of a service that runs with --inspect
  torito new DIR [-t TEMPLATE]       begin an application: hello, echo, http, files, device
  torito dev [ENTRY] [options]       build, boot, and again after every change
  torito build [ENTRY] [-o FILE]     an optimised image
  torito test [FILES] [options]      run the application's tests
  torito --help | --version
  torito COMMAND --help              what else a command takes; also torito help COMMAND

${NETWORK}${HYBRID}

${MACHINE}${WINDOW}${ONE_RUN}${RESTORE}${FRESH}

Output
${LOG}${RECORDS}

${PARAMETERS}

Examples
  torito serve ./site
  torito serve ./site -p 0.0.0.0:8080:80
  torito run apps/web-server -p 4000:80 -v ./site:site -m 64M -- root=site
  torito run hello.wasm --timeout 5s
  torito new my-api -t http

Exit codes
  0 power-off or drained, otherwise the guest's own code; 1 errors in sources or failed tests;
  2 usage; 69 cannot bind, mount or write, or no compiler; 70 guest panic; 124 timeout; 130 or
  143 second SIGINT or SIGTERM
`;

/** null, and words that are no command: the help of all. */
export function helpOf(verb: string | null): string {
  return (verb !== null && Object.hasOwn(HELPS, verb) ? HELPS[verb] : undefined) ?? ALL;
}
