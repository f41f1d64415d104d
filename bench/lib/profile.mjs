// Where a process spends its time, by who wrote the code: the guest, the machine around it, or
// Node and the system underneath.
import { Session } from "node:inspector/promises";

const INTERVAL_US = 200;

/** Samples from now on. Ends with what it returns: percent of the time that was not idle. */
export async function profile() {
  const session = new Session();
  session.connect();
  await session.post("Profiler.enable");
  await session.post("Profiler.setSamplingInterval", { interval: INTERVAL_US });
  await session.post("Profiler.start");
  return async () => {
    const result = await session.post("Profiler.stop");
    const { nodes, samples = [], timeDeltas = [] } = result.profile;
    const owners = new Map(nodes.map(({ id, callFrame }) => [id, ownerOf(callFrame)]));
    const us = { guest: 0, machine: 0, "Node and system": 0, idle: 0 };
    samples.forEach((id, i) => {
      us[owners.get(id) ?? "idle"] += timeDeltas[i] ?? 0;
    });
    const { idle, ...busy } = us;
    const all = Object.values(busy).reduce((sum, one) => sum + one, 0);
    return Object.entries(busy).map(([owner, spent]) => [owner, (spent / all) * 100]);
  };
}

/** @param {import("node:inspector").Runtime.CallFrame} frame */
function ownerOf({ functionName, url }) {
  if (functionName === "(idle)") return "idle";
  if (url.startsWith("wasm:")) return "guest";
  return url.includes("/dist/host/") ? "machine" : "Node and system";
}
