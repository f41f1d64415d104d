// Node's thread pool, as the shared directories have it: of its four threads one directory has two,
// and all together leave one for whatever else the process does.
import { expect, test } from "vitest";
import { Threads } from "../../../host/node/files/threads.ts";

/** Calls that hang until the test ends them, in the order in which they began. */
class Pool {
  readonly begun: { readonly name: string; readonly end: () => void }[] = [];

  hang(threads: Threads, name: string, isSync = false): void {
    threads.run((end) => this.begun.push({ name, end }), isSync);
  }

  /** Ends the first call of that name. */
  end(name: string): void {
    const at = this.begun.findIndex((one) => one.name === name);
    this.begun.splice(at, 1)[0]?.end();
  }

  get names(): string[] {
    return this.begun.map(({ name }) => name);
  }

  clear(): void {
    for (let one = this.begun.shift(); one !== undefined; one = this.begun.shift()) one.end();
  }
}

test("one hanging directory leaves threads for the others", () => {
  const pool = new Pool();
  const [a, b, c] = [new Threads(), new Threads(), new Threads()] as [Threads, Threads, Threads];
  for (let i = 0; i < 5; i++) pool.hang(a, "a");
  pool.hang(b, "b");
  pool.hang(c, "c");
  expect(pool.names).toEqual(["a", "a", "b"]);
  pool.end("b");
  expect(pool.names).toEqual(["a", "a", "c"]);
  pool.end("a");
  expect(pool.names).toEqual(["a", "c", "a"]);
  pool.clear();
  expect(pool.names).toEqual([]);
});

test("directories that wait take turns", () => {
  const pool = new Pool();
  const [a, b] = [new Threads(), new Threads()] as [Threads, Threads];
  for (let i = 0; i < 4; i++) pool.hang(a, "a");
  for (let i = 0; i < 4; i++) pool.hang(b, "b");
  const order = [...pool.names];
  for (let i = 0; i < 5; i++) {
    const first = pool.begun[0]?.name ?? "";
    pool.end(first);
    order.push(pool.names.at(-1) ?? "");
  }
  expect(order.filter((name) => name === "a")).toHaveLength(4);
  expect(order).toHaveLength(8);
  pool.clear();
});

test("syncs leave their directory a thread, and come after other calls", () => {
  const pool = new Pool();
  const threads = new Threads();
  for (let i = 0; i < 3; i++) pool.hang(threads, "sync", true);
  expect(pool.names).toEqual(["sync"]);
  pool.hang(threads, "call");
  pool.hang(threads, "call");
  expect(pool.names).toEqual(["sync", "call"]);
  pool.end("sync");
  expect(pool.names).toEqual(["call", "call"]);
  pool.clear();
});

test("frees the thread of a call that cannot be made", () => {
  const threads = new Threads();
  const refuse = () => {
    throw new Error("refused");
  };
  for (let i = 0; i < 5; i++) expect(() => threads.run(refuse)).toThrow("refused");
  const pool = new Pool();
  pool.hang(threads, "call");
  expect(pool.names).toEqual(["call"]);
  pool.clear();
});
