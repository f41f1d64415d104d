// Programs that are not part of the project: CI installs them, elsewhere their absence is named.
import { test } from "vitest";
import { has } from "./appliance.ts";

export function witness(program: string, title: string, body: () => Promise<void>): void {
  if (has(program)) test(`${title} (${program})`, body);
  else test.skip(`${title}: ${program} is not installed`, () => {});
}
