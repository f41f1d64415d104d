// `torito dev`: a saved change is live, errors leave the last good build serving, and the port
// stays open, whatever editors and authors do to the files.
import { chmodSync, mkdirSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/appliance.ts";
import { buildCommand, killCommands } from "../support/command.ts";
import {
  answering,
  fetchText,
  project,
  removeProjects,
  saying,
  torito,
  write,
} from "../support/project.ts";

beforeAll(buildCommand);
afterAll(() => {
  killCommands();
  removeProjects();
});

/** A started `torito dev` on a free port. */
const dev = (folder: string, ...words: string[]) => session(folder, "-p", "0:80", ...words);

async function session(folder: string, ...words: string[]) {
  const command = torito(folder, "dev", ...words);
  let log = "";
  command.child.stderr?.on("data", (part: string) => {
    log += part;
  });
  /** Resolves once the log has a match that was not there at `from`. */
  const line = async (wanted: RegExp, from = 0) => {
    await until(() => wanted.test(log.slice(from)) || command.child.exitCode !== null);
    const found = wanted.exec(log.slice(from));
    if (found === null) throw new Error(log);
    return found;
  };
  return { ...command, line, at: () => log.length };
}

const READY = /ready {2}http:\/\/127\.0\.0\.1:(\d+)\/ {2}built in \d+ ms/;

describe.sequential("in one session", () => {
  let folder = "";
  let port = 0;
  let session: Awaited<ReturnType<typeof dev>>;
  const said = () => join(folder, "src/said.ts");
  /** Connections of a machine that is replaced are reset. */
  const answer = () => fetchText(port).catch((error: NodeJS.ErrnoException) => `${error.code}`);
  const says = (text: string) => until(async () => (await answer()) === text);

  beforeAll(async () => {
    folder = project(answering("one"), "mein Gerät №1");
    session = await dev(folder);
    port = Number((await session.line(READY))[1]);
  });

  test("the application serves, from a folder with spaces and letters", async () => {
    expect(await fetchText(port)).toBe("one");
  });

  test("a saved change is live, and no client is refused meanwhile", async () => {
    const seen = new Set<string>();
    let stop = false;
    const client = (async () => {
      while (!stop) seen.add(await answer());
    })();
    writeFileSync(said(), saying("two"));
    await says("two");
    stop = true;
    await client;
    seen.delete("ECONNRESET"); // a client that the first machine still had
    expect([...seen].sort()).toEqual(["one", "two"]);
  });

  test("a type error shows the author's line, and the last good build goes on serving", async () => {
    const from = session.at();
    writeFileSync(said(), saying("three").replace("return", 'const n: i32 = "x"; return'));
    await session.line(/src\/said\.ts\(2,18\)[\s\S]*1 error; serving the last good build/, from);
    expect(await fetchText(port)).toBe("two");
    writeFileSync(said(), saying("three"));
    await says("three");
  });

  test("a file that is replaced by renaming another counts as saved", async () => {
    for (const text of ["four", "five"]) {
      writeFileSync(`${said()}.part`, saying(text));
      renameSync(`${said()}.part`, said());
      await says(text);
    }
  });

  test("a file that is deleted is an error, and its return a change", async () => {
    const from = session.at();
    unlinkSync(said());
    await session.line(/src\/said\.ts[\s\S]*serving the last good build/, from);
    writeFileSync(said(), saying("six"));
    await says("six");
  });

  test("a folder in the place of a file is an error", async () => {
    const from = session.at();
    unlinkSync(said());
    mkdirSync(said());
    await session.line(/src\/said[\s\S]*serving the last good build/, from);
    rmSync(said(), { recursive: true });
    writeFileSync(said(), saying("seven"));
    await says("seven");
  });

  test("of two saves in a row the second is live", async () => {
    writeFileSync(said(), saying("eight"));
    writeFileSync(said(), saying("nine"));
    await says("nine");
  });

  test("a save during a build is live after it", async () => {
    const from = session.at();
    writeFileSync(said(), `${saying("ten")}// ${"x".repeat(100)}\n`);
    // The build takes longer than this, whatever the machine.
    const save = setTimeout(() => writeFileSync(said(), saying("eleven")), 180);
    await session.line(READY, from);
    await says("eleven");
    clearTimeout(save);
  });

  test("a file that is imported only now is watched from then on", async () => {
    write(folder, {
      "src/more.ts": saying("twelve"),
      "src/said.ts": 'export { said } from "./more";\n',
    });
    await says("twelve");
    write(folder, { "src/more.ts": saying("thirteen") });
    await says("thirteen");
  });

  test("package.json is watched too: its settings count at once", async () => {
    const from = session.at();
    write(folder, { "package.json": '{ "torito": { "memory": "32M" } }' });
    await session.line(READY, from);
    expect(await fetchText(port)).toBe("thirteen");
    const { out } = session.text();
    expect(out).toContain("torito: 32 MiB");
  });

  test("settings that cannot be used are reported, and the machine goes on", async () => {
    const from = session.at();
    write(folder, { "package.json": '{ "torito": { "memroy": "32M" } }' });
    await session.line(/no setting torito\.memroy; did you mean memory\?/, from);
    expect(await fetchText(port)).toBe("thirteen");
    write(folder, { "package.json": "{}" });
  });

  test("a guest that panics is reported, and a change brings it back", async () => {
    const from = session.at();
    write(folder, { "src/more.ts": saying("x").replace("return", 'assert(false, "no"); return') });
    await session.line(READY, from);
    await fetchText(port).catch(() => {});
    await session.line(/panic: no at src\/more\.ts:2:\d+[\s\S]*waiting for a change/, from);
    write(folder, { "src/more.ts": saying("fourteen") });
    await says("fourteen");
  });

  test("SIGINT ends it with 0", async () => {
    session.child.kill("SIGINT");
    expect((await session.end).code).toBe(0);
  });
});

test("a first build that fails does not end it, and nothing is served before one succeeds", async () => {
  const folder = project({ ...answering("late"), "src/said.ts": "export function said(" });
  const session = await dev(folder, "--log-level", "debug");
  await session.line(/1 error; waiting for a change/);
  write(folder, { "src/said.ts": saying("late") });
  const port = Number((await session.line(READY))[1]);
  expect(await fetchText(port)).toBe("late");
  session.child.kill("SIGTERM");
  expect((await session.end).code).toBe(0);
});

test("a port that is taken is refused, and no other one is taken instead: 69", async () => {
  const taken = createServer();
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, "127.0.0.1", () => resolve((taken.address() as { port: number }).port));
  });
  const folder = project(answering("never"));
  const { code, err } = await torito(folder, "dev", "-p", `${port}:80`).end;
  expect({ code, err }).toEqual({
    code: 69,
    err: `torito: cannot listen on 127.0.0.1:${port}: the address is in use\n`,
  });
  taken.close();
});

