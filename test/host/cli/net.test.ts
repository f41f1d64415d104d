// `--net`: the card of a machine on the command line.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../host/cli/arguments.ts";
import type { Command } from "../../../host/cli/commands.ts";
import { withFamily } from "../../../host/cli/net/card.ts";
import type { NetSettings } from "../../../host/cli/net/settings.ts";
import { buildCommand, killCommands, start, startWith } from "../../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-net-"));
const file = (name: string) => join(folder, name);
const PING = "build/ping.wasm";

beforeAll(() => {
  buildCommand();
  mkdirSync(file("site"));
  mkdirSync(file("empty"));
  writeFileSync(file("site/index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

const parse = (line: string, env = {}) =>
  parseCommandLine(line.split(" "), () => null, env) as Command & { net: NetSettings };

describe("the words of --net", () => {
  const mac = "02:74:6f:00:00:01";
  const user = { kind: "user", outbound: "none", allow: [] };

  test.each([
    ["--net", user],
    ["--net user", user],
    ["--net=user", user],
    ["--net user,outbound=any", { ...user, outbound: "any" }],
    ["--net user,outbound=none,dns=on", { ...user, dns: true }],
    ["--net user,outbound=any,dns=off", { ...user, outbound: "any", dns: false }],
    ["--net user,allow=5001", { ...user, outbound: "host", allow: ["5001"] }],
    [
      "--net user,outbound=any,allow=1,allow=169.254.169.254:80",
      { ...user, outbound: "any", allow: ["1", "169.254.169.254:80"] },
    ],
    ["--net stream:/run/x", { kind: "stream", path: "/run/x", listen: false }, 1500],
    ["--net stream:/run/x,listen", { kind: "stream", path: "/run/x", listen: true }, 1500],
    ["--net passt", { kind: "passt" }],
    ["--net passt,mtu=1500", { kind: "passt" }, 1500],
    ["--net passt,mtu=1500 --net-mtu 9000", { kind: "passt" }, 9000],
  ])("%s", (words, link, mtu = 65520) => {
    expect(parse(`run a.wasm ${words}`).net).toEqual({ link, mac, mtu });
    expect(parse(`run ${words} a.wasm`).net).toEqual({ link, mac, mtu });
  });

  test("without a value it is `user`, wherever it stands", () => {
    for (const line of ["run --net x.wasm", "run x.wasm --net", "run x.wasm --net -- a=b"]) {
      expect(parse(line).net.link).toEqual(user);
    }
    expect(parse("serve ./site").net).toBeNull();
  });

  test("address and MTU of the card", () => {
    const { net } = parse("run x --net --net-mac 02:AA:bb:00:00:09 --net-mtu 1400");
    expect([net.mac, net.mtu]).toEqual(["02:aa:bb:00:00:09", 1400]);
  });

  test("by a variable of the environment", () => {
    const env = { TORITO_NET: "user,allow=80", TORITO_NET_MTU: "9000" };
    expect(parse("run x", env).net).toMatchObject({ link: { allow: ["80"] }, mtu: 9000 });
  });

  test("a published port of the card", () => {
    const { publish } = parse("run x --net -p 4000:80/net -p [::1]:0:81 -p 5:6");
    expect(publish).toEqual([
      { host: "127.0.0.1", port: 4000, guestPort: 80, isNet: true },
      { host: "::1", port: 0, guestPort: 81 },
      { host: "127.0.0.1", port: 5, guestPort: 6 },
    ]);
  });

  test.each([
    ["run x --net=usr", "--net usr: not one of user, stream, passt; did you mean user?"],
    ["run x --net usre", "--net usre: not one of user, stream, passt; did you mean user?"],
    ["run x --net past", "did you mean passt?"],
    ["run x --net=bridge", "--net bridge: not one of user, stream, passt"],
    ["run x --net user,outbond=any", '--net: unknown word "outbond=any"; did you mean outbound=?'],
    ["run x --net user,outbound=all", "--net outbound all: not one of none, host, any"],
    ["run x --net user,outbound=none,allow=1", "outbound=none and allow= contradict each other"],
    ["run x --net user,outbound=host", "outbound=host needs ports, as in allow=5001"],
    ["run x --net user,allow=http", "--net: net: allow http: neither PORT nor ADDRESS:PORT"],
    ["run x --net user,allow=0", "neither PORT nor ADDRESS:PORT"],
    ["run x --net user,dns=yes", "--net dns yes: not one of on, off"],
    ["run x --net user,listen", '--net: unknown word "listen"'],
    ["run x --net=user:x", "--net user:x: user has no path"],
    ["run x --net=stream", "--net stream: which path?"],
    ["run x --net stream:,listen", "which path?"],
    ["run x --net stream:/x,listn", '--net: unknown word "listn"; did you mean listen?'],
    ["run x --net passt,mtu=100", "--net mtu 100: it is 1280 to 65520"],
    ["run x --net passt,mtu=big", "--net mtu big: not a number from 0 to 65535"],
    ["run x --net --net-mtu 65521", "--net-mtu 65521: it is 1280 to 65520"],
    ["run x --net --net-mac 01:00:00:00:00:00", "--net-mac 01:00:00:00:00:00: not a MAC as in 02:"],
    ["run x --net --net-mac no", "--net-mac no: not a MAC as in 02:74:6f:00:00:01"],
    ["run x --net-mac 02:00:00:00:00:01", "--net-mac needs --net"],
    ["run x --net-mtu 1500", "--net-mtu needs --net"],
    ["run x -p 4000:80/net", "--publish: GUESTPORT/net needs --net user"],
    ["run x --net passt -p 4000:80/net", "--publish: GUESTPORT/net needs --net user"],
    ["run x --net -p 4000:65536/net", "--publish guest port 65536: not a number from 1 to 65535"],
    ["run x --net -p 4000:80/tcp", "--publish 4000:80/tcp: not [HOST:]PORT:GUESTPORT[/net]"],
    ["run x --net -p 4000:80 --replicas 2", "--net is of one machine: not with --replicas 2"],
    ["serve x --net --fresh", "--net does not go with --fresh"],
    ["snapshot x -o y --net", "snapshot has no option --net"],
  ])("`torito %s` is refused", (line, message) => {
    expect(() => parse(line)).toThrow(message);
  });
});

test("a server whose TCP port is published listens on TCP, unless the user says otherwise", () => {
  const { publish } = parse("run x --net -p 4000:80/net");
  expect(withFamily("a=b", publish)).toBe("net=inet a=b");
  expect(withFamily("", publish)).toBe("net=inet");
  expect(withFamily("x=1 net=vsock", publish)).toBe("x=1 net=vsock");
  expect(withFamily("a=b", parse("run x --net -p 4000:80").publish)).toBe("a=b");
});

describe("a machine with a card", () => {
  test("reaches its gateway, and nothing else", async () => {
    const [near, far] = await Promise.all([
      start("run", PING, "--net", "--", "to=10.0.2.2", "count=1").end,
      start("run", PING, "--net", "--", "to=10.0.2.9", "count=1").end,
    ]);
    expect([near.code, near.out]).toEqual([0, expect.stringContaining("10.0.2.2 answers after")]);
    expect([far.code, far.out]).toEqual([1, expect.stringContaining("10.0.2.9 fails")]);
  });

  test("meets another one over a stream", async () => {
    const path = file("stream.sock");
    const listening = start(
      ...["run", PING, "--net", `stream:${path},listen`],
      ...["--", "net.address=10.0.0.1/24", "to=10.0.0.2", "count=30"],
    );
    await listening.until(/ready in/);
    const words = ["run", PING, "--net", `stream:${path}`, "--net-mac", "02:74:6f:00:00:02"];
    const parameters = ["net.address=10.0.0.2/24", "to=10.0.0.1", "count=1"];
    const { code, out } = await start(...words, "--", ...parameters).end;
    expect([code, out]).toEqual([0, expect.stringContaining("10.0.0.1 answers after")]);
    listening.child.kill("SIGKILL");
  });

  test("ends with 69 where there is no other end", async () => {
    const path = file("nobody.sock");
    const words = ["run", PING, "--net", `stream:${path}`];
    for (const more of [[], ["--check"]]) {
      const { code, err } = await start(...words, ...more).end;
      expect([code, err]).toEqual([69, `torito: net: ${path}: connect ENOENT ${path}\n`]);
    }
  });

  test("ends with 69 where passt is not installed", async () => {
    const env = { PATH: file("empty") };
    for (const more of [[], ["--check"]]) {
      const { code, err } = await startWith({ env }, "run", PING, "--net", "passt", ...more).end;
      const reason = "it is not installed, or not in the path";
      expect([code, err]).toEqual([
        69,
        `torito: --net passt: passt cannot be started: ${reason}\n`,
      ]);
    }
  });

  test("--check tries it, --print-config shows it", async () => {
    const words = ["serve", file("site"), "--port", "0", "--net", "user,allow=5001"];
    const checked = await start(...words, "--check").end;
    expect([checked.code, checked.err]).toEqual([0, "torito: the configuration is good\n"]);
    const { out } = await start(...words, "--print-config").end;
    expect(out).toContain('"user,allow=5001"  (--net)');
  });

  test("torito.json may say so", async () => {
    const config = file("torito.json");
    const json = { root: "site", port: 0, net: "user,outbound=any", "net-mtu": 1500 };
    writeFileSync(config, JSON.stringify(json));
    const { out } = await start("serve", "--config", config, "--print-config").end;
    expect(out).toContain(`"user,outbound=any"  (${config}: net)`);
    writeFileSync(config, JSON.stringify({ ...json, net: "user,outbound=all" }));
    const { code, err } = await start("serve", "--config", config, "--check").end;
    expect([code, err]).toEqual([
      2,
      `torito: ${config}: net outbound all: not one of none, host, any\n`,
    ]);
    rmSync(config);
  });
});
