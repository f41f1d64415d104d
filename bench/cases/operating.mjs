// The cost of operating a server: the access log in both formats, the admin listener, its metrics
// when they are asked for each second, and the inspector while nobody looks, beside the same server
// without any of them.
import http from "node:http";
import { join } from "node:path";
import { findFreePort, makeFolder, usableCores } from "../lib/programs.mjs";
import { measureWays } from "../lib/ways.mjs";

const SCRAPE_MS = 1000;

/** @returns {Promise<import("../lib/ways.mjs").Way[]>} */
async function makeWays() {
  const log = () => ["--access-log", join(makeFolder(), "access.log")];
  const [admin, scraped] = [await findFreePort(), await findFreePort()];
  const begin = () => {
    const scraping = setInterval(() => scrape(scraped), SCRAPE_MS);
    return () => clearInterval(scraping);
  };
  return [
    { name: "plain", flags: [] },
    { name: "log combined", flags: log() },
    { name: "log json", flags: [...log(), "--access-log-format", "json"] },
    { name: "admin", flags: ["--admin", `${admin}`] },
    { name: "inspect", flags: ["--inspect"] },
    { name: "admin scraped", flags: ["--admin", `${scraped}`], begin },
  ];
}

export const ratioMetrics = ["rate", "server CPU"];
/** @param {readonly import("../lib/report.mjs").Row[]} rows */
export const pairsOf = (rows) => {
  const names = new Set(rows.map(({ subject }) => subject));
  return [...names].filter((name) => name !== "plain").map((name) => [name, "plain"]);
};

/** @param {import("../run.mjs").Run} run */
export async function measure(run) {
  const [client, server = client] = usableCores();
  return measureWays("operating", await makeWays(), { client, server }, run);
}

/** @param {number} port */
function scrape(port) {
  const request = http.get({ host: "127.0.0.1", port, path: "/metrics" }, (response) =>
    response.resume(),
  );
  request.on("error", () => {}); // the sample shows what the answers cost, not that they came
}

/** Its figures are a table. */
export const panels = () => [];