test("a project that may only be read is served all the same", async () => {
  const folder = project(answering("read only"));
  chmodSync(folder, 0o555);
  chmodSync(join(folder, "src"), 0o555);
  const session = await dev(folder);
  const port = Number((await session.line(READY))[1]);
  expect(await fetchText(port)).toBe("read only");
  session.child.kill("SIGINT");
  expect((await session.end).code).toBe(0);
  chmodSync(folder, 0o755);
  chmodSync(join(folder, "src"), 0o755);
});

test("a compiler of another version is passed over", async () => {
  const folder = project(answering("found"));
  rmSync(join(folder, "node_modules/assemblyscript"));
  write(folder, { "node_modules/assemblyscript/package.json": '{ "version": "0.1.0" }' });
  const session = await dev(folder); // the one of this checkout is found next
  const port = Number((await session.line(READY))[1]);
  expect(await fetchText(port)).toBe("found");
  session.child.kill("SIGINT");
  await session.end;
});

test("with --net the application serves on its card, again after a change", async () => {
  const folder = project(answering("one"));
  const one = await session(folder, "--net", "-p", "0:80/net");
  const port = Number((await one.line(READY))[1]);
  expect(await fetchText(port)).toBe("one");
  writeFileSync(join(folder, "src/said.ts"), saying("two"));
  await until(async () => (await fetchText(port).catch(() => "")) === "two");
  one.child.kill();
  expect((await one.end).code).toBe(0);
});
