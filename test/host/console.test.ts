// The guest's console and its reader: one that is slow, that throws, or that never comes back.
import { beforeAll, describe, expect, test } from "vitest";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { compileGuest, type GuestImage } from "../support/guest.ts";
import { type GuestText, print } from "../support/wat.ts";
import { count, MIB, machine, u32 } from "../support/wat-machine.ts";

/** A reader that takes a piece and is busy until it is told to go on. */
function slowReader() {
  const pieces: string[] = [];
  let goOn: () => void = () => {};
  const console = (text: string) => {
    pieces.push(text);
    return new Promise<void>((resolve) => {
      goOn = resolve;
    });
  };
  const next = async () => {
    const before = pieces.length;
    goOn();
    await new Promise((resolve) => setImmediate(resolve));
    return pieces.length > before;
  };
  return { pieces, console, next };
}

/** fd_write of the list of buffers at 0x3000; its result goes to 0x4000, its count to 0x4004. */
const writeList = (buffers: number, fd = 1) =>
  `(i32.store (i32.const 0x4000) (call $fd_write (i32.const ${fd}) (i32.const 0x3000)
    (i32.const ${buffers}) (i32.const 0x4004)))`;
const hex = (bytes: Uint8Array) =>
  [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
const data = (at: number, bytes: Uint8Array) => `(data (i32.const ${at}) "${hex(bytes)}")`;
const buffers = (...list: [number, number][]) =>
  data(0x3000, new Uint8Array(Uint32Array.from(list.flat()).buffer));

describe("writes to the firmware's console", () => {
  const big = { memoryBytes: 4 * MIB };

  test("joins characters that are split between writes and between buffers", async () => {
    const text = new TextEncoder().encode("é€😀é€😀\n");
    const pieces = Array.from(text, (_, i) => print(0x5000 + i, 1)).slice(0, 9);
    const rest = Array.from(text, (_, i) => [0x5000 + i, 1] as [number, number]).slice(9);
    const list = rest.map(
      ([at], i) => `(i32.store (i32.const ${0x3000 + i * 8}) (i32.const ${at}))
        (i32.store (i32.const ${0x3004 + i * 8}) (i32.const 1))`,
    );
    const boot = [...pieces, ...list, writeList(rest.length)].join("\n");
    const { machine: m, lines } = await machine({ fields: data(0x5000, text), boot });
    m.boot();
    expect(lines).toEqual(["é€😀é€😀\n"]);
  });

  test("cuts no character of an endless line, and replaces invalid bytes by U+FFFD", async () => {
    const bytes = new TextEncoder().encode("€".repeat(2000));
    const fields = data(0x5000, bytes) + data(0x9000, Uint8Array.of(0xff, 0xe2, 0x82));
    const boot = `${print(0x5000, 4097)} ${print(0x5000 + 4097, 1903)} ${print(0x9000, 3)}
      (call $proc_exit (i32.const 0))`;
    const { machine: m, lines } = await machine({ fields, boot });
    m.boot();
    expect(lines.join("")).toBe(`${"€".repeat(2000)}\ufffd\ufffd`);
  });

  test("takes a short write of many buffers, each as large as the memory", async () => {
    const { console } = slowReader();
    const list = Array.from({ length: 1000 }, () => [0, 4 * MIB] as [number, number]);
    const text = { fields: buffers(...list), boot: writeList(1000) };
    const { machine: m } = await machine(text, { console, ...big });
    m.boot();
    expect(u32(m, 0x4000)).toBe(0);
    expect(u32(m, 0x4004)).toBeLessThan(1.2 * MIB);
    m.dispose();
  });

  test("answers AGAIN when the console is full, and logs it once a second", async () => {
    const { console, next } = slowReader();
    const log: string[] = [];
    const { machine: m } = await machine(
      { fields: buffers([0, 2 * MIB]), boot: writeList(1).repeat(3) },
      { console, log: (level, who, what) => log.push(`${level} ${who} ${what}`), ...big },
    );
    m.boot();
    expect([u32(m, 0x4000), u32(m, 0x4004)]).toEqual([6, 0]);
    expect(log).toEqual([
      "warn console nobody reads: the guest has to wait, or loses what it prints",
    ]);
    while (await next());
    m.dispose();
  });

  test.each([
    ["another descriptor", buffers([0, 1]), writeList(1, 0), 8],
    ["more buffers than Linux takes", "", writeList(1025), 28],
    ["a negative number of buffers", "", writeList(-1), 28],
    ["a buffer past the end", buffers([0, 1], [MIB - 1, 2]), writeList(2), 21],
    ["a list past the end", "", writeList(1).replace("0x3000", "-4"), 21],
    ["a result past the end", buffers([0, 1]), writeList(1).replace("0x4004", "-2"), 21],
  ])("rejects %s, and prints nothing", async (_, fields, boot, errno) => {
    const { machine: m, lines } = await machine({ fields, boot });
    m.boot();
    m.dispose();
    expect(u32(m, 0x4000)).toBe(errno);
    expect(lines).toEqual([]);
  });
});

describe("a reader that returns promises", () => {
  const LINE = data(0x5000, new TextEncoder().encode(`${"x".repeat(63)}\n`));
  /** 1024 lines in one write: 64 KiB. */
  const PAGE = data(
    0x6000,
    new Uint8Array(
      Uint32Array.from({ length: 2048 }, (_, i) => (i % 2 === 0 ? 0x5000 : 64)).buffer,
    ),
  );
  const writePage = writeList(1024).replace("0x3000", "0x6000");
  const flood: GuestText = {
    fields: LINE + PAGE,
    run: `${writePage} ${count(0x4008)}
      (if (i32.eq (i32.load (i32.const 0x4008)) (i32.const 40))
        (then (call $proc_exit (i32.const 0))))
      i32.const 1`,
  };

  test("gets the next piece after the last one, and exited waits for it", async () => {
    const { pieces, console, next } = slowReader();
    const fields = data(0x5000, new TextEncoder().encode("one\ntwo\n"));
    const boot = `${print(0x5000, 4)} ${print(0x5004, 4)} (call $proc_exit (i32.const 0))`;
    const { machine: m } = await machine({ fields, boot }, { console });
    m.boot();
    expect(pieces).toEqual(["one\n"]);
    let ended = false;
    void m.exited.then(() => {
      ended = true;
    });
    expect(await next()).toBe(true);
    expect(pieces).toEqual(["one\n", "two\n"]);
    expect(ended).toBe(false);
    await next();
    expect(ended).toBe(true);
  });

  test("stops a guest that prints turn by turn, and loses nothing", async () => {
    const { pieces, console, next } = slowReader();
    const { machine: m, clock } = await machine(flood, { console });
    m.boot();
    for (let i = 0; i < 100; i++) clock.settle();
    expect(u32(m, 0x4008)).toBeLessThan(20);
    let ended = false;
    void m.exited.then(() => {
      ended = true;
    });
    while ((await next()) || clock.settle() > 0);
    expect(ended).toBe(true);
    expect(pieces.join("")).toBe(`${"x".repeat(63)}\n`.repeat(40 * 1024));
  });

  test("that never resolves does not hold up dispose(), which hands over the rest", async () => {
    const { pieces, console } = slowReader();
    const { machine: m, clock } = await machine(flood, { console });
    m.boot();
    clock.settle();
    m.dispose();
    expect(await m.exited).toEqual({ kind: "disposed" });
    expect(pieces.join("")).toBe(`${"x".repeat(63)}\n`.repeat(u32(m, 0x4008) * 1024));
  });

  test("that never resolves does not hold up dispose() of an ended machine", async () => {
    const { console } = slowReader();
    const text = { fields: LINE + PAGE, boot: `${writePage} unreachable` };
    const { machine: m } = await machine(text, { console });
    m.boot();
    m.dispose();
    expect(await m.exited).toMatchObject({ kind: "panic", message: "unreachable" });
  });

  test("that rejects ends the machine, which reports it", async () => {
    const console = () => Promise.reject(new Error("no more paper"));
    const { machine: m } = await machine({ fields: LINE + PAGE, boot: writePage }, { console });
    m.boot();
    await expect(m.exited).rejects.toThrow("no more paper");
    const { machine: off } = await machine(
      { fields: LINE + PAGE, boot: `${writePage} (call $proc_exit (i32.const 0))` },
      { console },
    );
    off.boot();
    await expect(off.exited).rejects.toThrow("no more paper");
  });
});

test("reports a reader that throws and ends the machine, also in the last line", async () => {
  const console = () => {
    throw new Error("no paper");
  };
  const fields = data(0x5000, new TextEncoder().encode("a\nb"));
  for (const bytes of [2, 3]) {
    const at = bytes === 2 ? 0x5000 : 0x5002;
    const boot = `${print(at, 4 - bytes)} (call $proc_exit (i32.const 0))`;
    const { machine: m } = await machine({ fields, boot }, { console });
    m.boot();
    await expect(m.exited).rejects.toThrow("no paper");
  }
});

describe("the kernel", () => {
  let image: GuestImage;
  beforeAll(async () => {
    image = await compileGuest("test/guest/flood.ts", { kind: "both" });
  });
  const line = (i: number) => `${1_000_000_000 + i} ${"-".repeat(52)}\n`;

  async function boot(options: Partial<MachineOptions>) {
    const m = await Machine.create({ image: image.module, memoryBytes: 4 * MIB, ...options });
    m.boot();
    return m;
  }

  test("makes a printing thread wait while others run, and loses nothing", async () => {
    const { pieces, console, next } = slowReader();
    const m = await boot({ parameters: "lines=50000", console });
    const printed = pieces.length;
    const turns = () => u32(m, m.global("turns"));
    const before = turns();
    while (turns() < before + 3) await new Promise((resolve) => setImmediate(resolve));
    expect(pieces.length).toBe(printed); // nobody has read
    let exit = null;
    void m.exited.then((it) => {
      exit = it;
    });
    while (exit === null) await next();
    expect(exit).toEqual({ kind: "power-off", code: 0 });
    const all = pieces.join("").split("\n").slice(1);
    expect(all.length).toBe(50_001);
    expect(all.findIndex((text, i) => i < 50_000 && `${text}\n` !== line(i))).toBe(-1);
  });

  test("hands over a partial line before it panics", async () => {
    const lines: string[] = [];
    const m = await boot({ parameters: "panic=on", console: (text) => lines.push(text) });
    expect(await m.exited).toMatchObject({ kind: "panic", message: "flood: enough" });
    expect(lines.at(-1)).toBe("half a line");
  });

  test.each(["host", "atomic"])(
    "counts and reports the bytes lost where nothing can wait: %s",
    async (where) => {
      const { pieces, console, next } = slowReader();
      const m = await boot({ parameters: `flood=${where} lines=50000`, console });
      if (where === "host") m.call("flood");
      let exit = null;
      void m.exited.then((it) => {
        exit = it;
      });
      while (exit === null) await next();
      const text = pieces.join("");
      const [, lost] = /console: bytes left out: (\d+)\n/.exec(text) ?? [];
      expect(Number(lost)).toBeGreaterThan(MIB);
      const kept = text.match(/\d{10} -{52}\n/g)!.length;
      expect(kept * 64 + Number(lost)).toBe(50_000 * 64);
      expect(text).toContain("afterwards\n");
    },
  );
});
