// The whole appliance under a seed: clients that pipeline, stall, half-close and vanish, against
// the real WebServer image and both devices, in simulated time. Whatever the order of events, every
// response is what a second, independent description of the server says, and nothing is left over.
import { afterEach, describe, expect, test } from "vitest";
import { parseResponses } from "../support/appliance.ts";
import { compileOnce } from "../support/compiled.ts";
import { Simulation } from "../support/simulation.ts";
import { Client, makeNonsense, makePlan, type Plan } from "../support/simulation-client.ts";

const { wasm } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
const image = new WebAssembly.Module(wasm);
const simulations: Simulation[] = [];

afterEach(() => {
  for (const { machine } of simulations.splice(0)) machine.dispose();
});

async function boot(seed: number): Promise<Simulation> {
  const simulation = await Simulation.boot(image, seed);
  simulations.push(simulation);
  return simulation;
}

/** Lets clients play, and expects that nothing is left over and nothing was done wrong. */
async function run(
  seed: number,
  plan: (simulation: Simulation) => Plan,
  check: (client: Client) => void,
): Promise<string> {
  const simulation = await boot(seed);
  simulation.warmUp();
  const before = simulation.books();
  expect(before).toMatchObject({ sockets: 1, threads: 2, connections: 0 });
  const { random } = simulation;
  const clients = Array.from(
    { length: random.between(5, 25) },
    () => new Client(random, plan(simulation), (takes) => simulation.connect(takes)),
  );
  simulation.play(clients);
  clients.forEach((client, i) => {
    try {
      check(client);
    } catch (error) {
      throw new Error(`seed ${seed}, client ${i}: ${(error as Error).message}`);
    }
    for (const bytes of client.received) simulation.note(bytes);
  });
  simulation.aftermath();
  const { heap, ...counts } = simulation.books();
  expect({ ...counts, heap: before.heap }).toEqual(before);
  // Blocks that were given back and taken again may be a few bytes larger than asked for.
  expect(Math.abs(heap - before.heap)).toBeLessThan(1024);
  expect(simulation.faults()).toEqual([]);
  return simulation.fingerprint();
}

const good = (seed: number) =>
  run(
    seed,
    ({ random, site }) => makePlan(random, site),
    (client) => client.check(),
  );

const hostile = (seed: number) =>
  run(
    seed,
    ({ random }) => makeNonsense(random),
    (client) => {
      const bytes = Buffer.concat(client.received).toString("latin1");
      for (const { status } of parseResponses(bytes)) expect(STATUSES).toContain(status);
      client.checkEnd();
    },
  );

const STATUSES = [200, 206, 301, 304, 400, 404, 405, 408, 414, 416, 431, 501, 505];
const SEEDS = Array.from({ length: 40 }, (_, i) => i + 2);
const SEEDS_THAT_FAILED = [
  1, // a sender without credit asked for it again with every answer that gave none, for ever
];

describe("clients do anything that clients may", () => {
  test.each([...SEEDS, ...SEEDS_THAT_FAILED])("G14, G31, W2: seed %i", async (seed) => {
    await good(seed);
  });

  test("the same seed gives the same bytes at the same times", async () => {
    expect(await good(7)).toBe(await good(7));
    expect(await good(7)).not.toBe(await good(8));
  });
});

describe("clients send what HTTP does not know", () => {
  test.each(SEEDS)(
    "W2, G31: seed %i ends in answers or in the end of the connection",
    async (seed) => {
      await hostile(seed);
    },
  );
});
