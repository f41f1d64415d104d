// A crowd that comes at once and asks for nothing: it takes all places of a small machine.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { Appliance, removeFolders } from "../../support/appliance.ts";

afterAll(removeFolders);

const SITE = "apps/web-server/site";
/** More than 8 MiB have places for. */
const CROWD = 520;

test("those who come later find a place after the two seconds in which nobody is cut", async () => {
  const appliance = await Appliance.serve(SITE, "-m", "8M", "--admin", "0");
  const admin = /admin on (http:\S+)\//.exec(appliance.stderr)?.[1];
  const crowd: Socket[] = [];
  while (crowd.length < CROWD) {
    const one = connect(appliance.port, "127.0.0.1").on("error", () => {});
    await once(one, "connect").catch(() => {}); // reset at once
    crowd.push(one);
  }
  let answer: Response | null = null;
  for (let tries = 0; answer === null && tries < 80; tries++) {
    await setTimeout(100); // 8 s in all; idle connections end after 15
    answer = await fetch(`${appliance.url}/small.html`, {
      signal: AbortSignal.timeout(2000),
    }).catch(() => null);
  }
  expect(answer?.status).toBe(200);
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  const cut = /^torito_http_connections_cut_total\{reason="memory"\} (\d+)$/m.exec(metrics)?.[1];
  expect(Number(cut)).toBeGreaterThan(0);
  for (const one of crowd) one.destroy();
  await appliance.stop();
});
