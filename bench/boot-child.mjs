// One boot of WebServer in a process that has not run it before: node boot-child.mjs FOLDER. Prints
// milliseconds: to make the machine, and from the kernel's entry until the guest listens.
import { readFileSync } from "node:fs";
import { FsDevice, Machine, VsockDevice } from "../dist/host/index.js";

const image = readFileSync(new URL("../build/web-server.wasm", import.meta.url));
const directory = process.argv[2] ?? ".";
const vsock = new VsockDevice({ cid: 3 });
const site = new FsDevice({ directory, tag: "site", readOnly: true });

const started = performance.now();
const machine = await Machine.create({ image, devices: [vsock, site] });
const created = performance.now();
machine.boot();
await vsock.probe(80);
const listening = performance.now();
process.stdout.write(
  JSON.stringify({
    "compile and create": created - started,
    "entry to listening": listening - created,
  }),
);
process.exit(0);
